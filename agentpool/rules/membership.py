"""Who takes part: joining, with or without a lease, leaving, and heartbeats."""

from collections.abc import Mapping
from typing import cast

from agentpool.rules.command import Command, Decision, LookUps, PoolView, cursor_at
from agentpool.rules.pool_opening import coming_to_life
from agentpool.rules.requirements import require_member, require_open, require_type
from agentpool.rules.rows import LEASE, deadline, deadline_key
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

__all__ = ("Heartbeat", "JoinMember", "JoinRun", "LeaveMember", "carries_policies")


def carries_policies(config: AgentPoolStoreConfig | None, member: AgentPoolMember) -> bool:
    """Say whether a member carries every policy of its pool, so that others may see its events."""
    return config is None or set(config.policy_refs) <= set(member.policy_refs)


class JoinMember(Command[AgentPoolStoreCursor]):
    """Let a run join, or replace what it joined with."""

    def __init__(self, member: AgentPoolMember) -> None:
        require_type(member, AgentPoolMember, "member")
        self._record = seal(trusted(MemberJoined, member))
        self._member = cast("MemberJoined", self._record.payload).member

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

    def decide(self, view: PoolView) -> Decision[None]:
        joined = self._join.decide(view)
        records = (*coming_to_life(view), *joined.records)
        # A lease is a row of the pool and not something that its process keeps: whoever is alive
        # lets the run leave when the process that should renew it is gone.
        if self._lease is None:
            return Decision(None, records, deletes=(deadline_key(LEASE, self._run_id),))
        until = deadline(LEASE, self._run_id, view.now + self._lease)
        # Those who sleep until the next deadline have to hear that there may be an earlier one.
        return Decision(None, records, puts=(until,), announce=not records)


class LeaveMember(Command[tuple[AgentPoolMember, AgentPoolStoreCursor]]):
    """Let a member leave."""

    def __init__(self, run_id: str) -> None:
        check_identifier(run_id, "run_id")
        self._run_id = run_id

    def decide(self, view: PoolView) -> Decision[tuple[AgentPoolMember, AgentPoolStoreCursor]]:
        require_open(view)
        member = require_member(view, self._run_id)
        return Decision((member, cursor_at(view.head + 1)), (seal(MemberLeft(member)),))


class Heartbeat(Command[frozenset[str]]):
    """Renew the leases of runs; appends nothing. Gives the runs that have no lease any more.

    :param leases: milliseconds from now, by run
    """

    must_survive_power_cut = False

    def __init__(self, leases: Mapping[str, int]) -> None:
        self._leases = dict(leases)
        self.looks_up: LookUps = LookUps(
            rows=tuple(deadline_key(LEASE, run_id) for run_id in leases)
        )

    def decide(self, view: PoolView) -> Decision[frozenset[str]]:
        # One that ran out is not revived: others were told that the run has left.
        held = {
            run_id: lease
            for run_id, lease in self._leases.items()
            if run_id in view.state.members and view.row(deadline_key(LEASE, run_id)) is not None
        }
        return Decision(
            frozenset(self._leases.keys() - held.keys()),
            puts=tuple(deadline(LEASE, run_id, view.now + lease) for run_id, lease in held.items()),
        )
