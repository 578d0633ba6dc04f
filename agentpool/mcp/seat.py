"""The run that a server acts as, and the claims that it has."""

from collections.abc import Sequence
from typing import Final

from anyio import CancelScope

from agentpool import AgentPool, AgentPoolMember, ClaimLostError, Delivery, MemberHandle
from agentpool.errors import InvalidValueError, shown
from agentpool.faces.naming import claim_name, claim_named
from agentpool.rules.claims import is_current
from agentpool.rules.command import PoolView

__all__ = ("Seat",)

LEASE: Final = 600.0
"""How long a claim outlives its server, in seconds: long enough to start another."""
LONGEST: Final = 6 * 3600.0
"""How long a server renews a claim that nobody ends: a model may have forgotten it."""


class Seat:
    """A run in a pool, for which a server acts.

    It joins with the first call that needs that, as the command line does: without a lease, so it
    stays a member while no server runs. Where the run is a member already it acts as that member,
    and whoever holds the run goes on doing so.

    :param member: as which it joins where the run is no member
    :ivar run_id: the run
    :ivar patience: for how many seconds a call waits before it gives what to go on with instead
    :ivar task_patience: the same, before a host that has tasks gets one
    """

    def __init__(
        self,
        pool: AgentPool,
        member: AgentPoolMember,
        *,
        patience: float = 25.0,
        task_patience: float = 1.0,
    ) -> None:
        self.pool: Final = pool
        self.patience: Final = patience
        self.task_patience: Final = task_patience
        self.run_id: Final = member.run_id
        self._own: Final = member
        self._me = self._handle_of(member)
        self._held: dict[str, Delivery] = {}

    @property
    def held(self) -> frozenset[str]:
        """The claims that are renewed."""
        return frozenset(self._held)

    async def me(self) -> MemberHandle:
        """Give the handle of the run, as the member that it is, or would join as."""
        return self._as(await self._there() or self._own)

    async def joined(self) -> MemberHandle:
        """Give the handle of the run, which joins where it is no member."""
        there = await self._there()
        if there is None:
            await self.pool.join_run(self._own)
        return self._as(there or self._own)

    async def _there(self) -> AgentPoolMember | None:
        run_id, pool = self.run_id, self.pool
        return await pool.store.query(pool.pool_id, lambda view: view.state.members.get(run_id))

    def _as(self, member: AgentPoolMember) -> MemberHandle:
        if member != self._me.member:
            self._me = self._handle_of(member)
        return self._me

    def _handle_of(self, member: AgentPoolMember) -> MemberHandle:
        return self.pool.acting_as(member, claim_lease=LEASE, claim_limit=LONGEST)

    async def take(self, limit: int) -> Sequence[tuple[str, Delivery]]:
        """Claim the next messages that are there, and renew their claims from now on."""
        me = await self.joined()
        await self._forget_lost()
        taken = await me.inbox.take_many(limit, 0)
        named = [(claim_name(each.token, me.run_id), each) for each in taken]
        self._held.update(named)
        return named

    async def _forget_lost(self) -> None:
        """Hold claims no longer that have run out, or were ended by another process."""
        held = {name: each.claim for name, each in self._held.items()}
        if not held:
            return

        def lost(view: PoolView) -> list[str]:
            return [name for name, claim in held.items() if not is_current(view, claim)]

        for name in await self.pool.store.query(self.pool.pool_id, lost):
            self._held.pop(name, None)

    async def give_back(self, claims: Sequence[tuple[str, Delivery]]) -> None:
        """Give messages back of which nobody was told, also when that is cancelled."""
        with CancelScope(shield=True):
            for name, delivery in claims:
                self._held.pop(name, None)
                await delivery.give_back()

    async def end(self, claim: str, *, ok: bool) -> None:
        """End a claim, whichever process made it; ``ok``: for good, else the message comes again.

        :raises ClaimLostError: it had run out or was ended
        :raises InvalidValueError: it is no claim, or one of another inbox
        """
        token, inbox = self.token_of(claim), self._me.inbox
        try:
            await (inbox.ack(token) if ok else inbox.nack(token))
        except ClaimLostError:
            self._held.pop(claim, None)
            raise
        # Not where it fails otherwise: then the claim goes on.
        self._held.pop(claim, None)

    def token_of(self, claim: str) -> str:
        """Give the token of a claim.

        :raises InvalidValueError: it is no claim, or one of another inbox
        """
        token, run_id = claim_named(claim) or (None, None)
        if token is None or run_id != self.run_id:
            msg = (
                f"claim: {shown(claim)} is none of the inbox of {self.run_id!r}; give one as `take`"
                " gave it, or as `inbox` lists it"
            )
            raise InvalidValueError(msg, pool_id=self.pool.pool_id)
        return token
