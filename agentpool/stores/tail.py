"""Following the pools of one handle: who is told of a change, and who reads it.

Everybody who follows a pool (watchers, subscriptions, waits, upkeep) takes turns at looking
(`Turns`). Those who look for the same at the same place after the same change share one look, so a
record is read once for all of them. Nothing is held over a ``yield``: no lock, no task group, no
transaction; a consumer that pauses, breaks off or is cancelled harms nobody.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, TypeVar

from agentpool.errors import AgentPoolError
from agentpool.support.signals import Ending, Turns
from agentpool.wire.payload import open_payload
from agentpool.wire.records import AgentPoolStoreRecord, UnknownRecord

__all__ = ("PAGE_SIZE", "Page", "Tail", "follow", "next_page", "refuse_unknown")

R = TypeVar("R")

PAGE_SIZE: Final = 500
"""Records that a follower reads at once, the ``limit`` of its pages; others may ask for fewer."""

_Look: TypeAlias = Callable[[], Coroutine[Any, Any, R]]


class Page(NamedTuple):
    """Records in order and, where the next one cannot be read, the error that says so.

    Fewer records than were asked for, and no error: there are no more.
    """

    records: list[AgentPoolStoreRecord]
    error: AgentPoolError | None = None


class _Followed:
    """A pool that somebody follows."""

    __slots__ = ("changes", "looks", "takers", "told")

    def __init__(self) -> None:
        self.told: dict[object, Callable[[], None]] = {}
        self.takers = 0
        self.changes = 0
        self.looks: dict[Hashable, asyncio.Task[Any]] = {}


class Tail:
    """Everybody who follows a pool of one store handle.

    :param on_first: called when the first one comes: start to look for what others do
    :param on_last: called when the last one has gone
    """

    def __init__(
        self,
        on_first: Callable[[], None] = lambda: None,
        on_last: Callable[[], None] = lambda: None,
    ) -> None:
        self.ending: Final = Ending("the store is closed")
        self._on_first = on_first
        self._on_last = on_last
        self._pools: dict[str, _Followed] = {}

    @contextmanager
    def changes(self, pool_id: str) -> Iterator[Turns]:
        """Take turns at looking at a pool, for the length of the block.

        :raises StoreClosedError: the store is closed
        """
        turns = Turns()
        with self.ending.ends(turns), self.listening(pool_id, turns.wake):
            followed = self._pools[pool_id]
            followed.takers += 1
            try:
                yield turns
            finally:
                followed.takers -= 1

    @contextmanager
    def listening(self, pool_id: str, told: Callable[[], None]) -> Iterator[None]:
        """Have a function called at every change of a pool, for the length of the block.

        For whoever follows so many pools that one turn for each would be too many.
        """
        if not self._pools:
            self._on_first()
        followed = self._pools.setdefault(pool_id, _Followed())
        me = object()
        followed.told[me] = told
        try:
            yield
        finally:
            del followed.told[me]
            if not followed.told:
                del self._pools[pool_id]
            if not self._pools:
                self._on_last()

    def notify(self, pool_ids: Iterable[str] | None = None) -> None:
        """Tell everybody who follows one of these pools that it may have changed.

        :param pool_ids: ``None`` where it is not known which: all of them
        """
        for pool_id in list(self._pools) if pool_ids is None else pool_ids:
            followed = self._pools.get(pool_id)
            if followed is not None:
                followed.changes += 1
                for told in list(followed.told.values()):
                    told()

    @property
    def pool_ids(self) -> Iterable[str]:
        """The pools that somebody follows."""
        return self._pools

    async def shared(self, pool_id: str, what: Hashable, look: _Look[R]) -> R:
        """Look at a followed pool, together with all who look for the same after the same change.

        A look that began before the last change may miss it; whoever was told of that change
        therefore never joins it. Cancelled, the look goes on for the others.

        :param what: says what is looked for, and where
        """
        followed = self._pools.get(pool_id)
        if followed is None or followed.takers < 2:  # noqa: PLR2004  # nobody to share with
            return await look()
        key = (followed.changes, what)
        task = followed.looks.get(key)
        if task is None:
            task = followed.looks[key] = asyncio.create_task(look())
            task.add_done_callback(lambda done: _forget(followed.looks, key, done))
        result: R = await asyncio.shield(task)
        return result

    async def settle(self) -> None:
        """Wait for the looks that are under way, whose followers may be gone."""
        looks = [each for followed in self._pools.values() for each in followed.looks.values()]
        if looks:
            await asyncio.wait(looks)


def _forget(
    looks: "dict[Hashable, asyncio.Task[Any]]", key: Hashable, done: "asyncio.Task[Any]"
) -> None:
    looks.pop(key, None)
    if not done.cancelled():
        done.exception()  # every follower may be gone; then nobody else asks for it


class Followable(Protocol):
    """What `follow` needs of a store."""

    @property
    def tail(self) -> Tail:
        """Who follows its pools."""

    async def read_page(self, pool_id: str, after: int, limit: int) -> Page:
        """Read records as `AgentPoolStore.read_page` does."""


async def follow(
    store: Followable, pool_id: str, after: int, *, keep_unknown: bool, ending: Ending | None = None
) -> AsyncGenerator[AgentPoolStoreRecord, None]:
    """Yield the records of a pool after a sequence number, in order, for ever.

    :param ending: what ends it beside the closing of the store
    """
    with store.tail.changes(pool_id) as turns, (ending or store.tail.ending).ends(turns):
        async for _ in turns:
            page = await next_page(store, pool_id, after)
            for record in page.records:
                after = record.cursor.sequence
                if not keep_unknown:
                    refuse_unknown(record)
                yield record
                turns.refuse_closed()
            if page.error is not None:
                raise page.error.copy()
            if len(page.records) == PAGE_SIZE:
                turns.wake()


async def next_page(store: Followable, pool_id: str, after: int) -> Page:
    """Read the records after a sequence number once for all who follow the pool there."""

    async def read() -> Page:
        return await store.read_page(pool_id, after, PAGE_SIZE)

    return await store.tail.shared(pool_id, ("records", after), read)


def refuse_unknown(record: AgentPoolStoreRecord) -> None:
    """Refuse a record of a kind that this version does not know.

    :raises UnknownRecordError: it is one
    """
    if isinstance(record.payload, UnknownRecord):
        open_payload(record.pool_id, record.cursor.sequence, record.payload.kind, None)
