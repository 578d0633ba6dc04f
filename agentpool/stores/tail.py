"""Following the pools of one handle: who is told of what, and who reads it.

Those who look for the same at the same place after the same change share one look, so a record is
read once for all of them. Nothing is held over a ``yield``: no lock, no task group, no transaction;
a consumer that pauses, breaks off or is cancelled harms nobody.
"""

import asyncio
from collections.abc import (
    AsyncGenerator,
    Callable,
    Coroutine,
    Hashable,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import contextmanager
from operator import attrgetter
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, TypeVar

from agentpool.errors import AgentPoolError, StoreError
from agentpool.rules.topics import ANY, LOG, AllTouched
from agentpool.stores.turns import Ending, Turns
from agentpool.support.tasks import ended, joined, start
from agentpool.wire.payload import open_payload
from agentpool.wire.records import AgentPoolStoreRecord, UnknownRecord

__all__ = (
    "PAGE_SIZE",
    "Page",
    "Tail",
    "Told",
    "follow",
    "next_page",
    "refuse_any_unknown",
)

R = TypeVar("R")

PAGE_SIZE: Final = 500
"""Records that a follower reads at once, the ``limit`` of its pages; others may ask for fewer."""

_PAYLOAD: Final = attrgetter("payload")

Told: TypeAlias = Callable[[int | None], None]
"""What is called when a topic was touched."""

_Look: TypeAlias = Callable[[], Coroutine[Any, Any, R]]


class Page(NamedTuple):
    """Records in order and, where the next one cannot be read, the error that says so.

    Fewer records than were asked for, and no error: there are no more.
    """

    records: list[AgentPoolStoreRecord]
    error: AgentPoolError | None = None


class _Followed:
    """A topic of a pool that somebody follows."""

    __slots__ = ("changes", "looks", "replacing", "takers", "told")

    def __init__(self, pool_id: str) -> None:
        self.replacing = _replacing(pool_id)
        self.told: dict[object, Told] = {}
        self.takers = 0
        self.changes = 0
        self.looks: dict[Hashable, asyncio.Task[Any]] = {}

    def tell(self, number: int | None) -> None:
        self.changes += 1
        for told in list(self.told.values()):
            told(number)


def _replacing(pool_id: str) -> Ending:
    msg = (
        "the log no longer has what was read of it: a backup was restored, or records were changed"
        " or deleted; begin again at a place that is there"
    )
    return Ending(msg, pool_id, StoreError)


class Tail:
    """Everybody who follows something in a pool of one store handle.

    :param on_first: called when the first one comes: start to look for what others do
    :param on_last: called when the last one has gone
    :param on_topic: called with a pool and a topic when somebody begins to follow that
    """

    def __init__(
        self,
        on_first: Callable[[], None] = lambda: None,
        on_last: Callable[[], None] = lambda: None,
        on_topic: Callable[[str, str], None] = lambda _pool_id, _topic: None,
    ) -> None:
        self.ending: Final = Ending("the store is closed")
        self._on_first = on_first
        self._on_last = on_last
        self._on_topic = on_topic
        self._pools: dict[str, dict[str, _Followed]] = {}
        self._looks: set[asyncio.Task[Any]] = set()

    @contextmanager
    def changes(self, pool_id: str) -> Iterator[Turns]:
        """Take turns at looking at the log of a pool, for the length of the block.

        :raises StoreClosedError: the store is closed
        """
        turns = Turns()
        with (
            self.ending.ends(turns),
            self.listening(pool_id, LOG, lambda _: turns.wake()) as followed,
        ):
            followed.takers += 1
            try:
                with followed.replacing.ends(turns):
                    yield turns
            finally:
                followed.takers -= 1

    @contextmanager
    def listening(self, pool_id: str, topic: str, told: Told) -> Iterator[_Followed]:
        """Have a function called at every touch of a topic, for the length of the block.

        :param told: gets the number that goes with the topic; ``None``: anything may have changed
        """
        if not self._pools:
            self._on_first()
        topics = self._pools.setdefault(pool_id, {})
        followed = topics.get(topic)
        is_new = followed is None
        if followed is None:
            followed = topics[topic] = _Followed(pool_id)
        me = object()
        followed.told[me] = told
        if is_new:
            self._on_topic(pool_id, topic)
        try:
            yield followed
        finally:
            del followed.told[me]
            if not followed.told:
                del topics[topic]
            if not topics:
                del self._pools[pool_id]
            if not self._pools:
                self._on_last()

    def notify(self, pool_ids: Iterable[str] | None = None) -> None:
        """Tell everybody who follows anything in one of these pools that it may have changed.

        :param pool_ids: ``None`` where it is not known which: all of them
        """
        for pool_id in list(self._pools) if pool_ids is None else pool_ids:
            for followed in list(self._pools.get(pool_id, {}).values()):
                followed.tell(None)

    def touch(self, touched: AllTouched) -> None:
        """Tell those who follow what was touched, and nobody else."""
        for pool_id, topics in touched.items():
            if ANY in topics:
                self.notify([pool_id])
                continue
            followed = self._pools.get(pool_id, {})
            for topic, number in topics.items():
                if topic in followed:
                    followed[topic].tell(number)

    def replace(self, pool_ids: Iterable[str]) -> None:
        """End the turns of all who follow these pools, with a `StoreError`.

        Where they stand is no longer in the log; who comes from now on begins in what is there.
        """
        for pool_id in pool_ids:
            for followed in self._pools.get(pool_id, {}).values():
                followed.replacing.close()
                followed.replacing = _replacing(pool_id)
        self.notify(pool_ids)

    @property
    def pool_ids(self) -> Iterable[str]:
        """The pools in which somebody follows something."""
        return self._pools

    @property
    def followed(self) -> Iterator[tuple[str, str]]:
        """What somebody follows: pools and topics."""
        return ((pool_id, topic) for pool_id, topics in self._pools.items() for topic in topics)

    async def shared(self, pool_id: str, what: Hashable, look: _Look[R]) -> R:
        """Look at a followed log, together with all who look for the same after the same change.

        A look that began before the last change may miss it; whoever was told of that change
        therefore never joins it. Cancelled, the look goes on for the others.

        :param what: says what is looked for, and where
        """
        followed = self._pools.get(pool_id, {}).get(LOG)
        if followed is None or followed.takers < 2:  # noqa: PLR2004  # nobody to share with
            return await look()
        key = (followed.changes, what)
        task = followed.looks.get(key)
        if task is None:
            task = followed.looks[key] = start(look())
            self._looks.add(task)  # its followers, and with them the pool, may go before it ends
            task.add_done_callback(lambda done: self._forget(followed, key, done))
        result: R = await joined(task)
        return result

    def _forget(self, followed: _Followed, what: Hashable, done: "asyncio.Task[Any]") -> None:
        self._looks.discard(done)
        del followed.looks[what]
        if not done.cancelled():
            done.exception()  # every follower may be gone; then nobody else asks for it

    async def settle(self) -> None:
        """Wait for the looks that are under way, whose followers may be gone."""
        await ended(self._looks)


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
            turns.refuse_closed()
            for record in page.records:
                after = record.cursor.sequence
                if not keep_unknown:
                    _refuse_unknown(record)
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


def refuse_any_unknown(records: Sequence[AgentPoolStoreRecord]) -> None:
    """Refuse the first record of a kind that this version does not know.

    :raises UnknownRecordError: there is one
    """
    if UnknownRecord in map(type, map(_PAYLOAD, records)):  # without a frame for each record
        for record in records:
            _refuse_unknown(record)


def _refuse_unknown(record: AgentPoolStoreRecord) -> None:
    if isinstance(record.payload, UnknownRecord):
        open_payload(record.pool_id, record.cursor.sequence, record.payload.kind, None)
