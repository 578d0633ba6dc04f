"""Keeps the promises of time: one background task per store handle, for all its pools.

It carries out what is due, works in what other implementations have appended, and renews the
leases of this process, all in one commit per heartbeat. Any process does this for any other, so
none is in charge.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, Protocol
from weakref import WeakValueDictionary

from agentpool.errors import StoreClosedError
from agentpool.rules.answers import HOLD_MILLIS, RenewHolds
from agentpool.rules.claims import Claim, RenewClaims
from agentpool.rules.command import PoolView
from agentpool.rules.consequences import CatchUp
from agentpool.rules.membership import Heartbeat
from agentpool.stores.base import AgentPoolStore
from agentpool.support.signals import Signal, wait_for_any

__all__ = ("Keeper",)

_LOG = logging.getLogger("agentpool")

_COALESCE_SECONDS: Final = 0.02
_LONGEST_SLEEP: Final = 5.0
_AFTER_ERROR: Final = 0.2
_BEATS_PER_LEASE: Final = 3


class Renewable(Protocol):
    """Something under a claim: its lease is in milliseconds."""

    @property
    def claim(self) -> Claim:
        """The claim to renew."""

    @property
    def lease(self) -> int:
        """For how long to renew it."""


class Keeper:
    """The keeper of one store handle; get it with `Keeper.of`."""

    def __init__(self, store: AgentPoolStore) -> None:
        self._store = store
        self._pools: Counter[str] = Counter()
        self._leases: dict[tuple[str, str], int] = {}
        self._holds: Counter[tuple[str, str]] = Counter()
        self._deliveries: WeakValueDictionary[tuple[str, Claim], Renewable] = WeakValueDictionary()
        self._next_beat: int | None = None
        self._last_error = ""
        self._poke = Signal()
        self._beat_poke = Signal()
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, store: AgentPoolStore) -> "Keeper":
        """Give the one keeper of a store handle."""
        return store.companion(cls)

    def add_pool(self, pool_id: str) -> None:
        """Look after a pool, until it is removed as often as it was added."""
        self._pools[pool_id] += 1
        if self._task is None or self._task.done():
            self._task = self._store.spawn(self._run())
        self._poke.fire()

    async def remove_pool(self, pool_id: str) -> None:
        """Look after a pool no longer; with the last one the background task ends."""
        self._pools -= Counter({pool_id: 1})
        self._poke.fire()
        if not self._pools and self._task is not None:
            # Whoever comes meanwhile gets a task of their own, so that this one surely ends.
            task, self._task = self._task, None
            await asyncio.wait([task])

    def add_lease(self, pool_id: str, run_id: str, millis: int) -> None:
        """Renew the lease of a member from now on."""
        self._leases[pool_id, run_id] = millis
        self._schedule_beat()

    def remove_lease(self, pool_id: str, run_id: str) -> None:
        """Renew the lease of a member no longer."""
        self._leases.pop((pool_id, run_id), None)

    def add_hold(self, pool_id: str, message_id: str) -> None:
        """Have the answers to a message kept for who waits for them, from now on."""
        self._holds[pool_id, message_id] += 1
        self._schedule_beat()

    def remove_hold(self, pool_id: str, message_id: str) -> None:
        """Have the answers to a message kept no longer than until the hold runs out."""
        self._holds -= Counter({(pool_id, message_id): 1})

    def add_delivery(self, pool_id: str, delivery: Renewable) -> None:
        """Renew a claim from now on, for as long as somebody holds its delivery."""
        self._deliveries[pool_id, delivery.claim] = delivery
        self._schedule_beat()

    def remove_delivery(self, pool_id: str, delivery: Renewable) -> None:
        """Renew a claim no longer."""
        self._deliveries.pop((pool_id, delivery.claim), None)

    def _interval(self) -> int | None:
        claims = [delivery.lease for delivery in self._deliveries.values()]
        holds = [HOLD_MILLIS] if self._holds else []
        shortest = min([*self._leases.values(), *claims, *holds], default=None)
        return None if shortest is None else max(shortest // _BEATS_PER_LEASE, 1)

    def _schedule_beat(self) -> None:
        interval = self._interval()
        if interval is not None:
            beat = self._store.clock() + interval
            self._next_beat = beat if self._next_beat is None else min(self._next_beat, beat)
            self._beat_poke.fire()

    async def _run(self) -> None:
        # Heartbeats go by themselves: a look may have to wait behind somebody's long question.
        beating = asyncio.create_task(self._keep_beating())
        try:
            with self._store.changes() as current:
                while self._task is asyncio.current_task():
                    changed = current()
                    self._poke = Signal()
                    seconds = await self._step()
                    await wait_for_any(changed, self._poke, seconds=seconds)
                    if changed.fired:
                        await asyncio.sleep(_COALESCE_SECONDS)  # many commits, one look
        except StoreClosedError:
            return
        finally:
            beating.cancel()
            await asyncio.wait([beating])

    async def _keep_beating(self) -> None:
        try:
            while True:
                self._beat_poke = Signal()
                seconds = await self._guarded(self._beat_if_due)
                await wait_for_any(self._beat_poke, seconds=seconds)
        except StoreClosedError:
            return

    async def _beat_if_due(self) -> float:
        if self._next_beat is not None and self._next_beat <= self._store.clock():
            await self._beat()
        return self._seconds_until(self._next_beat)

    async def _guarded(self, step: Callable[[], Awaitable[float]]) -> float:
        try:
            return await step()
        except StoreClosedError:
            raise
        except Exception as error:  # noqa: BLE001  # the others still have to be looked after
            if str(error) != self._last_error:
                _LOG.warning("cannot keep up: %s", error, extra={"action": "keeper_failed"})
            self._last_error = str(error)
            return _AFTER_ERROR

    async def _step(self) -> float:
        """Do what is to be done now, and say for how many seconds nothing will be."""
        return min(
            [await self._look_after(pool_id) for pool_id in list(self._pools)],
            default=_LONGEST_SLEEP,
        )

    def _seconds_until(self, time: int | None) -> float:
        if time is None:
            return _LONGEST_SLEEP
        return min(max(time - self._store.clock(), 0) / 1000, _LONGEST_SLEEP)

    async def _look_after(self, pool_id: str) -> float:
        """Carry out what is due in one pool; what is wrong with it is no harm to the others."""
        return await self._guarded(partial(self._catch_up, pool_id))

    async def _catch_up(self, pool_id: str) -> float:
        due, behind, now = await self._store.query(pool_id, _situation)
        if behind or (due is not None and due <= now):
            if not await self._store.execute(pool_id, CatchUp()):
                return 0
            due, _, _ = await self._store.query(pool_id, _situation)
        return self._seconds_until(due)

    async def _beat(self) -> None:
        """Renew all leases of this process, of all pools in one commit."""
        interval = self._interval()
        self._next_beat = None if interval is None else self._store.clock() + interval
        leases: dict[str, dict[str, int]] = {}
        for (pool_id, run_id), millis in self._leases.items():
            leases.setdefault(pool_id, {})[run_id] = millis
        claims: dict[str, dict[Claim, int]] = {}
        for (pool_id, claim), delivery in self._deliveries.items():
            claims.setdefault(pool_id, {})[claim] = delivery.lease
        holds: dict[str, list[str]] = {}
        for pool_id, message_id in self._holds:
            holds.setdefault(pool_id, []).append(message_id)
        await asyncio.gather(
            *(self._renew_leases(pool_id, runs) for pool_id, runs in leases.items()),
            *(self._renew_claims(pool_id, held) for pool_id, held in claims.items()),
            *(self._store.execute(pool_id, RenewHolds(ids)) for pool_id, ids in holds.items()),
        )

    async def _renew_leases(self, pool_id: str, leases: dict[str, int]) -> None:
        for run_id in await self._store.execute(pool_id, Heartbeat(leases)):
            self._leases.pop((pool_id, run_id), None)
            _LOG.warning(
                "run %r of pool %r is no member any more: its lease ran out, or it was let go",
                run_id,
                pool_id,
                extra={"action": "lease_lost"},
            )

    async def _renew_claims(self, pool_id: str, claims: dict[Claim, int]) -> None:
        for claim in await self._store.execute(pool_id, RenewClaims(claims)):
            self._deliveries.pop((pool_id, claim), None)


def _situation(view: PoolView) -> tuple[int | None, bool, int]:
    return view.next_deadline(), view.projected != view.head, view.now
