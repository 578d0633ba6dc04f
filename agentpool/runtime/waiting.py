"""Waits for something in one pool, and wakes as few tasks as there is something for.

Whoever waits names a *topic*, looks at the state, and waits until the topic is touched. What is
there for all of them, as the end of a wait, wakes all. Of what each takes a piece of, as an inbox,
there is a `_Queue`: a message wakes one of those who wait, however many they are.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Final, TypeAlias, TypeVar

from agentpool.rules.command import LookUps, PoolView, Question
from agentpool.runtime.overdue import Overdue
from agentpool.stores.base import AgentPoolStore
from agentpool.stores.turns import Ending, Turns

__all__ = ("Take", "Waiting", "When")

R = TypeVar("R")

When: TypeAlias = Callable[[PoolView], int | None]
"""Says from when on there is something, by the store's clock; ``None``: nobody knows yet."""

Take: TypeAlias = Callable[[], Awaitable[R | None]]
"""Carries out a command, and undoes it when it is cancelled; ``None``: there was nothing."""

_LONGEST_SLEEP: Final = 1.0
"""Seconds after which the clock is looked at again: it may have jumped."""


class Waiting:
    """The waiting room of one opened pool."""

    def __init__(self, store: AgentPoolStore, pool_id: str, ending: Ending) -> None:
        self._store = store
        self._pool_id = pool_id
        self._ending = ending
        self._queues: dict[str, _Queue] = {}

    async def until(
        self,
        topic: str,
        look: Callable[[bool], Awaitable[R | None]],
        *,
        overdue: Overdue | None = None,
        ending: Ending | None = None,
    ) -> R:
        """Look again and again, whenever the topic is touched, until something is found.

        :param look: is told whether the topic was touched since it looked before
        :param overdue: the deadline that ends it, which ``look`` looks up
        :param ending: what ends it beside the closing of the pool
        :raises StoreClosedError: the pool, or its store, was closed
        """
        with self.turns(topic, ending=ending) as turns:
            touched = False
            async for _ in turns:
                found = await look(touched)
                if found is not None:
                    return found
                touched = True
                if overdue is not None:
                    await overdue.see_to(turns)
        raise AssertionError  # turns end by an error only

    @contextmanager
    def turns(self, *topics: str, ending: Ending | None = None) -> Iterator[Turns]:
        """Take a turn whenever one of these topics is touched, for the length of the block.

        :param ending: what ends them beside the closing of the pool
        :raises StoreClosedError: the pool, or its store, was closed
        """
        turns = Turns()
        with ExitStack() as stack:
            stack.enter_context(self._ends(turns, ending))
            for topic in topics:
                listening = self._store.tail.listening(self._pool_id, topic, lambda _: turns.wake())
                stack.enter_context(listening)
            yield turns

    async def until_taken(
        self,
        topic: str,
        when: When,
        take: Take[R],
        *,
        hopeful: bool = False,
        ending: Ending | None = None,
    ) -> tuple[R, bool]:
        """Take, whenever there may be something for it, until that gives something.

        In turn: where others wait already, there is nothing yet, and they come before this one.
        Before the topic was touched, and after it came too late, it only asks: a wait that begins
        in vain costs no write transaction.

        :param hopeful: do not ask the first time
        :param ending: what ends it beside the closing of the pool
        :return: what it gave, and whether that was there at once
        :raises StoreClosedError: the pool, or its store, was closed
        """
        with self._queueing(topic, hopeful) as waiter, self._ends(waiter.turns, ending):
            async for _ in waiter.turns:
                found = None
                if waiter.begins_sure():
                    found = await take()
                while found is None and await self.is_there(when, waiter.queue):
                    waiter.calls_next()
                    found = await take()
                if found is not None:
                    waiter.took()
                    return found, waiter.looks == 1
                waiter.rest()
        raise AssertionError  # turns end by an error only

    async def taken_now(
        self,
        when: When,
        take: Take[R],
        *,
        hopeful: bool,
    ) -> R | None:
        """Take what is there, as `until_taken` does; ``None``: nothing is."""
        found = await take() if hopeful else None
        while found is None and await self.is_there(when):
            found = await take()
        return found

    async def is_there(self, when: When, queue: "_Queue | None" = None) -> bool:
        """Say whether there is something now; if later, have a queue look then."""
        looks_up = getattr(when, "looks_up", LookUps())
        question = Question(lambda view: (view.now, when(view)), looks_up)
        now, at = await self._store.query(self._pool_id, question)
        if at is not None and at > now:
            if queue is not None:
                queue.look_at(at)
            return False
        return at is not None

    @contextmanager
    def _ends(self, turns: Turns, ending: Ending | None) -> Iterator[None]:
        with (
            self._store.tail.ending.ends(turns),
            self._ending.ends(turns),
            nullcontext() if ending is None else ending.ends(turns),
        ):
            yield

    @contextmanager
    def _queueing(self, topic: str, hopeful: bool) -> "Iterator[_Waiter]":
        """Wait in the queue of a topic, for the length of the block."""
        queue = self._queues.get(topic)
        if queue is None:
            queue = self._queues[topic] = _Queue(self._store, self._pool_id, topic)
        waiter = queue.enter(hopeful=hopeful)
        try:
            yield waiter
        finally:
            if queue.leave(waiter):
                del self._queues[topic]


class _Waiter:
    """One of those who wait in a queue.

    :ivar sure: whether to take at the next turn without asking first
    :ivar alone: whether nobody else was woken for what may be there besides
    :ivar looks: how many turns it had
    """

    __slots__ = ("_owes", "alone", "looks", "queue", "sure", "turns")

    def __init__(self, queue: "_Queue", *, sure: bool, rests: bool) -> None:
        self.queue: Final = queue
        self.turns: Final = Turns(at_once=not rests)
        self.sure: bool = sure and not rests
        self.alone: bool = not rests
        self._owes = not rests
        self.looks: int = int(rests)  # others have looked for it

    def wake(self, *, sure: bool, alone: bool) -> None:
        """Let it look: there may be something for it."""
        self.sure |= sure
        self.alone |= alone
        self.turns.wake()

    def begins_sure(self) -> bool:
        """Begin a turn; say whether to take without asking."""
        sure, self.sure = self.sure, False
        self.looks += 1
        self._owes = True
        return sure

    def rest(self) -> None:
        """Go back to sleep: there is nothing that the next in the queue could find."""
        self._owes = self.alone = False

    def calls_next(self) -> None:
        """There is something, perhaps more than this one takes: let the next look meanwhile."""
        if self.alone:
            self.alone = False
            self.queue.wake_next()

    def took(self) -> None:
        """Leave with something; the next looks where it is not known that there is no more."""
        self._owes = self.alone

    @property
    def owes(self) -> bool:
        """Whether it leaves with something unseen, so that the next has to look."""
        return self._owes or self.turns.woken


class _Queue:
    """Those who wait for one topic, each of whom takes another piece.

    *Nobody sleeps while there is something to take:* a touch wakes as many as it has something
    for, and whoever leaves without having looked, or not knowing whether there is more, wakes the
    next, who asks.
    """

    def __init__(self, store: AgentPoolStore, pool_id: str, topic: str) -> None:
        self._store = store
        self._waiters: dict[_Waiter, None] = {}
        self._listening: AbstractContextManager[object] = store.tail.listening(
            pool_id, topic, self._touched
        )
        self._at: int | None = None
        self._timer: asyncio.TimerHandle | None = None

    def enter(self, *, hopeful: bool) -> _Waiter:
        """Come to the end of the queue; the first turn comes at once, unless somebody sleeps."""
        if not self._waiters:
            self._listening.__enter__()
        somebody_sleeps = any(not each.owes for each in self._waiters)
        waiter = _Waiter(self, sure=hopeful, rests=somebody_sleeps)
        self._waiters[waiter] = None
        return waiter

    def leave(self, waiter: _Waiter) -> bool:
        """Leave the queue; says whether it is empty, and over."""
        del self._waiters[waiter]
        if self._waiters:
            if waiter.owes:
                self.wake_next()
            return False
        if self._timer is not None:
            self._timer.cancel()
        self._listening.__exit__(None, None, None)
        return True

    def _touched(self, number: int | None) -> None:
        # A number that this handle's own commit gave is how many there are to be taken. Others
        # only rang, and where anything may have changed there may be nothing.
        self._wake(number or 1, sure=number is not None, alone=not number)

    def wake_next(self) -> None:
        """Let the next in the queue ask whether there is something."""
        self._wake(1, sure=False, alone=True)

    def _wake(self, count: int, *, sure: bool, alone: bool) -> None:
        for waiter in self._waiters:
            if not waiter.turns.woken:
                waiter.wake(sure=sure, alone=alone)
                count -= 1
                if not count:
                    return

    def look_at(self, at: int) -> None:
        """Have one of them look at a time, in milliseconds of the store's clock."""
        if self._at is None or at < self._at:
            self._at = at
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._at is not None:
            seconds = min(max(self._at - self._store.clock(), 0) / 1000, _LONGEST_SLEEP)
            self._timer = asyncio.get_running_loop().call_later(seconds, self._time_is_up)

    def _time_is_up(self) -> None:
        if self._at is not None and self._at <= self._store.clock():
            self._at = None
            self.wake_next()
        self._set_timer()
