"""Wakes the tasks of one process that wait for something in one pool, and only those concerned.

A task registers a *topic*, then looks at the state, then sleeps until a record touches its topic.
One follower per pool object reads the log for all of them; it runs while somebody waits.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple, TypeVar

from agentpool.command import PoolView
from agentpool.coordination.inbox import next_available
from agentpool.errors import StoreClosedError
from agentpool.records import AgentPoolStoreRecordPayload, RunMessageRecorded, WakeRecorded
from agentpool.signals import Signal, wait_for_any
from agentpool.stores.base import AgentPoolStore

__all__ = ("Hub", "inbox_topic", "message_topic", "wake_topic")

R = TypeVar("R")

_PAGE: Final = 500
_INBOX: Final = "inbox "
_RECHECK_SECONDS: Final = 0.02
_LONGEST_SLEEP: Final = 1.0


def inbox_topic(run_id: str) -> str:
    """Name what concerns the inbox of a run."""
    return f"{_INBOX}{run_id}"


def message_topic(idempotency_key: str) -> str:
    """Name what concerns the status of a message."""
    return f"message {idempotency_key}"


def wake_topic(condition_id: str) -> str:
    """Name what concerns a wake."""
    return f"wake {condition_id}"


class _Seen(NamedTuple):
    """What one look at the pool showed."""

    records: Sequence[tuple[int, AgentPoolStoreRecordPayload]]
    now: int
    available: dict[str, int | None]


class Hub:
    """The waiting room of one pool object."""

    def __init__(self, store: AgentPoolStore, pool_id: str) -> None:
        self._store = store
        self._pool_id = pool_id
        self._waiters: Counter[str] = Counter()
        self._signals: dict[str, Signal] = {}
        self._started: asyncio.Future[None] | None = None
        self._poke = Signal()
        self._follower: asyncio.Task[None] | None = None

    async def until(self, topic: str, look: Callable[[], Awaitable[R | None]]) -> R:
        """Look again and again, whenever the topic is touched, until something is found."""
        with self._waiting(topic):
            while True:
                # In this order nothing is missed: the follower has its place in the log before
                # the state is looked at, and the signal is the one that was current before that.
                await self._follower_ready()
                touched = self._signals[topic]
                found = await look()
                if found is not None:
                    return found
                await touched.wait()

    async def settle(self) -> None:
        """Wait for the follower to end, when nobody waits any more."""
        if self._follower is not None and not self._waiters:
            await asyncio.wait([self._follower])

    @contextmanager
    def _waiting(self, topic: str) -> Iterator[None]:
        self._waiters[topic] += 1
        self._signals.setdefault(topic, Signal())
        try:
            yield
        finally:
            self._waiters[topic] -= 1
            if not self._waiters[topic]:
                del self._waiters[topic], self._signals[topic]
                self._poke.fire()

    async def _follower_ready(self) -> None:
        if self._started is None:
            self._started = asyncio.get_running_loop().create_future()
            self._follower = self._store.spawn(self._follow(self._started))
        else:
            self._poke.fire()
        await asyncio.shield(self._started)

    async def _follow(self, started: "asyncio.Future[None]") -> None:
        try:
            with self._store.changes() as current:
                place = await self._store.query(self._pool_id, _sequence)
                started.set_result(None)
                while self._waiters:
                    changed = current()
                    self._poke = Signal()
                    place, more, millis = await self._look(place)
                    if not more:
                        await self._sleep(changed, millis)
        except StoreClosedError:
            pass  # whoever waits finds that out by looking
        finally:
            self._started = None
            if not started.done():
                started.set_result(None)
            for topic in list(self._signals):
                self._touch(topic)

    async def _look(self, place: int) -> tuple[int, bool, int | None]:
        """Touch what the records after a place concern, and the inboxes with something to take.

        :return: the place after them, whether there may be more, and in how many milliseconds an
            inbox will have something to take again
        """
        runs = [t.removeprefix(_INBOX) for t in self._waiters if t.startswith(_INBOX)]

        def look(view: PoolView) -> _Seen:
            available = {run_id: next_available(view, run_id) for run_id in runs}
            return _Seen(view.records(place, _PAGE), view.now, available)

        seen = await self._store.query(self._pool_id, look)
        for _, payload in seen.records:
            for topic in _topics(payload):
                self._touch(topic)
        later: list[int] = []
        for run_id, at in seen.available.items():
            if at is not None and at <= seen.now:
                self._touch(inbox_topic(run_id))
            elif at is not None:
                later.append(at - seen.now)
        place = seen.records[-1][0] if seen.records else place
        return place, len(seen.records) == _PAGE, min(later, default=None)

    async def _sleep(self, changed: Signal, millis: int | None) -> None:
        """Sleep until a change, a new waiter or a time; not for shorter than pays."""
        longest = _LONGEST_SLEEP if millis is None else min(millis / 1000, _LONGEST_SLEEP)
        await wait_for_any(changed, self._poke, seconds=max(longest, _RECHECK_SECONDS))

    def _touch(self, topic: str) -> None:
        signal = self._signals.get(topic)
        if signal is not None:
            self._signals[topic] = Signal()
            signal.fire()


def _sequence(view: PoolView) -> int:
    return view.head


def _topics(payload: AgentPoolStoreRecordPayload) -> list[str]:
    match payload:
        case RunMessageRecorded(stored):
            inboxes = map(inbox_topic, stored.receipt.delivered_to)
            return [message_topic(stored.message.idempotency_key), *inboxes]
        case WakeRecorded(stored_wake):
            return [wake_topic(stored_wake.condition.condition_id)]
        case _:
            return []
