"""Keeps the promises of time: one background task per store handle, for all its pools.

It carries out what is due and works in what other implementations have appended, in short pieces
with rests between; beside it beat the `Heartbeats` of this process. Any process does this for any
other, so none is in charge.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Final, NamedTuple

import anyio

from agentpool.errors import AgentPoolError, StoreClosedError
from agentpool.rules.consequences import CatchUp, CaughtUp
from agentpool.rules.topics import DEADLINES
from agentpool.runtime.heartbeat import Heartbeats
from agentpool.runtime.telling import told
from agentpool.stores.base import AgentPoolStore, Due
from agentpool.stores.turns import Turns
from agentpool.support.tasks import cancel, ended

__all__ = ("Upkeep",)

_LOG = logging.getLogger("agentpool")

_COALESCE_SECONDS: Final = 0.02
_AFTER_ERROR_SECONDS: Final = 0.2
_TOLD_EACH: Final = 5
_LEAST_REST_SECONDS: Final = 0.005
_LONGEST_EARLY_SECONDS: Final = 0.2
_AT_OPENING_SECONDS: Final = 0.5
_QUIET_SECONDS: Final = 0.05
_LONGEST_BURST_SECONDS: Final = 1.0
_NOBODY_WRITES_SECONDS: Final = 1.0
_LOOK_AT_ALL_EVERY: Final = 30.0
"""Seconds after which pools are looked at that nobody told of: a writer killed before it rang."""
_LONGEST_SLEEP: Final = 5.0
"""Seconds after which the clock is looked at again: it may have jumped."""


class _Burst(NamedTuple):
    """Records that others append one soon after another; times are those of the event loop."""

    head: int
    began: float
    grew: float

    @property
    def over(self) -> float:
        """When it is over, unless it grows before."""
        return min(self.grew + _QUIET_SECONDS, self.began + _LONGEST_BURST_SECONDS)

    def is_past(self, moment: float) -> bool:
        """Say whether nothing was appended for so long that nobody is about to."""
        return moment - self.grew >= _NOBODY_WRITES_SECONDS

    @property
    def seen(self) -> int | None:
        """The record that it ended with; ``None``: it goes on, and was waited for long enough."""
        return self.head if self.over == self.grew + _QUIET_SECONDS else None


class Upkeep:
    """The upkeep of one store handle; get it with `Upkeep.of`.

    It looks only at pools that have changed or where something is due, and at all of those at
    once; a pool in which nothing happens costs nothing.
    """

    def __init__(self, store: AgentPoolStore) -> None:
        self.heartbeats: Final = Heartbeats(store)
        self._store = store
        self._pools: Counter[str] = Counter()
        self._listening: dict[str, AbstractContextManager[object]] = {}
        self._changed: set[str] = set()
        self._deadlines: dict[str, int] = {}
        self._told: dict[str, int] = {}
        self._errors: dict[str, str] = {}
        self._bursts: dict[str, _Burst] = {}
        self._unfinished: set[str] = set()
        """Where records come of what is to be done there, which are no burst of others."""
        self._rests: dict[str, float] = {}  # until when not to look at a pool, in loop time
        self._turns = Turns()
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, store: AgentPoolStore) -> "Upkeep":
        """Give the one upkeep of a store handle."""
        return store.companion(cls)

    def add_pool(self, pool_id: str) -> None:
        """Look after a pool, until it is removed as often as it was added."""
        self._pools[pool_id] += 1
        if pool_id not in self._listening:
            told = partial(self._hear, pool_id)
            listening = self._store.tail.listening(pool_id, DEADLINES, told)
            listening.__enter__()
            self._listening[pool_id] = listening
        self._look_at([pool_id])
        if self._task is None or self._task.done():
            self._task = self._store.spawn(self._run())

    async def remove_pool(self, pool_id: str) -> None:
        """Look after a pool no longer; with the last one the background task ends."""
        self._pools -= Counter({pool_id: 1})
        if pool_id not in self._pools:
            self._listening.pop(pool_id).__exit__(None, None, None)
            for noted in (self._deadlines, self._told, self._errors, self._bursts, self._rests):
                noted.pop(pool_id, None)
            self._unfinished.discard(pool_id)
        if not self._pools and self._task is not None:
            # Whoever comes meanwhile gets a task of their own, so that this one surely ends.
            task, self._task = self._task, None
            cancel([task])
            await ended([task])

    def _hear(self, pool_id: str, due: int | None) -> None:
        """Hear of something that falls due; before that there is nothing to look for."""
        if not due:
            self._turns.tell(pool_id)
            return
        # Whoever told of it counts on a look at that time, though until then it may be over, and
        # tells of nothing later meanwhile.
        self._told[pool_id] = min(due, self._told.get(pool_id, due))
        if due < self._deadlines.get(pool_id, due + 1):
            self._deadlines[pool_id] = due
            self._turns.wake()

    def _look_at(self, pool_ids: Iterable[str]) -> None:
        self._changed.update(pool_ids)
        self._turns.wake()

    async def _run(self) -> None:
        with self._store.tail.ending.ends(self._turns) as turns:
            async with asyncio.TaskGroup() as tasks:
                beating = [
                    tasks.create_task(self.heartbeats.run()),
                    tasks.create_task(self.heartbeats.watch()),
                ]
                with suppress(StoreClosedError):
                    await self._keep_up(turns)
                cancel(beating)

    async def _keep_up(self, turns: Turns) -> None:
        everything_at = 0.0
        async for _ in turns:
            if turns.told - self._rests.keys():
                await anyio.sleep(_COALESCE_SECONDS)  # many commits, one look
            self._changed |= turns.told
            turns.told.clear()
            if everything_at <= anyio.current_time():
                everything_at = anyio.current_time() + _LOOK_AT_ALL_EVERY
                self._changed.update(self._pools)
            await self._step()
            turns.within(self._seconds_left())

    async def _step(self) -> None:
        """Look at what has changed or is due, and do a piece of what is to be done there."""
        now, moment = self._store.clock(), anyio.current_time()
        found = await self._ask(sorted(self._to_ask(now, moment)))
        waiting = []
        for pool_id, due in found.items():
            self._note(pool_id, due.next_deadline)
            if due.next_deadline is not None and due.next_deadline <= now:
                waiting.append((pool_id, CatchUp()))
            elif not due.behind:
                self._errors.pop(pool_id, None)  # it was put right: told of when it comes again
                self._bursts.pop(pool_id, None)
                self._unfinished.discard(pool_id)
            elif pool_id in self._unfinished:
                waiting.append((pool_id, CatchUp()))
            elif (burst := self._over(pool_id, due.head)) is not None:
                piece = CatchUp(of_others=True, seen=burst.seen, alone=burst.is_past(moment))
                waiting.append((pool_id, piece))
            elif due.next_deadline is not None:  # which does not wait for that
                at = moment + (due.next_deadline - now) / 1000
                self._rests[pool_id] = min(self._rests[pool_id], at)
        async with asyncio.TaskGroup() as tasks:
            for pool_id, piece in waiting:
                tasks.create_task(self._guarded(pool_id, partial(self._do_piece, pool_id, piece)))

    def _to_ask(self, now: int, moment: float) -> set[str]:
        """Find the pools to look at, but for those that rest."""
        rested = {each for each, until in self._rests.items() if until <= moment}
        for pool_id in rested:
            del self._rests[pool_id]
        due_now = {each for each, at in self._deadlines.items() if at <= now}
        asking = (self._changed | due_now | rested) & self._pools.keys() - self._rests.keys()
        self._changed &= self._rests.keys()
        for pool_id in asking:
            if self._told.get(pool_id, now + 1) <= now:
                del self._told[pool_id]
        return asking

    def _over(self, pool_id: str, head: int) -> _Burst | None:
        """Give the burst of others' records if it is over; else look again when it may be.

        Other implementations read before they write, and fail when somebody commits in between. So
        nobody answers each of their records at once.
        """
        moment = anyio.current_time()
        burst = self._bursts.get(pool_id, _Burst(head, moment, moment))
        if head != burst.head:
            burst = _Burst(head, burst.began, moment)
        if pool_id not in self._pools:  # it was removed while it was asked about
            return None
        self._bursts[pool_id] = burst
        if burst.over <= moment:
            return burst
        self._rests[pool_id] = burst.over
        return None

    async def _ask(self, pool_ids: Sequence[str]) -> dict[str, Due]:
        """Ask of all pools at once; where that fails, one by one, to find out which is at fault."""
        if not pool_ids:
            return {}
        try:
            return await self._store.due(pool_ids)
        except StoreClosedError:
            raise
        except AgentPoolError:
            found: dict[str, Due] = {}
            for pool_id in pool_ids:
                await self._guarded(pool_id, partial(self._ask_one, pool_id, found))
            return found

    async def _ask_one(self, pool_id: str, found: dict[str, Due]) -> None:
        found.update(await self._store.due([pool_id]))

    async def _do_piece(self, pool_id: str, piece: CatchUp) -> None:
        found, rest = await self._catch_up(pool_id, piece)
        if found.done:
            self._bursts.pop(pool_id, None)
            rest = self._seconds_early(found)
        if rest:
            self._rests[pool_id] = anyio.current_time() + rest
        else:
            self._look_at([pool_id])  # when the next deadline is, shows the next look

    def _seconds_early(self, found: CaughtUp) -> float:
        """Say how long to rest where the clock of the handle is ahead of the one that decides."""
        if found.next_deadline is None or found.next_deadline > self._store.clock():
            return 0
        return min(found.left / 1000, _LONGEST_EARLY_SECONDS)

    async def _catch_up(self, pool_id: str, piece: CatchUp) -> tuple[CaughtUp, float]:
        """Do one piece, and say what came of it, and how long to rest before another."""
        began = anyio.current_time()
        found = await told(self._store, pool_id, piece)
        _tell_of(pool_id, found.passed_by)
        if found.done:
            self._unfinished.discard(pool_id)
        elif found.appended:
            self._unfinished.add(pool_id)
        # As long as it took, with waiting for the lock: others get half of the time at least, all
        # processes that do this together.
        took = anyio.current_time() - began
        return found, max(took, _LEAST_REST_SECONDS)

    async def catch_up_at_opening(self, pool_id: str) -> None:
        """Do what waits to be done in a pool, as far as that takes a moment.

        :raises AgentPoolError: nothing can be done there
        """
        until = anyio.current_time() + _AT_OPENING_SECONDS
        while True:
            found, rest = await self._catch_up(pool_id, CatchUp())
            if found.done or anyio.current_time() >= until:
                return
            await anyio.sleep(rest)

    async def _guarded(self, pool_id: str, step: Callable[[], Awaitable[None]]) -> None:
        """Do something for one pool; what is wrong with it is no harm to the others."""
        try:
            await step()
        except StoreClosedError:
            return  # the next turn finds that out
        except Exception as error:  # noqa: BLE001  # the others still have to be looked after
            if self._errors.get(pool_id) != str(error):
                fields = {"action": "upkeep_failed", "pool_id": pool_id}
                _LOG.warning("cannot keep up: %s", error, extra=fields)
            if pool_id not in self._pools:
                return
            self._errors[pool_id] = str(error)
            self._rests[pool_id] = anyio.current_time() + _AFTER_ERROR_SECONDS

    def _note(self, pool_id: str, deadline: int | None) -> None:
        known = [at for at in (deadline, self._told.get(pool_id)) if at is not None]
        if known and pool_id in self._pools:
            self._deadlines[pool_id] = min(known)
        else:
            self._deadlines.pop(pool_id, None)

    def _seconds_left(self) -> float:
        now, moment = self._store.clock(), anyio.current_time()
        resting = [until - moment for until in self._rests.values()]
        due = [(at - now) / 1000 for p, at in self._deadlines.items() if p not in self._rests]
        return max(min([*resting, *due, _LONGEST_SLEEP]), 0)


def _tell_of(pool_id: str, passed_by: Sequence[AgentPoolError]) -> None:
    """Tell of what was passed by: of each, if they are few."""
    fields = {"action": "passed_by", "pool_id": pool_id}
    for error in passed_by[:_TOLD_EACH]:
        _LOG.warning("passed by for good: %s", error, extra={**fields, "seq": error.seq})
    more = len(passed_by) - _TOLD_EACH
    if more > 0:
        _LOG.warning("passed by for good: %s more like these", more, extra=fields)
