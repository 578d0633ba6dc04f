"""Wakes the tasks of one process that wait for something in one pool, and only those concerned.

A task names a *topic*, then looks at the state, then waits until something touches its topic. One
follower per opened pool reads the log for all of them; it runs while somebody waits.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import anyio

from agentpool.errors import AgentPoolError, StoreClosedError
from agentpool.rules.claims import next_available
from agentpool.rules.command import Command, PoolView
from agentpool.stores.base import AgentPoolStore
from agentpool.stores.tail import PAGE_SIZE, Ending, Turns, next_page
from agentpool.support.tasks import ended
from agentpool.wire.records import (
    AgentPoolStoreRecordPayload,
    MessageStatus,
    RunMessageRecorded,
    UnknownRecord,
    WakeRecorded,
)

__all__ = ("Waiting", "inbox_topic", "message_topic", "wake_topic")

_LOG = logging.getLogger("agentpool")

R = TypeVar("R")

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


class Waiting:
    """The waiting room of one opened pool."""

    def __init__(self, store: AgentPoolStore, pool_id: str, ending: Ending) -> None:
        self._store = store
        self._pool_id = pool_id
        self._ending = ending
        self._topics: dict[str, set[Turns]] = {}
        self._started: anyio.Event | None = None
        self._follower: asyncio.Task[None] | None = None
        self._turns: Turns | None = None
        self._inboxes_seen_at = 0.0
        self._next_available: int | None = None

    async def until(
        self,
        topic: str,
        look: Callable[[bool], Awaitable[R | None]],
        *,
        ending: Ending | None = None,
    ) -> R:
        """Look again and again, whenever the topic is touched, until something is found.

        :param look: is told whether the topic was touched since it looked before
        :param ending: what ends it beside the closing of the pool
        :raises StoreClosedError: the pool, or its store, was closed
        """
        turns = Turns()
        touched = False
        with (
            self._ending.ends(turns),
            (ending or self._ending).ends(turns),
            self._waiting(topic, turns),
        ):
            async for _ in turns:
                # A look misses nothing only if the follower has its place in the log before it.
                # What is there already needs no follower.
                was_followed = self._is_following
                found = await look(touched)
                if found is not None:
                    return found
                touched = was_followed
                if not was_followed:
                    await self._start_following()
                    turns.wake()
        raise AssertionError  # turns end by an error only

    async def until_taken(
        self,
        topic: str,
        when: Callable[[PoolView], int | None],
        take: Command[R | None],
        *,
        hopeful: bool = False,
        ending: Ending | None = None,
    ) -> tuple[R, bool]:
        """Carry out a command, whenever the topic is touched, until it gives something.

        Before it was touched, and after it came too late, it only asks: a wait that begins in
        vain costs no write transaction.

        :param when: says from when on, in milliseconds of the store's clock, there is something to
            take; ``None``: nobody knows yet
        :param hopeful: do not ask the first time
        :param ending: what ends it beside the closing of the pool
        :return: what it gave, and whether that was there at once
        :raises StoreClosedError: the pool, or its store, was closed
        """
        looks = 0

        async def look(touched: bool) -> R | None:
            nonlocal looks
            looks += 1
            found = None
            if touched or (hopeful and looks == 1):
                found = await self._store.execute(self._pool_id, take)
            while found is None and await self._is_there(when):
                found = await self._store.execute(self._pool_id, take)
            return found

        return await self.until(topic, look, ending=ending), looks == 1

    async def _is_there(self, when: Callable[[PoolView], int | None]) -> bool:
        now, at = await self._store.query(self._pool_id, lambda view: (view.now, when(view)))
        if at is None or at <= now:
            return at is not None
        if self._next_available is None or at < self._next_available:
            self._next_available = at
            self._look_again()
        return False

    @contextmanager
    def _waiting(self, topic: str, turns: Turns) -> Iterator[None]:
        waiting = self._topics.setdefault(topic, set())
        waiting.add(turns)
        try:
            yield
        finally:
            waiting.discard(turns)
            if not waiting:
                del self._topics[topic]
                self._look_again()

    async def settle(self) -> None:
        """Wait for the follower to end, which it does when nobody waits any more."""
        if self._follower is not None:
            await ended([self._follower])

    # --- following the log for all who wait

    @property
    def _is_following(self) -> bool:
        return self._started is not None and self._started.is_set()

    async def _start_following(self) -> None:
        if self._started is None:
            self._started = anyio.Event()
            self._follower = self._store.spawn(self._follow(self._started))
        await self._started.wait()

    def _look_again(self) -> None:
        if self._turns is not None:
            self._turns.wake()

    async def _follow(self, started: anyio.Event) -> None:
        try:
            with self._store.changes(self._pool_id) as turns, self._ending.ends(turns):
                self._turns = turns
                place = await self._store.query(self._pool_id, _head)
                started.set()
                async for _ in turns:
                    if not self._topics:
                        return
                    place = await self._look(turns, place)
        except StoreClosedError:
            pass  # whoever waits finds that out by looking
        except AgentPoolError as error:
            _LOG.warning("waiting was interrupted: %s", error, extra={"action": "hub_failed"})
        finally:
            # Nothing may come between the decision to end and this: whoever waits from now on
            # sees that nobody follows.
            self._started = self._turns = None
            started.set()
            self._touch(list(self._topics))

    async def _look(self, turns: Turns, place: int) -> int:
        """Touch what the records after a place concern; without any, the inboxes.

        :return: the place after them
        """
        records, error = await next_page(self._store, self._pool_id, place)
        for record in records:
            self._touch(_topics(record.payload))
            place = record.cursor.sequence
        if error is not None:
            raise error.copy()
        turns.within(await self._look_at_inboxes(due=not records) / 1000)
        if len(records) == PAGE_SIZE:
            turns.wake()
        return place

    async def _look_at_inboxes(self, *, due: bool) -> int:
        """Touch the inboxes with something to take, when that may have changed without a record.

        Not more often than pays: most changes without a record do not concern an inbox. But a
        log that never rests does not hide them.

        :return: after how many milliseconds to look again
        """
        now = self._store.clock()
        if self._next_available is not None and self._next_available <= now:
            due = True
        moment = anyio.current_time()
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
        runs = [t.removeprefix(_INBOX) for t in self._topics if t.startswith(_INBOX)]
        if not runs:
            return None

        def look(view: PoolView) -> tuple[int, dict[str, int | None]]:
            return view.now, {run_id: next_available(view, run_id) for run_id in runs}

        now, available = await self._store.query(self._pool_id, look)
        self._touch(inbox_topic(r) for r, at in available.items() if at is not None and at <= now)
        return min((at for at in available.values() if at is not None and at > now), default=None)

    def _touch(self, topics: Iterable[str]) -> None:
        for topic in topics:
            for turns in self._topics.get(topic, ()):
                turns.wake()


def _head(view: PoolView) -> int:
    return view.head


def _topics(payload: AgentPoolStoreRecordPayload | UnknownRecord) -> list[str]:
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
