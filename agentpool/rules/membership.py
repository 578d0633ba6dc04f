"""Who takes part: joining, with or without a lease, and leaving."""

from typing import Final, cast

from agentpool.rules.command import Command, Decision, LookUps, PoolView, RowKey, cursor_at
from agentpool.rules.holding import Holding, lease_of, lease_row, look_ups_of
from agentpool.rules.pool_opening import coming_to_life
from agentpool.rules.requirements import require_member, require_open, require_type
from agentpool.rules.rows import AWAY, LEASE, OWING, OWING_LEFT, Lease, deadline_key
from agentpool.wire.ids import check_identifier
from agentpool.wire.payload import seal
from agentpool.wire.records import (
    AgentPoolMember,
    AgentPoolStoreConfig,
    AgentPoolStoreCursor,
    MemberJoined,
    MemberLeft,
)
from agentpool.wire.struct import trusted

__all__ = ("HoldRun", "JoinMember", "JoinRun", "LeaveMember", "carries_policies")


def carries_policies(config: AgentPoolStoreConfig | None, member: AgentPoolMember) -> bool:
    """Say whether a member carries every policy of its pool, so that others may see its events."""
    return config is None or set(config.policy_refs) <= set(member.policy_refs)


class JoinMember(Command[AgentPoolStoreCursor]):
    """Let a run join, or replace what it joined with."""

    def __init__(self, member: AgentPoolMember) -> None:
        require_type(member, AgentPoolMember, "member")
        self._record = seal(trusted(MemberJoined, member))
        self._member = cast("MemberJoined", self._record.payload).member
        self.looks_up: LookUps = LookUps(listings=(RowKey(OWING_LEFT, member.run_id),))

    def decide(self, view: PoolView) -> Decision[AgentPoolStoreCursor]:
        require_open(view)
        run_id = self._member.run_id
        if view.state.members.get(run_id) == self._member:
            return Decision(cursor_at(view.state.joined_at[run_id]))
        return Decision(cursor_at(view.head + 1), (self._record,))


class JoinRun(Command[None]):
    """Let a run join. The first join also records that the pool came to life.

    :param lease: milliseconds after which the member is gone unless a heartbeat renews it
    """

    def __init__(self, member: AgentPoolMember, lease: int | None = None) -> None:
        self._join = JoinMember(member)
        self._run_id, self._lease = member.run_id, lease
        lease_look_ups = look_ups_of(member.run_id)
        self.looks_up: LookUps = lease_look_ups._replace(
            listings=self._join.looks_up.listings, deadlines=lease_look_ups.rows
        )

    def decide(self, view: PoolView) -> Decision[None]:
        joined = self._join.decide(view)
        records = (*coming_to_life(view), *joined.records)
        row = view.row(deadline_key(LEASE, self._run_id))
        held = lease_of(row)
        if self._lease is None and held.epoch is None:
            return Decision(None, records, deletes=(row.key,) if row else ())
        # The block that holds the run goes on doing so.
        lease = Lease(held.epoch, held.process, self._lease)
        until = lease_row(self._run_id, lease, view.now)
        # Those who sleep until the next deadline have to hear that there may be an earlier one.
        return Decision(None, records, puts=(until,), announce=not records)


class HoldRun(Command[str | None]):
    """Let a run join that one block holds from now on; whoever held it before has lost it.

    Gives the name of the process in which that is, if there is one.

    :ivar run_id: the run
    """

    def __init__(self, holding: Holding) -> None:
        self._join = JoinMember(holding.member)
        self._holding = holding
        self.run_id: Final = holding.run_id
        lease_look_ups = look_ups_of(holding.run_id)
        self.looks_up: LookUps = lease_look_ups._replace(
            listings=self._join.looks_up.listings,
            deadlines=tuple(deadline_key(each, holding.run_id) for each in (LEASE, AWAY)),
        )

    def decide(self, view: PoolView) -> Decision[str | None]:
        holding = self._holding
        former = lease_of(view.row(deadline_key(LEASE, holding.run_id)))
        records = (*coming_to_life(view), *self._join.decide(view).records)
        # A lease is a row of the pool and not something that its process keeps: whoever is alive
        # lets the run leave when the process that should renew it is gone.
        lease = Lease(holding.epoch, holding.process, holding.lease)
        until = lease_row(holding.run_id, lease, view.now)
        away = deadline_key(AWAY, holding.run_id)
        taken_from = None if former.epoch == holding.epoch else former.process
        # Whoever held the run has to hear of it, as of an earlier deadline.
        return Decision(taken_from, records, puts=(until,), deletes=(away,), announce=not records)


class LeaveMember(Command[tuple[AgentPoolMember, AgentPoolStoreCursor]]):
    """Let a member leave."""

    def __init__(self, run_id: str) -> None:
        check_identifier(run_id, "run_id")
        self._run_id = run_id
        self.looks_up: LookUps = LookUps(
            listings=(RowKey(OWING, run_id),), deadlines=(deadline_key(LEASE, run_id),)
        )

    def decide(self, view: PoolView) -> Decision[tuple[AgentPoolMember, AgentPoolStoreCursor]]:
        require_open(view)
        member = require_member(view, self._run_id)
        return Decision((member, cursor_at(view.head + 1)), (seal(MemberLeft(member)),))
