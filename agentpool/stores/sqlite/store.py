"""The store that its users hold: one handle on one file, a writer and a reader behind it."""

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final, TypeVar
from weakref import WeakMethod

from agentpool.errors import StoreClosedError
from agentpool.rules.requirements import require_type
from agentpool.rules.topics import AllTouched
from agentpool.stores.batch.committer import BatchCommitter, Outcome, Request
from agentpool.stores.batch.group_commit import GroupCommit
from agentpool.stores.batch.raw import RawPool
from agentpool.stores.batch.reads import Reads
from agentpool.stores.batch.states import StateCache
from agentpool.stores.batch.store import BatchStore, Sources, opened_or_closed
from agentpool.stores.sqlite.backfill import Backfill
from agentpool.stores.sqlite.bodies import SqliteBodies
from agentpool.stores.sqlite.connection import read_transaction
from agentpool.stores.sqlite.doorbell import Ringer
from agentpool.stores.sqlite.engine import SqliteEngine, Writing
from agentpool.stores.sqlite.errors import in_our_terms, translated
from agentpool.stores.sqlite.foreign_writes import Lookout
from agentpool.stores.sqlite.listing import listed_pools
from agentpool.stores.sqlite.memory import Memory
from agentpool.stores.sqlite.moved_file import Sentry
from agentpool.stores.sqlite.opening import (
    Connected,
    Options,
    Synchronous,
    checked_path,
    connect,
)
from agentpool.stores.sqlite.promises import Promises
from agentpool.stores.sqlite.raw import SqliteRawPool
from agentpool.stores.sqlite.source import SqliteSource
from agentpool.support.clock import Clock, StoreClock, wall_clock
from agentpool.support.loop import running_loop
from agentpool.support.opening import Opening
from agentpool.wire.content import MAX_BODY

__all__ = ("SqliteAgentPoolStore",)

R = TypeVar("R")


class SqliteAgentPoolStore(BatchStore):
    """A handle on a store file. Open it with ``SqliteAgentPoolStore.open(path)``.

    Belongs to the event loop and the process that opened it. Any number of handles, in any number
    of processes of one machine, may be open on one file.
    """

    after_fork = (
        "a child of it cannot open the file either: start processes by 'spawn' or 'forkserver'"
    )

    _commits: GroupCommit

    def __init__(self, options: Options, clock: StoreClock, connected: Connected) -> None:
        """Take over open connections; for `open` only."""
        require_type(options, Options, "options")
        super().__init__(clock, options.max_body, StateCache(), threading.Event())
        self.path: Final = options.path
        self._loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        place, self._writer, self._reader, self._guard = connected
        self._committer, promises = BatchCommitter(), Promises()
        self._writing = Writing(
            clock,
            self._guard,
            Memory(self._committer.states, promises.forget).refresh,
            options.busy_timeout,
            self._give_up,
            options.synchronous,
            promises,
        )
        self._commits = GroupCommit(self._commit, self.tail.touch)
        self._reads = Reads(self._reader, str(self.path), translated)
        self._memory = Memory(self._reader_states, self._snapshots.forget, self._replaced)
        # SQLite follows links, and has its own files beside what they lead to.
        self._file = place.path
        self._ringer = Ringer(self._file, self.clock)
        self._backfill = Backfill(self._file)
        self._bodies = SqliteBodies(self._write, self._reads, self._backfill)
        self._lookout: Lookout | None = None
        self._sentry = Sentry(self._guard, WeakMethod(self._file_gone))

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        synchronous: Synchronous = "FULL",
        busy_timeout: float = 5.0,
        allow_unsafe_mount: bool = False,
        allow_foreign_tables: bool = False,
        clock: Clock = wall_clock,
        max_body: int = MAX_BODY,
        create: bool = True,
        migrate: bool = True,
    ) -> "Opening[SqliteAgentPoolStore]":
        """Open a store file, and create it where it is missing: ``async with`` or ``await`` it.

        A file that another implementation made, or is using, becomes ours too: tables and indexes
        are added beside what is there, in one transaction. Cancelled, it leaves nothing open.

        :param synchronous: ``"FULL"``: what was acknowledged survives a power cut. ``"NORMAL"``:
            it survives the death of any process, but a power cut may take the last commits, and
            the sequence numbers of what was lost are then given to other records. A cursor of a
            lost record is refused with `StoreError` (on Linux), but only until the log has come
            that far again: from then on a bare number means the new record. An `EventCursor` and
            the numbers of host events fare alike. So after a restart let those with saved cursors
            read before anybody appends
        :param busy_timeout: seconds that a write, or opening, may wait for other processes
        :param allow_unsafe_mount: open a file on a mount where the write-ahead log can corrupt
        :param allow_foreign_tables: make a store of a database that has tables of something else,
            and none of a store
        :param clock: gives the time of the wall, in milliseconds of the Unix epoch, when the file
            is opened; what is done to it later changes nothing, for the time goes on by itself and
            is the same for all who have the file open. For tests: where it has an ``elapsed()``,
            that counts the milliseconds that go by
        :param max_body: the most bytes that ``put_content`` takes for a body
        :param create: whether to create the file where it is missing; else that is refused
        :param migrate: whether to bring a file to the current schema that is empty, of an older
            version, or of another implementation alone; else that is refused, and it stays as it is
        :raises InvalidValueError: an argument is not one of the above
        :raises IncompatibleStoreError: the file is no store or not there, is from a newer version,
            cannot be written, has several names (hard links) or lies on an unsafe mount
        :raises StoreClosedError: a parent of this process had the file open when it forked
        :raises StoreBusyError: other processes held the file for longer than ``busy_timeout``, or
            this one has too many files open
        :raises StoreError: the file is damaged
        """
        options = Options(
            checked_path(path),
            synchronous,
            busy_timeout,
            allow_unsafe_mount,
            allow_foreign_tables,
            clock,
            max_body,
            create,
            migrate,
        )
        return Opening(partial(cls._open, options), f"{cls.__name__}.open", "store")

    @classmethod
    async def _open(cls, options: Options) -> "SqliteAgentPoolStore":
        async def open_() -> SqliteAgentPoolStore:
            clock = StoreClock(options.clock)
            return cls(options, clock, await connect(options, clock))

        return await opened_or_closed(open_())

    def __repr__(self) -> str:
        status = "closed" if self.is_closed else "open"
        return f"<SqliteAgentPoolStore {str(self.path)!r} {status}>"

    async def pool_ids(self) -> list[str]:
        self.refuse_closed()
        await self._commits.all_decided()
        return await self._look(listed_pools)

    async def _read(self, work: Callable[[Sources], R], *, bulk: bool = False) -> R:
        def read(connection: sqlite3.Connection) -> R:
            with self._reading(connection):
                return work(partial(SqliteSource, connection, clock=self.clock))

        return await self._reads.run(read, bulk=bulk)

    async def _look(self, function: Callable[[sqlite3.Connection], R]) -> R:
        def read(connection: sqlite3.Connection) -> R:
            with self._reading(connection):
                return function(connection)

        return await self._reads.run(read)

    @contextmanager
    def _reading(self, connection: sqlite3.Connection) -> Iterator[None]:
        """Read as of one moment, with nothing in mind that the file no longer says."""
        with read_transaction(connection):
            self._memory.refresh(connection)
            yield

    def _replaced(self, pool_ids: list[str]) -> None:
        # It comes before what was read meanwhile, so nobody takes that for what follows.
        with suppress(RuntimeError):  # the event loop has ended
            self._loop.call_soon_threadsafe(self.tail.replace, pool_ids)

    def refuse_closed(self) -> None:
        self._refuse_forked()
        if self.tail.ending.closed:
            super().refuse_closed()
        if not self._runs_here():
            msg = "the store belongs to another event loop; open it again in this one"
            raise StoreClosedError(msg)
        self._guard.refuse_gone()

    def _runs_here(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return running_loop() is self._loop  # says what is wrong

    def _file_gone(self) -> None:
        self.notify()  # those who wait look, and are refused

    # --- writing

    async def _commit(self, requests: list[Request]) -> tuple[list[Outcome], AllTouched]:
        def commit(connection: sqlite3.Connection) -> tuple[list[Outcome], AllTouched]:
            self._ringer.about_to_write()
            engine = SqliteEngine(connection, self._writing)
            outcomes, touched = self._committer.commit(engine, requests)
            self._ringer.ring(touched, self._writing.rows)
            self._backfill.after_commit(connection)
            return [in_our_terms(each, str(self._file)) for each in outcomes], touched

        return await self._writer.run(commit)

    async def _write(self, function: Callable[[SqliteEngine], R]) -> R:
        def write(connection: sqlite3.Connection) -> R:
            self._ringer.about_to_write()
            return function(SqliteEngine(connection, self._writing))

        self.refuse_closed()
        return await self._writer.run(write)

    # --- a pool as it is kept

    async def _look_at(self, pool_id: str, work: Callable[[RawPool], R]) -> R:
        def look(connection: sqlite3.Connection) -> R:
            with self._reading(connection):
                source = SqliteSource(connection, pool_id, clock=self.clock)
                return work(SqliteRawPool(connection, source))

        return await self._reads.run(look, bulk=True)

    async def _rewrite(self, pool_id: str, work: Callable[[RawPool], R], *, durable: bool) -> R:
        def rewrite(engine: SqliteEngine) -> R:
            pool = partial(SqliteRawPool, engine.connection)
            done = engine.transact(lambda: work(pool(engine.source(pool_id))), durable=durable)
            self._backfill.after_commit(engine.connection)
            return done

        return await self._write(rewrite)

    # --- looking for the records of others, while somebody follows a pool

    def listen(self) -> None:
        self._lookout = Lookout(self._file, self._look, self.tail, self._ringer, self.clock)

    def listen_to(self, pool_id: str, topic: str) -> None:
        super().listen_to(pool_id, topic)
        if self._lookout is not None:
            self._lookout.follow(pool_id, topic)

    def stop_listening(self) -> None:
        if self._lookout is not None:
            self._lookout.close()
            self._lookout = None

    async def finish(self) -> None:
        try:
            await self._commits.close()
            await self._reads.close()
        finally:
            self._sentry.close()
            self.stop_listening()
            self._ringer.close()
            try:
                await self._writer.close()
            finally:
                await self._reader.close()
