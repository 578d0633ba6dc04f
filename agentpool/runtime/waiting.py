"""Wakes the tasks of one process that wait for something in one pool, and only those concerned.

A task registers a *topic*, then looks at the state, then sleeps until something touches its topic.
One follower per pool object reads the log for all of them; it runs while somebody waits.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple, TypeVar

from agentpool.errors import AgentPoolError, StoreClosedError
from agentpool.rules.claims import next_available
from agentpool.rules.command import Command, PoolView
from agentpool.stores.base import AgentPoolStore
from agentpool.support.signals import Signal, wait_for_any
from agentpool.wire.records import (
    AgentPoolStoreRecordPayload,
    MessageStatus,
    RunMessageRecorded,
    WakeRecorded,
)

__all__ = ("Hub", "inbox_topic", "message_topic", "wake_topic")

_LOG = logging.getLogger("agentpool")

R = TypeVar("R")

_PAGE: Final = 500
_INBOX: Final = "inbox "
_LOOK_EVERY_SECONDS: Final = 0.02
_LOOK_AT_LEAST_EVERY_SECONDS: Final = 0.08
_LONGEST_SLEEP_MILLIS: Final = 1000


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
    """What one look at the log showed."""

    records: Sequence[tuple[int, AgentPoolStoreRecordPayload]]
    now: int


class Hub:
    """The waiting room of one pool object."""

    def __init__(self, store: AgentPoolStore, pool_id: str) -> None:
        self._store = store
        self._pool_id = pool_id
        self._waiters: Counter[str] = Counter()
        self._signals: dict[str, Signal] = {}
        self._started: asyncio.Future[None] | None = None
        self._follower: asyncio.Task[None] | None = None
        self._poke = Signal()
        self._closed = False
        self._inboxes_seen_at = 0.0
        self._next_available: int | None = None

    async def until(self, topic: str, look: Callable[[], Awaitable[R | None]]) -> R:
        """Look again and again, whenever the topic is touched, until something is found.

        :raises StoreClosedError: the pool, or its store, was closed
        """
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

    async def until_taken(
        self,
        topic: str,
        when: Callable[[PoolView], int | None],
        take: Command[R | None],
        *,
        hopeful: bool = False,
    ) -> tuple[R, bool]:
        """Carry out a command, whenever the topic is touched, until it gives something.

        Before it waits for the first time, and after it came too late, it only asks: a wait that
        begins in vain costs no write transaction.

        :param when: says from when on, in milliseconds of the store's clock, there is something to
            take; ``None``: nobody knows yet
        :param hopeful: do not ask the first time
        :return: what it gave, and whether that was there at once
        :raises StoreClosedError: the pool, or its store, was closed
        """
        looks = 0

        async def look() -> R | None:
            nonlocal looks
            looks += 1
            found = None
            if hopeful or looks > 1:
                found = await self._store.execute(self._pool_id, take)
            while found is None:
                now, at = await self._store.query(
                    self._pool_id, lambda view: (view.now, when(view))
                )
                if at is None or at > now:
                    self._expect(at)
                    break
                found = await self._store.execute(self._pool_id, take)
            return found

        return await self.until(topic, look), looks == 1

    def _expect(self, at: int | None) -> None:
        """Have the follower look at the inboxes at a time, if it was going to sleep longer."""
        if at is not None and (self._next_available is None or at < self._next_available):
            self._next_available = at
            self._poke.fire()

    def close(self) -> None:
        """End all waiting."""
        self._closed = True
        self._poke.fire()
        self._touch(list(self._signals))

    async def settle(self) -> None:
        """Wait for the follower to end, which it does when nobody waits any more."""
        if self._follower is not None:
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
        if self._closed:
            msg = "the pool is closed"
            raise StoreClosedError(msg, pool_id=self._pool_id)
        if self._started is None:
            self._started = asyncio.get_running_loop().create_future()
            self._follower = self._store.spawn(self._follow(self._started))
        await asyncio.shield(self._started)

    async def _follow(self, started: "asyncio.Future[None]") -> None:
        try:
            with self._store.changes() as current:
                place = await self._store.query(self._pool_id, _head)
                started.set_result(None)
                while self._waiters and not self._closed:
                    changed = current()
                    self._poke = Signal()
                    place, more, millis = await self._look(place)
                    if not more:
                        await wait_for_any(changed, self._poke, seconds=millis / 1000)
        except StoreClosedError:
            pass  # whoever waits finds that out by looking
        except AgentPoolError as error:
            _LOG.warning("waiting was interrupted: %s", error, extra={"action": "hub_failed"})
        finally:
            self._started = None
            if not started.done():
                started.set_result(None)
            self._touch(list(self._signals))

    async def _look(self, place: int) -> tuple[int, bool, int]:
        """Touch what the records after a place concern; without any, the inboxes.

        :return: the place after them, whether there may be more, and for how many milliseconds
            to sleep at most
        """
        seen = await self._store.query(
            self._pool_id, lambda view: _Seen(view.records(place, _PAGE), view.now)
        )
        if seen.records:
            for _, payload in seen.records:
                self._touch(_topics(payload))
            place = seen.records[-1][0]
        sleep = await self._look_at_inboxes(seen.now, due=not seen.records)
        return place, len(seen.records) == _PAGE, sleep

    async def _look_at_inboxes(self, now: int, *, due: bool) -> int:
        """Touch the inboxes with something to take, when that may have changed without a record.

        Not more often than pays: most changes without a record do not concern an inbox. But a
        log that never rests does not hide them.
        """
        if self._next_available is not None and self._next_available <= now:
            due = True
        moment = asyncio.get_running_loop().time()
        rest = self._inboxes_seen_at + _LOOK_EVERY_SECONDS - moment
        due |= rest <= _LOOK_EVERY_SECONDS - _LOOK_AT_LEAST_EVERY_SECONDS
        if due and rest <= 0:
            self._inboxes_seen_at = moment
            self._next_available = await self._touch_inboxes()
        elif due:
            return round(rest * 1000) + 1
        if self._next_available is None:
            return _LONGEST_SLEEP_MILLIS
        return min(max(self._next_available - now, 1), _LONGEST_SLEEP_MILLIS)

    async def _touch_inboxes(self) -> int | None:
        """Touch the inboxes with something to take; say when another will have something."""
        runs = [t.removeprefix(_INBOX) for t in self._waiters if t.startswith(_INBOX)]
        if not runs:
            return None

        def look(view: PoolView) -> tuple[int, dict[str, int | None]]:
            return view.now, {run_id: next_available(view, run_id) for run_id in runs}

        now, available = await self._store.query(self._pool_id, look)
        self._touch(inbox_topic(r) for r, at in available.items() if at is not None and at <= now)
        return min((at for at in available.values() if at is not None and at > now), default=None)

    def _touch(self, topics: Iterable[str]) -> None:
        for topic in topics:
            signal = self._signals.get(topic)
            if signal is not None:
                self._signals[topic] = Signal()
                signal.fire()


def _head(view: PoolView) -> int:
    return view.head


def _topics(payload: AgentPoolStoreRecordPayload) -> list[str]:
    match payload:
        case RunMessageRecorded(stored):
            match stored.receipt.status:
                case MessageStatus.ACCEPTED:
                    return []
                case MessageStatus.DELIVERED:
                    return [*map(inbox_topic, stored.receipt.delivered_to)]
                case _:
                    return [message_topic(stored.message.idempotency_key)]
        case WakeRecorded(stored_wake):
            return [wake_topic(stored_wake.condition.condition_id)]
        case _:
            return []
