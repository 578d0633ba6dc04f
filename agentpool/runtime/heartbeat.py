"""Heartbeats: one commit now and then renews all that the objects of a store handle hold."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Final, NamedTuple, Protocol, TypeAlias
from weakref import WeakValueDictionary

from agentpool.errors import AgentPoolError, StoreClosedError
from agentpool.rules.claims import Claim, RenewClaims
from agentpool.rules.command import PoolView
from agentpool.rules.holding import BEATS_PER_LEASE, Heartbeat, Holding, beat_of, is_held
from agentpool.rules.topics import member_topic
from agentpool.runtime.telling import told
from agentpool.stores.base import AgentPoolStore
from agentpool.stores.turns import Ending, Turns

__all__ = ("Heartbeats", "Renewable")

_Renew: TypeAlias = Callable[[], Awaitable[None]]

_LOG = logging.getLogger("agentpool")

_LONGEST_SLEEP: Final = 5.0
_AFTER_ERROR_MILLIS: Final = 200


class Renewable(Protocol):
    """Something under a claim: its lease is in milliseconds, its limit a time of the clock."""

    @property
    def claim(self) -> Claim:
        """The claim to renew."""

    @property
    def lease(self) -> int:
        """For how long to renew it."""

    @property
    def limit(self) -> int | None:
        """Until when to renew it; ``None``: for as long as somebody holds this."""


class _Held(NamedTuple):
    """What goes with a run that is held: whom to tell of its loss, and the listening for it."""

    lost: Ending
    listening: AbstractContextManager[object]


class Heartbeats:
    """What is to be renewed: the leases of members and the claims of deliveries."""

    def __init__(self, store: AgentPoolStore) -> None:
        self._store = store
        self._held: dict[tuple[str, Holding], _Held] = {}
        self._touched = Turns()
        # A claim is renewed for as long as somebody holds its delivery: a consumer that forgot
        # one, or died with it, lets the message go to another.
        self._deliveries: WeakValueDictionary[tuple[str, Claim], Renewable] = WeakValueDictionary()
        self._next_beat: int | None = None
        self._turns: Turns | None = None
        self._last_error = ""

    def add_holding(self, pool_id: str, holding: Holding, lost: Ending) -> None:
        """Renew the lease of a member from now on.

        :param lost: closed when another has the run, or it was let go
        """

        def told(_number: int | None) -> None:
            self._touched.tell(pool_id)

        listening = self._store.tail.listening(pool_id, member_topic(holding.run_id), told)
        listening.__enter__()
        self._held[pool_id, holding] = _Held(lost, listening)
        self._touched.tell(pool_id)  # it may have been lost before anybody listened
        if holding.lease is not None:
            self._schedule(holding.lease)

    def remove_holding(self, pool_id: str, holding: Holding) -> None:
        """Renew the lease of a member no longer."""
        held = self._held.pop((pool_id, holding), None)
        if held is not None:
            held.listening.__exit__(None, None, None)

    async def renew(self, pool_id: str, holding: Holding) -> None:
        """Renew one lease now; a run that is away joins again.

        :raises AgentPoolError: as the store says
        """
        await self._renew_leases(pool_id, [holding])

    def add_delivery(self, pool_id: str, delivery: Renewable) -> None:
        """Renew a claim from now on, for as long as somebody holds its delivery."""
        self._deliveries[pool_id, delivery.claim] = delivery
        self._schedule(delivery.lease)

    def remove_delivery(self, pool_id: str, delivery: Renewable) -> None:
        """Renew a claim no longer."""
        self._deliveries.pop((pool_id, delivery.claim), None)

    def _schedule(self, lease: int) -> None:
        """Let the next beat come early enough for a lease that was just added."""
        beat = self._store.clock() + beat_of(lease)
        if self._next_beat is None or beat < self._next_beat:
            self._next_beat = beat
            if self._turns is not None:
                self._turns.wake()

    async def run(self) -> None:
        """Beat for as long as the store is open. To be cancelled when there is nothing to renew.

        It waits for nothing but the time and what is added: a look at what is due may have to wait
        behind somebody's long question, and a lease must not run out meanwhile.
        """
        self._turns = Turns()
        async for _ in self._turns:
            if self._next_beat is not None and self._next_beat <= self._store.clock():
                try:
                    await self._beat()
                except StoreClosedError:
                    return
            self._turns.within(self._seconds_left())

    async def watch(self) -> None:
        """Tell of runs that were lost, as soon as that may be. To be cancelled."""
        async for _ in self._touched:
            touched, self._touched.told = self._touched.told, set()
            for pool_id in touched:
                with suppress(AgentPoolError):  # the next beat finds that out as well
                    await self._look(pool_id)

    async def _look(self, pool_id: str) -> None:
        ours = [holding for where, holding in self._held if where == pool_id]

        def find_lost(view: PoolView) -> list[Holding]:
            return [holding for holding in ours if not is_held(view, holding)]

        lost = await self._store.query(pool_id, find_lost) if ours else []
        if lost:
            await self._renew_leases(pool_id, lost)

    def _seconds_left(self) -> float:
        if self._next_beat is None:
            return _LONGEST_SLEEP
        return min(max(self._next_beat - self._store.clock(), 0) / 1000, _LONGEST_SLEEP)

    async def _beat(self) -> None:
        """Renew everything that is held, of all pools in one commit."""
        self._next_beat = None
        held = [
            *(holding.lease for _, holding in self._held if holding.lease is not None),
            *(delivery.lease for _, delivery in self._renewed()),
        ]
        if held:
            self._schedule(min(held))
        failed: list[Exception] = []
        # All at once, so that they share a commit.
        async with asyncio.TaskGroup() as tasks:
            for renew in (*self._leases_by_pool(), *self._claims_by_pool()):
                tasks.create_task(_collect(renew, failed))
        for error in failed:
            if isinstance(error, StoreClosedError):
                raise error
        if failed:
            # Soon again, for what failed: a lease leaves time for two more beats.
            self._schedule(_AFTER_ERROR_MILLIS * BEATS_PER_LEASE)
        self._tell_of(str(failed[0]) if failed else "")

    def _tell_of(self, error: str) -> None:
        if error and error != self._last_error:
            _LOG.warning("cannot renew: %s", error, extra={"action": "heartbeat_failed"})
        self._last_error = error

    def _leases_by_pool(self) -> Iterator[_Renew]:
        held: dict[str, list[Holding]] = {}
        for pool_id, holding in self._held:
            held.setdefault(pool_id, []).append(holding)
        return (partial(self._renew_leases, pool_id, each) for pool_id, each in held.items())

    def _claims_by_pool(self) -> Iterator[_Renew]:
        claims: dict[str, dict[Claim, int]] = {}
        for pool_id, delivery in self._renewed():
            claims.setdefault(pool_id, {})[delivery.claim] = delivery.lease
        return (partial(self._renew_claims, pool_id, held) for pool_id, held in claims.items())

    def _renewed(self) -> Iterator[tuple[str, Renewable]]:
        now = self._store.clock()
        for (pool_id, _), delivery in self._deliveries.items():
            if delivery.limit is None or now < delivery.limit:
                yield pool_id, delivery

    async def _renew_leases(self, pool_id: str, holdings: list[Holding]) -> None:
        lost = await told(self._store, pool_id, Heartbeat(holdings))
        for holding, error in lost.items():
            held = self._held.get((pool_id, holding))
            if held is not None:  # else its block has ended meanwhile
                self.remove_holding(pool_id, holding)
                held.lost.close(error)
                fields = {"action": "membership_lost", "pool_id": pool_id, "run_id": holding.run_id}
                _LOG.warning("%s", error, extra=fields)

    async def _renew_claims(self, pool_id: str, claims: dict[Claim, int]) -> None:
        for claim in await self._store.execute(pool_id, RenewClaims(claims)):
            self._deliveries.pop((pool_id, claim), None)


async def _collect(renew: _Renew, failed: list[Exception]) -> None:
    try:
        await renew()
    except Exception as error:  # noqa: BLE001  # the others still have to be renewed
        failed.append(error)
