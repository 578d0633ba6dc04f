"""The store that its users hold: one handle on one file, a writer and a reader behind it."""

import asyncio
import os
import sqlite3
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

from agentpool.errors import AgentPoolError, StoreClosedError
from agentpool.rules.command import Command, PoolView
from agentpool.rules.replay import ReplayState
from agentpool.stores.base import AgentPoolStore, checked_limit, checked_place, not_open
from agentpool.stores.batch.committer import BatchCommitter, Outcome, Request
from agentpool.stores.batch.group_commit import GroupCommit
from agentpool.stores.batch.states import StateCache, refuse_shorter
from agentpool.stores.batch.view import SqlView
from agentpool.stores.sqlite import content, log
from agentpool.stores.sqlite.connection import WorkerConnection
from agentpool.stores.sqlite.doorbell import Doorbell, Listener
from agentpool.stores.sqlite.opening import Options, Synchronous, checked_path, connect
from agentpool.stores.sqlite.promises import refuse_lost
from agentpool.stores.tail import PAGE_SIZE, Page, Signals, Tailer
from agentpool.support.clock import Clock, wall_clock
from agentpool.support.loop import running_loop
from agentpool.support.opening import Opening
from agentpool.support.tasks import uninterrupted
from agentpool.wire.content import OCTETS, checked_content
from agentpool.wire.ids import check_identifier
from agentpool.wire.payload import open_payload, open_record
from agentpool.wire.records import AgentPoolStoreCursor, AgentPoolStoreRecord
from agentpool.wire.snapshot import AgentPoolSnapshot

__all__ = ("SqliteAgentPoolStore",)

R = TypeVar("R")

_POLL_SECONDS: Final = 0.15
_SNAPSHOT_PAGE: Final = 2000
_POOLS_REMEMBERED: Final = 4096


class SqliteAgentPoolStore(AgentPoolStore):
    """A handle on a store file. Open it with ``SqliteAgentPoolStore.open(path)``.

    Belongs to the event loop and the process that opened it. Any number of handles, in any number
    of processes of one machine, may be open on one file.
    """

    def __init__(
        self, options: Options, writer: WorkerConnection, reader: WorkerConnection
    ) -> None:
        """Take over open connections; for `open` only."""
        super().__init__(options.clock)
        self.path: Final = options.path
        self._pid = os.getpid()
        self._loop = asyncio.get_running_loop()
        self._give_up = threading.Event()
        self._writer = writer
        self._committer = BatchCommitter(
            states=StateCache(),
            clock=options.clock,
            patience=options.busy_timeout,
            give_up=self._give_up,
            synchronous=options.synchronous,
        )
        self._reader, self._reader_states = reader, StateCache()
        self._snapshots: dict[str, ReplayState] = {}
        self._checked_pools: set[str] = set()
        self._bell = Doorbell(self.path)
        self._listener: Listener | None = None
        self._poll_task: asyncio.Task[None] | None = None
        self._tailer = Tailer(self._read_page, self._listen, self._stop_listening)
        self._commits = GroupCommit(self._commit)
        self._closing: asyncio.Task[None] | None = None

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
        :param clock: gives the time, in milliseconds of the Unix epoch; for tests
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
            opened.append(cls(options, *await connect(options)))
            return opened[0]

        try:
            return await uninterrupted(open_())
        except asyncio.CancelledError:
            for store in opened:
                await store.aclose()
            raise

    def __repr__(self) -> str:
        status = "closed" if self._closing else "open"
        return f"<SqliteAgentPoolStore {str(self.path)!r} {status}>"

    def execute(self, pool_id: str, command: Command[R]) -> Awaitable[R]:
        self._check(pool_id)
        return self._commits.submit(Request(pool_id, command))

    async def query(self, pool_id: str, question: Callable[[PoolView], R]) -> R:
        self._check(pool_id)

        def answer(connection: sqlite3.Connection) -> R:
            connection.execute("BEGIN")
            try:
                view = SqlView(connection, self._reader_states, pool_id, self.clock)
                _ = view.head  # refuses a log that has lost its end, whatever is asked
                return question(view)
            except AgentPoolError as error:
                error.in_pool(pool_id)
                raise
            finally:
                # Some errors have rolled back already.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

        return await self._reader.run(answer)

    async def snapshot(self, pool_id: str) -> AgentPoolSnapshot:
        self._check(pool_id)
        while True:
            # The state is touched on the reader's thread only, one page at a time, so a cancelled
            # or a second caller finds it whole, and others get to read in between.
            snapshot = await self._reader.run(lambda reader: self._replay_page(reader, pool_id))
            if snapshot is not None:
                return snapshot

    async def read(
        self,
        pool_id: str,
        cursor: AgentPoolStoreCursor | None = None,
        *,
        limit: int | None = None,
        keep_unknown: bool = False,
    ) -> list[AgentPoolStoreRecord]:
        after, limit = checked_place(pool_id, cursor), checked_limit(limit)
        self._check(pool_id)
        records: list[AgentPoolStoreRecord] = []
        while True:
            size = PAGE_SIZE if limit is None else min(PAGE_SIZE, limit - len(records))
            page, error = await self._fetch(pool_id, after, size, keep_unknown)
            if error is not None:
                raise error
            records += page
            if len(page) < PAGE_SIZE or len(records) == limit:
                return records
            after = page[-1].cursor.sequence

    def watch(
        self,
        pool_id: str,
        cursor: AgentPoolStoreCursor | None = None,
        *,
        keep_unknown: bool = False,
    ) -> AsyncGenerator[AgentPoolStoreRecord, None]:
        after = checked_place(pool_id, cursor)
        self._check(pool_id)
        return self._tailer.follow(pool_id, after, keep_unknown=keep_unknown)

    def changes(self) -> Signals:
        self._refuse_closed()
        return self._tailer.changes()

    async def put_content(self, data: bytes, *, media_type: str = OCTETS) -> str:
        body = checked_content(data, media_type)
        self._refuse_closed()
        return await self._writer.run(
            lambda writer: content.put(writer, self._committer, body, media_type)
        )

    async def get_content(self, ref: str) -> bytes:
        check_identifier(ref, "ref")
        self._refuse_closed()
        return await self._reader.run(lambda reader: content.get(reader, ref))

    async def aclose(self) -> None:
        if os.getpid() != self._pid:
            return  # the connections are the parent's
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await uninterrupted(_joined(self._closing))

    def _check(self, pool_id: str) -> None:
        if type(pool_id) is not str or pool_id not in self._checked_pools:
            check_identifier(pool_id, "pool_id")
            if len(self._checked_pools) < _POOLS_REMEMBERED:
                self._checked_pools.add(pool_id)
        self._refuse_closed()

    def _refuse_closed(self) -> None:
        if os.getpid() != self._pid:
            msg = "the store was opened before a fork; open it again in the child"
            raise StoreClosedError(msg)
        if self._closing is not None:
            msg = "the store is closed"
            raise StoreClosedError(msg)
        if running_loop() is not self._loop:
            msg = "the store belongs to another event loop; open it again in this one"
            raise StoreClosedError(msg)

    # --- writing

    async def _commit(self, requests: list[Request]) -> list[Outcome]:
        def commit(connection: sqlite3.Connection) -> tuple[list[Outcome], bool]:
            outcomes, changed = self._committer.commit(connection, requests)
            if changed:
                self._bell.ring()
            return outcomes, changed

        outcomes, changed = await self._writer.run(commit)
        if changed:
            self._tailer.notify()
        return outcomes

    # --- reading

    async def _read_page(self, pool_id: str, after: int, keep_unknown: bool) -> Page:
        return await self._fetch(pool_id, after, PAGE_SIZE, keep_unknown)

    async def _fetch(self, pool_id: str, after: int, size: int, keep_unknown: bool) -> Page:
        def fetch(connection: sqlite3.Connection) -> Page:
            rows = log.page(connection, pool_id, after, size)
            if not rows:
                self._check_end(connection, pool_id, after)
                return Page([])
            self._reader_states.saw(pool_id, rows[-1][0])
            return _open_page(pool_id, rows, keep_unknown=keep_unknown)

        return await self._reader.run(fetch)

    def _check_end(self, connection: sqlite3.Connection, pool_id: str, after: int) -> None:
        """Tell the end of a log from a pool without one, and from a log that has lost its end."""
        head = log.head(connection, pool_id)
        refuse_shorter(pool_id, head, min(after, self._reader_states.seen(pool_id)))
        refuse_lost(connection, pool_id, after, head)
        if head == 0:
            raise not_open(pool_id)

    def _replay_page(
        self, connection: sqlite3.Connection, pool_id: str
    ) -> AgentPoolSnapshot | None:
        state = self._snapshots.get(pool_id) or ReplayState(pool_id)
        rows = log.page(connection, pool_id, state.sequence, _SNAPSHOT_PAGE)
        for seq, kind, text in rows:
            state.apply(seq, open_payload(pool_id, seq, kind, text))
        if rows:
            self._snapshots[pool_id] = state
            self._reader_states.saw(pool_id, rows[-1][0])
        else:
            self._check_end(connection, pool_id, state.sequence)
        return state.snapshot() if len(rows) < _SNAPSHOT_PAGE else None

    # --- looking for the records of others, while somebody watches

    def _listen(self) -> None:
        self._listener = Listener(self._bell.path, self._tailer.notify)
        self._poll_task = asyncio.ensure_future(self._poll())

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
        if self._poll_task is not None:
            self._poll_task.cancel()

    async def _poll(self) -> None:
        """Notice what writers that ring no bell have appended.

        Where the bell can be heard, other changes (heartbeats, claims) wake nobody.
        """
        last: log.Changes | None = None
        while True:
            seen: log.Changes | None = None
            with suppress(AgentPoolError):  # the watchers find out what is wrong when they read
                seen = await self._reader.run(partial(log.changes, last=last))
            hears = self._listener is not None and self._listener.hears
            if seen is None or last is None or seen[hears:] != last[hears:]:
                self._tailer.notify()
            last = seen
            await asyncio.sleep(_POLL_SECONDS)

    async def _close(self) -> None:
        self._give_up.set()
        self._tailer.close()
        try:
            await self._stop_background()
            await self._commits.close()
            await self._tailer.settle()
        finally:
            self._stop_listening()
            self._bell.close()
            try:
                await self._writer.close()
            finally:
                await self._reader.close()


async def _joined(task: "asyncio.Task[None]") -> None:
    await asyncio.wait([task])
    task.result()


def _open_page(pool_id: str, rows: list[log.Row], *, keep_unknown: bool) -> Page:
    page = Page([])
    try:
        for row in rows:
            page.records.append(open_record(pool_id, *row, keep_unknown=keep_unknown))
    except AgentPoolError as error:
        return page._replace(error=error)
    return page
