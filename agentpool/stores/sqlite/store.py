"""The store that its users hold: one handle on one file, a writer and a reader behind it."""

import asyncio
import os
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

from agentpool.errors import AgentPoolError, StoreClosedError
from agentpool.rules.command import Command, PoolView
from agentpool.rules.replay import not_open
from agentpool.stores.base import AgentPoolStore, Due, due_in
from agentpool.stores.batch.committer import BatchCommitter, Outcome, Request
from agentpool.stores.batch.group_commit import GroupCommit
from agentpool.stores.batch.source import RawRecord
from agentpool.stores.batch.states import StateCache, refuse_shorter
from agentpool.stores.batch.view import OverlayView
from agentpool.stores.sqlite import content, log
from agentpool.stores.sqlite.connection import WorkerConnection
from agentpool.stores.sqlite.doorbell import Doorbell, Listener
from agentpool.stores.sqlite.opening import Options, Synchronous, checked_path, connect
from agentpool.stores.sqlite.source import SqliteEngine, SqliteSource, Writing
from agentpool.stores.tail import Page
from agentpool.support.clock import Clock, StoreClock, wall_clock
from agentpool.support.loop import running_loop
from agentpool.support.opening import Opening
from agentpool.support.tasks import cancel, uninterrupted
from agentpool.wire.content import OCTETS, checked_content
from agentpool.wire.ids import check_identifier
from agentpool.wire.payload import open_records

__all__ = ("SqliteAgentPoolStore",)

R = TypeVar("R")

_POLL_SECONDS: Final = 0.15
_POOLS_REMEMBERED: Final = 4096


class SqliteAgentPoolStore(AgentPoolStore):
    """A handle on a store file. Open it with ``SqliteAgentPoolStore.open(path)``.

    Belongs to the event loop and the process that opened it. Any number of handles, in any number
    of processes of one machine, may be open on one file.
    """

    def __init__(
        self,
        options: Options,
        clock: StoreClock,
        writer: WorkerConnection,
        reader: WorkerConnection,
    ) -> None:
        """Take over open connections; for `open` only."""
        super().__init__(clock)
        self.path: Final = options.path
        self._pid = os.getpid()
        self._loop = asyncio.get_running_loop()
        self._give_up = threading.Event()
        self._writer = writer
        self._committer = BatchCommitter()
        self._writing = Writing(clock, options.busy_timeout, self._give_up, options.synchronous)
        self._reader, self._reader_states = reader, StateCache()
        self._checked_pools: set[str] = set()
        self._bell = Doorbell(self.path)
        self._listener: Listener | None = None
        self._poll_task: asyncio.Task[None] | None = None
        self._commits = GroupCommit(self._commit, self._changed)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        synchronous: Synchronous = "FULL",
        busy_timeout: float = 5.0,
        allow_unsafe_mount: bool = False,
        clock: Clock = wall_clock,
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
        :param clock: gives the time of the wall, in milliseconds of the Unix epoch, when the file
            is opened; what is done to it later changes nothing, for the time goes on by itself and
            is the same for all who have the file open. For tests: where it has an ``elapsed()``,
            that counts the milliseconds that go by
        :raises InvalidValueError: an argument is not one of the above
        :raises IncompatibleStoreError: the file is no store, is from a newer version, cannot be
            written or lies on an unsafe mount
        :raises StoreBusyError: other processes held the file for longer than ``busy_timeout``
        :raises StoreError: the file is damaged
        """
        options = Options(checked_path(path), synchronous, busy_timeout, allow_unsafe_mount, clock)
        return Opening(partial(cls._open, options), cls.__name__, "store")

    @classmethod
    async def _open(cls, options: Options) -> "SqliteAgentPoolStore":
        opened: list[SqliteAgentPoolStore] = []

        async def open_() -> SqliteAgentPoolStore:
            clock = StoreClock(options.clock)
            opened.append(cls(options, clock, *await connect(options, clock)))
            return opened[0]

        try:
            return await uninterrupted(open_())
        except asyncio.CancelledError:
            for store in opened:
                await store.aclose()
            raise

    def __repr__(self) -> str:
        status = "closed" if self.is_closed else "open"
        return f"<SqliteAgentPoolStore {str(self.path)!r} {status}>"

    def execute(self, pool_id: str, command: Command[R]) -> Awaitable[R]:
        self._check(pool_id)
        return self._commits.submit(Request(pool_id, command))

    async def query(self, pool_id: str, question: Callable[[PoolView], R]) -> R:
        self._check(pool_id)
        return (await self._answers([pool_id], question))[0]

    async def due(self, pool_ids: Sequence[str]) -> dict[str, Due]:
        for pool_id in pool_ids:
            self._check(pool_id)
        return dict(zip(pool_ids, await self._answers(pool_ids, due_in), strict=True))

    async def _answers(self, pool_ids: Sequence[str], question: Callable[[PoolView], R]) -> list[R]:
        """Answer a question of several pools in one read transaction."""

        def answer(connection: sqlite3.Connection) -> list[R]:
            connection.execute("BEGIN")
            try:
                return [self._answer(connection, each, question) for each in pool_ids]
            finally:
                # Some errors have rolled back already.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

        await self._commits.decided()
        return await self._reader.run(answer)

    def _answer(
        self, connection: sqlite3.Connection, pool_id: str, question: Callable[[PoolView], R]
    ) -> R:
        source = SqliteSource(connection, pool_id, self.clock)
        try:
            return question(OverlayView(source, self._reader_states))
        except AgentPoolError as error:
            error.in_pool(pool_id)
            raise

    async def read_page(self, pool_id: str, after: int, limit: int) -> Page:
        self._check(pool_id)

        def fetch(connection: sqlite3.Connection) -> Page:
            source = SqliteSource(connection, pool_id)
            rows = source.page(after, limit)
            if not rows:
                self._check_end(source, after)
                return Page([])
            self._reader_states.saw(pool_id, rows[-1][0])
            return _open_page(pool_id, rows)

        return await self._reader.run(fetch)

    async def put_content(self, data: bytes, *, media_type: str = OCTETS) -> str:
        body = checked_content(data, media_type)
        self.refuse_closed()
        return await self._writer.run(
            lambda writer: content.put(writer, self._writing, body, media_type)
        )

    async def get_content(self, ref: str) -> bytes:
        check_identifier(ref, "ref")
        self.refuse_closed()
        return await self._reader.run(lambda reader: content.get(reader, ref))

    async def aclose(self) -> None:
        if os.getpid() != self._pid:
            return  # the connections are the parent's
        self.refuse_elsewhere()
        self._give_up.set()
        await super().aclose()

    def _check(self, pool_id: str) -> None:
        if type(pool_id) is not str or pool_id not in self._checked_pools:
            check_identifier(pool_id, "pool_id")
            if len(self._checked_pools) < _POOLS_REMEMBERED:
                self._checked_pools.add(pool_id)
        self.refuse_closed()

    def refuse_closed(self) -> None:
        if os.getpid() != self._pid:
            msg = "the store was opened before a fork; open it again in the child"
            raise StoreClosedError(msg)
        if self.tail.ending.closed:
            super().refuse_closed()
        if not self._runs_here():
            msg = "the store belongs to another event loop; open it again in this one"
            raise StoreClosedError(msg)

    def _runs_here(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return running_loop() is self._loop  # says what is wrong

    # --- writing

    async def _commit(self, requests: list[Request]) -> tuple[list[Outcome], set[str]]:
        def commit(connection: sqlite3.Connection) -> tuple[list[Outcome], set[str]]:
            engine = SqliteEngine(connection, self._writing)
            outcomes, changed = self._committer.commit(engine, requests)
            if changed:
                self._bell.ring(changed)
            return outcomes, changed

        return await self._writer.run(commit)

    def _changed(self, pool_ids: set[str]) -> None:
        """Tell the followers of this handle, those too whose ring of another was overwritten."""
        self.tail.notify(self._bell.followed_in(set(map(self._bell.slot, pool_ids)), self.tail))

    # --- reading

    def _check_end(self, source: SqliteSource, after: int) -> None:
        """Tell the end of a log from a pool without one, and from a log that has lost its end."""
        head, pool_id = source.head(), source.pool_id
        refuse_shorter(pool_id, head, min(after, self._reader_states.seen(pool_id)))
        source.refuse_lost(after, head)
        if head == 0:
            raise not_open(pool_id)

    # --- looking for the records of others, while somebody follows a pool

    def listen(self) -> None:
        self._listener = Listener(self._bell.path, self._heard)
        self._poll_task = asyncio.ensure_future(self._poll())

    def stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
        if self._poll_task is not None:
            cancel([self._poll_task])

    def _heard(self) -> None:
        slots = self._bell.rung()
        if slots:
            self.notify(self._bell.followed_in(slots, self.tail))

    async def _poll(self) -> None:
        """Notice what writers that ring no bell have appended.

        Where the bell can be heard, other changes (heartbeats, claims) wake nobody.
        """
        last: log.Changes | None = None
        while True:
            changed: Iterable[str] | None = None
            seen: log.Changes | None = None
            with suppress(AgentPoolError):  # the followers find out what is wrong when they read
                seen, changed = await self._reader.run(partial(self._changes, last=last))
            self.notify(changed)
            last = seen
            await asyncio.sleep(_POLL_SECONDS)

    def _changes(
        self, connection: sqlite3.Connection, last: log.Changes | None
    ) -> tuple[log.Changes, Iterable[str] | None]:
        """Say what there is in the file, and which pools have changed; ``None``: any may have."""
        seen = log.changes(connection, last)
        if last is None:
            return seen, None
        hears = self._listener is not None and self._listener.hears
        if seen[hears:] == last[hears:]:
            return seen, ()
        if not hears or (seen.records or 0) < (last.records or 0):  # a log has lost its end
            return seen, None
        return seen, log.pools_after(connection, last)

    async def finish(self) -> None:
        try:
            await self._commits.close()
        finally:
            self.stop_listening()
            self._bell.close()
            try:
                await self._writer.close()
            finally:
                await self._reader.close()


def _open_page(pool_id: str, rows: list[RawRecord]) -> Page:
    page = Page([])
    try:
        for record in open_records(pool_id, rows, keep_unknown=True):
            page.records.append(record)
    except AgentPoolError as error:
        return page._replace(error=error)
    return page
