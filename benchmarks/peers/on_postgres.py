"""Contenders on one PostgreSQL server: ours, what one would write by hand, DBOS and procrastinate.

Each is opened at the URL of a database of its own.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from threading import local
from typing import Any, ClassVar, Final

from agentpool import AgentPool, open_store
from benchmarks.peers import dbos, ours
from benchmarks.peers.contender import Contender, Handle, Message
from benchmarks.peers.optional import load
from benchmarks.peers.postgres import connect, fresh_database
from benchmarks.workloads import MEMBERS, POOL, member

__all__ = (
    "ByHand",
    "ByHandNotifying",
    "DbosOnServer",
    "OnServer",
    "Ours",
    "OursByInbox",
    "Procrastinate",
    "Sixteen",
)

_CONNECTIONS: Final = 16
_THREADS: Final = 64
_CHANNEL: Final = "messages"
_TABLE: Final = """
    CREATE TABLE IF NOT EXISTS messages (
        seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        key text NOT NULL UNIQUE, body text NOT NULL
    )
"""
_INSERT: Final = "INSERT INTO messages (key, body) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_ALL: Final = "SELECT seq, body FROM messages ORDER BY seq"
_JOBS: Final = "SELECT args ->> 'body' FROM procrastinate_jobs ORDER BY id"
_TAKE: Final = """
    DELETE FROM messages WHERE seq = (
        SELECT seq FROM messages ORDER BY seq FOR UPDATE SKIP LOCKED LIMIT 1
    ) RETURNING seq, body
"""


class OnServer(Contender):
    """A contender that is given a database of its own.

    :ivar url: of the server
    """

    kind = "server"
    url: str = ""

    @contextmanager
    def running(self, folder: Path) -> Iterator[str]:  # noqa: ARG002  # nothing lies in a folder
        with fresh_database(self.url) as place:
            yield place


# --- ours


class Ours(OnServer):
    """agentpool, as it comes."""

    name = "agentpool on PostgreSQL"
    distribution = "agentpool-store"
    settings = "durable as it comes; waits for a NOTIFY; replay gives typed, checked records"

    @asynccontextmanager
    async def open(self, place: str) -> AsyncIterator[Handle]:
        async with open_store(place) as store:
            await store.open_pool(POOL)
            yield ours.Recording(store)


class OursByInbox(OnServer):
    """The same through a coordinated pool: sent to a member, who consumes what it is given."""

    name = "agentpool on PostgreSQL, inbox"
    distribution = "agentpool-store"
    settings = "durable as it comes; send; takes from the inbox, and acknowledges"

    @asynccontextmanager
    async def open(self, place: str) -> AsyncIterator[Handle]:
        async with open_store(place) as store, AgentPool.open(store, POOL) as pool:
            for number in range(MEMBERS):
                await pool.join_run(member(str(number)))
            yield ours.Sending(store, pool)


# --- by hand


class _Table(Handle):
    """A table of messages on one connection."""

    def __init__(self, url: str, connection: Any, *, notifies: bool) -> None:
        self._url, self._connection, self._notifies = url, connection, notifies

    async def append(self, message: Message) -> None:
        if not self._notifies:
            self._connection.execute(_INSERT, (message.key, message.body))
            return
        with self._connection.transaction():
            self._connection.execute(_INSERT, (message.key, message.body))
            self._connection.execute(f"NOTIFY {_CHANNEL}")

    async def replay(self) -> list[Any]:
        return list(self._connection.execute(_ALL).fetchall())

    async def follow(self) -> AsyncGenerator[Any, None]:
        connect_ = load("psycopg").AsyncConnection.connect
        async with await connect_(self._url, autocommit=True) as listening:
            await listening.execute(f"LISTEN {_CHANNEL}")
            while True:
                while (row := self._connection.execute(_TAKE).fetchone()) is not None:
                    yield row
                await anext(listening.notifies())

    def text(self, item: Any) -> str:
        return str(item[1])


class ByHand(OnServer):
    """One connection, each message a commit; or NOTIFY with each, to wake who takes them."""

    name = "psycopg by hand"
    distribution = "psycopg"
    settings = "one connection, one INSERT a commit; NOTIFY with it, LISTEN, FOR UPDATE SKIP LOCKED"
    notifies: ClassVar[bool] = False

    @asynccontextmanager
    async def open(self, place: str) -> AsyncIterator[Handle]:
        with connect(place) as connection:
            connection.execute(_TABLE)
            yield _Table(place, connection, notifies=self.notifies)


class ByHandNotifying(ByHand):
    """The same with a NOTIFY in each commit."""

    notifies = True


class _Threads(_Table):
    """The same table on many connections, each in a thread."""

    def __init__(self, url: str, connection: Any, threads: ThreadPoolExecutor) -> None:
        super().__init__(url, connection, notifies=False)
        self._threads, self._own = threads, local()

    async def append(self, message: Message) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._threads, self._insert, message)

    def _insert(self, message: Message) -> None:
        if not hasattr(self._own, "connection"):
            self._own.connection = connect(self._url)
        self._own.connection.execute(_INSERT, (message.key, message.body))


class Sixteen(OnServer):
    """The same INSERTs over many connections."""

    name = f"psycopg by hand, {_CONNECTIONS} connections"
    distribution = "psycopg"
    settings = f"{_CONNECTIONS} connections, a thread each, one INSERT a commit"

    @asynccontextmanager
    async def open(self, place: str) -> AsyncIterator[Handle]:
        with connect(place) as connection, ThreadPoolExecutor(_CONNECTIONS) as threads:
            connection.execute(_TABLE)
            yield _Threads(place, connection, threads)


# --- others


class DbosOnServer(OnServer):
    """DBOS: sends from a client to one workflow."""

    name = "DBOS on PostgreSQL"
    distribution = "dbos"
    settings = f"send with an idempotency key to a workflow, from {_THREADS} threads; as it comes"

    @asynccontextmanager
    async def open(self, place: str) -> AsyncIterator[Handle]:
        package = load("dbos")
        logging.getLogger("dbos").setLevel(logging.ERROR)
        package.run_dbos_database_migrations(place)
        client = package.DBOSClient(system_database_url=place)
        try:
            await dbos.start(client)
            with ThreadPoolExecutor(_THREADS) as threads:
                yield _DbosInThreads(place, client, threads)
        finally:
            client.destroy()


class _DbosInThreads(dbos.Sending):
    notifications = "dbos.notifications ORDER BY created_at_epoch_ms"

    def __init__(self, url: str, client: Any, threads: ThreadPoolExecutor) -> None:
        super().__init__(url, client)
        self._threads = threads

    async def append(self, message: Message) -> None:
        # In threads, or a trip would hold up the loop.
        await asyncio.get_running_loop().run_in_executor(self._threads, self.send, message)


class Procrastinate(OnServer):
    """procrastinate: jobs that are deferred."""

    name = "procrastinate"
    distribution = "procrastinate"
    deduplicates = False
    settings = f"defer_async, {_CONNECTIONS} connections; as it comes"

    @asynccontextmanager
    async def open(self, place: str) -> AsyncIterator[Handle]:
        package = load("procrastinate")
        connector = package.PsycopgConnector(conninfo=place, max_size=_CONNECTIONS)
        app = package.App(connector=connector)
        async with app.open_async():
            await app.schema_manager.apply_schema_async()
            yield _Jobs(place, app)


class _Jobs(Handle):
    def __init__(self, url: str, app: Any) -> None:
        self._url, self._task = url, app.configure_task("take", allow_unknown=True)

    async def append(self, message: Message) -> None:
        await self._task.defer_async(body=message.body)

    async def replay(self) -> list[Any]:
        with connect(self._url) as connection:
            return list(connection.execute(_JOBS).fetchall())

    def follow(self) -> AsyncGenerator[Any, None]:
        raise NotImplementedError  # only its rate is asked for

    def text(self, item: Any) -> str:
        return str(item[0])
