"""The store that its users hold: one handle on one schema, a writer and a reader behind it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple, TypeVar
from uuid import uuid4

from agentpool.rules.requirements import checked_sequence, require_type
from agentpool.stores.base import Due
from agentpool.stores.batch.raw import RawPool
from agentpool.stores.batch.reads import Reads
from agentpool.stores.batch.states import StateCache
from agentpool.stores.batch.store import BatchStore, Sources, opened_or_closed
from agentpool.stores.postgres import statements
from agentpool.stores.postgres.bell import Ear, Ringer, channel_of
from agentpool.stores.postgres.bodies import PostgresBodies
from agentpool.stores.postgres.engine import PoolBusyError, PostgresEngine
from agentpool.stores.postgres.errors import translated
from agentpool.stores.postgres.lanes import MOMENT, Lanes
from agentpool.stores.postgres.opening import Connections, Options, prepare
from agentpool.stores.postgres.pipeline import Pipeline, Tuple
from agentpool.stores.postgres.raw import PostgresRawPool
from agentpool.stores.postgres.source import PostgresSource
from agentpool.stores.postgres.values import texts
from agentpool.stores.postgres.worker import EngineWorker
from agentpool.support.clock import Clock, StoreClock, wall_clock
from agentpool.support.opening import Opening
from agentpool.wire.content import MAX_BODY
from agentpool.wire.ids import I64_MAX

__all__ = ("PostgresAgentPoolStore",)

R = TypeVar("R")


class _Opened(NamedTuple):
    """What a store consists of that is open."""

    connections: Connections
    ringer: Ringer
    writer: EngineWorker
    writer_states: StateCache
    reader: EngineWorker
    reader_states: StateCache


class PostgresAgentPoolStore(BatchStore):
    """A handle on a store in a schema of a PostgreSQL database; ``open(url)`` opens it.

    Belongs to the event loop and the process that opened it. Any number of handles, in any number
    of processes on any machines, may be open on one schema. What is due, and how long a lease
    lasts, goes by the clock of the server.
    """

    after_fork = "open it again in this process"

    def __init__(self, options: Options, clock: StoreClock, opened: _Opened) -> None:
        """Take over open connections; for `open` only."""
        require_type(options, Options, "options")
        give_up = opened.connections.give_up
        super().__init__(clock, options.max_body, opened.reader_states, give_up)
        self.url: Final = str(options.place)
        self._options = options
        self._opened = opened
        self._ear: Ear | None = None
        self._warned = set[str]()
        self._closed_ears: list[Ear] = []
        self._reads = Reads(opened.reader, self.url, translated, _is_lost)
        self._bodies = PostgresBodies(opened.writer, self._reads)
        start = partial(opened.connections.start, lock_seconds=options.place.patience)
        self._commits = Lanes(opened.writer, opened.writer_states, start, self.tail.touch)

    @classmethod
    def open(
        cls,
        url: str,
        *,
        schema: str = "agentpool",
        busy_timeout: float = 5.0,
        listen: bool = True,
        listen_url: str | None = None,
        clock: Clock = wall_clock,
        max_body: int = MAX_BODY,
        create: bool = True,
        migrate: bool = True,
    ) -> "Opening[PostgresAgentPoolStore]":
        """Open a store on a server, and create it where it is missing: ``async with`` it, or await.

        Its tables are made, or brought to the current version, in one transaction. Once they are
        there, the role needs no right to create any. Cancelled, it leaves nothing open.

        :param url: where the database is, as libpq takes it: user, password, TLS, several hosts
        :param schema: the schema of its tables; several stores may be in one database
        :param busy_timeout: seconds that a write may wait for other clients, and any call for a
            server that is away. One that is connected and silent is given up 5 s after that, and
            then, or where less is left, 2 s go to each of its hosts to connect again; a commit that
            was not answered is asked after for 30 s more
        :param listen: whether to hear of the commits of others by LISTEN; without, they are looked
            for several times a second
        :param listen_url: where to listen, if ``url`` leads to a pooler, which cannot
        :param clock: for tests: where it has an ``elapsed()``, that is the time of this handle, and
            not the server's
        :param max_body: the most bytes that ``put_content`` takes for a body
        :param create: whether to create the tables where they are missing; else that is refused
        :param migrate: whether to bring tables of an older version to the current one; else those
            are refused
        :raises InvalidValueError: an argument is not one of the above
        :raises IncompatibleStoreError: the server refuses the connection, or what it has is no
            store, not there, of another encoding or from a newer version
        :raises StoreBusyError: the server cannot be reached
        :raises StoreError: the tables are damaged
        """
        options = Options.checked(
            url,
            schema,
            busy_timeout,
            clock,
            max_body,
            listen=listen,
            listen_url=listen_url,
            create=create,
            migrate=migrate,
        )
        return Opening(partial(cls._open, options), f"{cls.__name__}.open", "store")

    @classmethod
    async def _open(cls, options: Options) -> "PostgresAgentPoolStore":
        stores: list[PostgresAgentPoolStore] = []

        async def open_() -> PostgresAgentPoolStore:
            clock = StoreClock(options.clock)
            stores.append(cls(options, clock, await _connected(options, clock, stores)))
            return stores[0]

        return await opened_or_closed(open_())

    def __repr__(self) -> str:
        status = "closed" if self.is_closed else "open"
        return f"<PostgresAgentPoolStore {self.url!r} {status}>"

    async def pool_ids(self) -> list[str]:
        self.refuse_closed()
        await self._commits.all_decided()
        rows = await self._ask(lambda pipeline: pipeline.ask(statements.POOLS).rows)
        return [pool_id.decode() for (pool_id,) in rows]

    async def due(self, pool_ids: Sequence[str]) -> dict[str, Due]:
        for pool_id in checked_sequence(pool_ids, "pool_ids", str):
            self._check(pool_id)
        await self._commits.decided(pool_ids)
        rows = await self._ask(partial(_due, self.clock, pool_ids))
        found = dict.fromkeys(pool_ids, Due(behind=False, next_deadline=None, head=0))
        for pool_id, head, projected, due_at in rows:
            last = int(head or 0)
            if last == I64_MAX:
                return await super().due(pool_ids)  # which refuses what is not whole
            next_deadline = None if due_at is None else int(due_at)
            found[pool_id.decode()] = Due(int(projected or 0) < last, next_deadline, last)
        return found

    # --- writing and reading

    async def _read(self, work: Callable[[Sources], R], *, bulk: bool = False) -> R:
        return await self._reads.run(partial(_read, work), bulk=bulk)

    async def _ask(self, work: Callable[[Pipeline], R]) -> R:
        return await self._reads.run(lambda engine: engine.ask(work))

    # --- a pool as it is kept

    async def _look_at(self, pool_id: str, work: Callable[[RawPool], R]) -> R:
        def look(engine: PostgresEngine) -> R:
            return engine.read(lambda: work(_raw(engine, engine.source(pool_id))))

        return await self._reads.run(look, bulk=True)

    async def _rewrite(self, pool_id: str, work: Callable[[RawPool], R], *, durable: bool) -> R:
        def rewrite(engine: PostgresEngine) -> R:
            return engine.rewrite(
                pool_id, lambda source: work(_raw(engine, source)), durable=durable
            )

        until = time.monotonic() + self._options.place.patience
        while True:
            try:
                return await self._opened.writer.run(rewrite)
            except PoolBusyError:
                # The writer waits only a moment, and others have their turns in between.
                if time.monotonic() >= until:
                    raise

    # --- looking for what others do, while somebody follows a pool

    def listen(self) -> None:
        place, opened = self._options.listens_at, self._opened
        engine = opened.writer.engine
        self._ear = Ear(
            place,
            lambda: engine.identity,
            opened.ringer,
            self.tail,
            self._versions,
            warned=self._warned,
        )

    def stop_listening(self) -> None:
        if self._ear is not None:
            self._ear.close()
            self._closed_ears = [each for each in self._closed_ears if not each.has_ended]
            self._closed_ears.append(self._ear)
            self._ear = None

    async def _versions(self, pool_ids: list[str]) -> dict[str, int]:
        asked = texts(pool_ids)
        rows = await self._ask(lambda pipeline: pipeline.ask(statements.VERSIONS, asked).rows)
        return {pool_id.decode(): int(version) for pool_id, version in rows}

    async def finish(self) -> None:
        try:
            await self._commits.close()
            await self._reads.close()
        finally:
            self.stop_listening()
            try:
                await self._opened.writer.close()
            finally:
                await self._opened.reader.close()
                for ear in self._closed_ears:
                    await ear.ended()


def _due(clock: StoreClock, pool_ids: Sequence[str], pipeline: Pipeline) -> list[Tuple]:
    """Ask what is due, and what time it is, in one trip."""
    asked_at = clock.elapsed()
    time = pipeline.ask(statements.TIME_OF_SERVER)
    rows = pipeline.ask(statements.DUE_OF_POOLS, texts(pool_ids)).rows
    [(now,)] = time.rows
    clock.follow(int(now), asked_at)
    return rows


def _is_lost(engine: PostgresEngine) -> bool:
    return engine.pipeline.is_broken


def _read(work: Callable[[Sources], R], engine: PostgresEngine) -> R:
    return engine.read(lambda: work(engine.source))


def _raw(engine: PostgresEngine, source: PostgresSource) -> PostgresRawPool:
    return PostgresRawPool(engine.pipeline, source)


async def _connected(
    options: Options, clock: StoreClock, stores: Sequence[PostgresAgentPoolStore]
) -> _Opened:
    """Connect a writer and a reader, and bring the schema to the current version.

    :param stores: will hold the store, which is told of pools whose logs were replaced
    """
    loop = asyncio.get_running_loop()

    def tell(pool_ids: list[str]) -> None:
        for store in stores:
            store.tail.replace(pool_ids)

    def replaced(pool_ids: list[str]) -> None:
        with suppress(RuntimeError):  # the event loop has ended
            loop.call_soon_threadsafe(tell, pool_ids)

    ringer = Ringer(channel_of(options.place.schema), uuid4().hex)
    connections = Connections(options.place, clock, ringer)
    states, reader_states = StateCache(), StateCache()
    set_up = partial(prepare, options, clock)
    writer = await connections.start(states, MOMENT, set_up=set_up)
    try:
        patience = options.place.patience
        reader = await connections.start(
            reader_states, patience, replaced=replaced, seen_elsewhere=states.all_seen
        )
    except BaseException:
        await writer.close()
        raise
    return _Opened(connections, ringer, writer, states, reader, reader_states)
