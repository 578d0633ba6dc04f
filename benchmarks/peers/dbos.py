"""DBOS on SQLite: messages to a workflow."""

import asyncio
import json
import logging
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Final

from benchmarks.peers.contender import POLL, Contender, Handle, Message, expect_durable
from benchmarks.peers.optional import load

__all__ = ("Dbos", "Sending", "start")

_QUEUE: Final = "agents"
_WORKFLOW: Final = "agent"
_POOL: Final = "pool"
_ALL: Final = "SELECT message FROM {notifications}"


class Sending(Handle):
    """A client that sends to the workflow."""

    notifications = "notifications ORDER BY rowid"

    def __init__(self, url: str, client: Any) -> None:
        self._url, self._client, self._dbos = url, client, load("dbos")
        self._json = self._dbos.WorkflowSerializationFormat.PORTABLE

    async def append(self, message: Message) -> None:
        # Straight from the loop: send_async is the same in a thread, and adds the handing over.
        self.send(message)

    def send(self, message: Message) -> None:
        """Send a message, in this thread."""
        self._client.send(
            _POOL, message.body, idempotency_key=message.key, serialization_type=self._json
        )

    async def fill(self, messages: Sequence[Message]) -> None:
        made = [
            self._dbos.SendMessage(_POOL, message.body, None, message.key) for message in messages
        ]
        self._client.send_bulk(made, serialization_type=self._json)

    async def replay(self) -> list[Any]:
        with _engine(self._client).connect() as connection:
            return list(
                connection.exec_driver_sql(_ALL.format(notifications=self.notifications)).scalars()
            )

    def text(self, item: Any) -> str:
        return str(json.loads(item))

    async def follow(self) -> AsyncGenerator[Any, None]:
        loop, arrived = asyncio.get_running_loop(), asyncio.Queue[str]()

        async def agent() -> None:
            while True:
                body = await self._dbos.DBOS.recv_async()
                loop.call_soon_threadsafe(arrived.put_nowait, json.dumps(body))

        app = self._dbos.DBOS
        app.workflow(name=_WORKFLOW)(agent)
        app(config=_config(self._url))
        app.launch()
        try:
            await app.register_queue_async(_QUEUE, polling_interval_sec=POLL)
            while True:
                yield await arrived.get()
        finally:
            app.destroy(destroy_registry=True)


def _config(url: str) -> dict[str, Any]:
    return {
        "name": "peers",
        "system_database_url": url,
        "notification_listener_polling_interval_sec": POLL,
        "log_level": "ERROR",
        "console_log_level": "ERROR",
    }


class Dbos(Contender):
    """Sends from a client to one workflow, which receives in another process."""

    name = "DBOS on SQLite"
    distribution = "dbos"
    settings = (
        "WAL instead of its rollback journal, synchronous=FULL; send with an idempotency key to a"
        " workflow that calls recv; its poll for notifications at 10 ms instead of 1 s,"
        " each receipt committed before it gives the message (consuming commits);"
        " its table is selected to replay, as it has no call for that"
    )

    @asynccontextmanager
    async def open(self, place: str) -> AsyncIterator[Handle]:
        dbos = load("dbos")
        logging.getLogger("dbos").setLevel(logging.ERROR)
        path = Path(place) / "dbos.sqlite"
        url = f"sqlite:///{path}"
        is_new = not path.exists()
        if is_new:
            _create(path)
            dbos.run_dbos_database_migrations(url)
        client = dbos.DBOSClient(system_database_url=url)
        try:
            _check(client)
            if is_new:
                await start(client)
            yield Sending(url, client)
        finally:
            client.destroy()


async def start(client: Any) -> None:
    """Have the workflow there that is sent to."""
    await client.enqueue_async(
        {"queue_name": _QUEUE, "workflow_name": _WORKFLOW, "workflow_id": _POOL}
    )


def _create(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


def _check(client: Any) -> None:
    with _engine(client).connect() as connection:
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
        level = connection.exec_driver_sql("PRAGMA synchronous").scalar()
    expect_durable(mode, level)


def _engine(client: Any) -> Any:
    return client._sys_db.engine  # noqa: SLF001  # the only way to see what it runs at
