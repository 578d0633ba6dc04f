"""The one tailing loop, for every store: read pages by cursor, then wait for a sign of more.

Lost wake-ups are impossible by the order of things: a watcher takes the current signal *before* it
reads, and waits for that very signal only after a short page. A record committed after the read
began fires the signal that the watcher holds. Nothing is held over a ``yield``: no lock, no task
group, no transaction; a consumer that pauses, breaks off or is cancelled harms nobody.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, NamedTuple, TypeAlias

from agentpool.errors import AgentPoolError, StoreClosedError
from agentpool.support.signals import Signal
from agentpool.wire.records import AgentPoolStoreRecord

__all__ = ("PAGE_SIZE", "Page", "Signals", "Tailer")

PAGE_SIZE: Final = 500
"""Records that a watcher reads at once."""

Signals: TypeAlias = AbstractContextManager[Callable[[], Signal]]
"""Gives the current signal, as often as it is called; a change fires it and makes a new one."""


class Page(NamedTuple):
    """Records in order and, where the next one cannot be read, the error that says so."""

    records: list[AgentPoolStoreRecord]
    error: AgentPoolError | None = None


ReadPage: TypeAlias = Callable[[str, int, bool], Awaitable[Page]]
_ReadKey: TypeAlias = tuple[Signal, str, int, bool]


class Tailer:
    """Serves all watchers of one store handle.

    Watchers that wait at the same place of the same pool share one read.

    :param read_page: reads up to `PAGE_SIZE` records of a pool after a sequence number
    :param on_first: called when the first watcher comes: start to look for foreign records
    :param on_last: called when the last watcher has gone
    """

    def __init__(
        self,
        read_page: ReadPage,
        on_first: Callable[[], None] = lambda: None,
        on_last: Callable[[], None] = lambda: None,
    ) -> None:
        self._read_page = read_page
        self._on_first = on_first
        self._on_last = on_last
        self._changed = Signal()
        self._watchers = 0
        self._closed = False
        self._reads: dict[_ReadKey, asyncio.Task[Page]] = {}

    @contextmanager
    def changes(self) -> Iterator[Callable[[], Signal]]:
        """Listen for changes for the length of the block; gives what gives the current signal."""
        self._enter()
        try:
            yield lambda: self._changed
        finally:
            self._leave()

    def notify(self) -> None:
        """Let every waiting watcher look again."""
        self._changed.fire()
        self._changed = Signal()

    def close(self) -> None:
        """End every watcher with `StoreClosedError`."""
        self._closed = True
        self.notify()

    async def settle(self) -> None:
        """Wait for the reads that are under way, whose watchers may be gone."""
        if self._reads:
            await asyncio.wait(self._reads.values())

    async def follow(
        self, pool_id: str, after: int, *, keep_unknown: bool
    ) -> AsyncGenerator[AgentPoolStoreRecord, None]:
        """Yield the records of a pool after a sequence number, in order, for ever."""
        with self.changes() as current:
            while True:
                changed = current()
                page = await self._shared_page(changed, pool_id, after, keep_unknown)
                for record in page.records:
                    after = record.cursor.sequence
                    yield record
                    self._refuse_closed()
                if page.error is not None:
                    raise page.error.copy()
                if len(page.records) < PAGE_SIZE:
                    await changed.wait()
                self._refuse_closed()

    async def _shared_page(
        self, changed: Signal, pool_id: str, after: int, keep_unknown: bool
    ) -> Page:
        # A read that began before the current signal may miss what the signal is about, so only
        # watchers that hold the same signal share one.
        key = (changed, pool_id, after, keep_unknown)
        task = self._reads.get(key)
        if task is None:
            task = asyncio.create_task(_read(self._read_page(pool_id, after, keep_unknown)))
            self._reads[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(task)

    def _forget(self, key: _ReadKey, done: "asyncio.Task[Page]") -> None:
        self._reads.pop(key, None)
        if not done.cancelled():
            done.exception()  # every watcher may be gone; then nobody else asks for it

    def _refuse_closed(self) -> None:
        if self._closed:
            msg = "the store was closed while a watcher waited"
            raise StoreClosedError(msg)

    def _enter(self) -> None:
        self._refuse_closed()
        self._watchers += 1
        if self._watchers == 1:
            self._on_first()

    def _leave(self) -> None:
        self._watchers -= 1
        if self._watchers == 0:
            self._on_last()


async def _read(reading: Awaitable[Page]) -> Page:
    return await reading
