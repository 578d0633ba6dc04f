"""Who takes part: joining, with or without a lease, leaving, and heartbeats."""

from collections.abc import Mapping
from typing import ClassVar

from agentpool.rules.command import Command, Decision, PoolView
from agentpool.rules.log import require_open, require_type
from agentpool.rules.rows import LEASE, deadline, deadline_key
from agentpool.wire.payload import SealedPayload, seal
from agentpool.wire.records import (
    AgentPoolMember,
    AgentPoolStoreConfig,
    MemberJoined,
    PoolCreated,
)

__all__ = ("Heartbeat", "JoinRun", "carries_policies")


def carries_policies(config: AgentPoolStoreConfig | None, member: AgentPoolMember) -> bool:
    """Say whether a member carries every policy of its pool, so that others may see its events."""
    return config is None or set(config.policy_refs) <= set(member.policy_refs)


class JoinRun(Command[None]):
    """Let a run join. The first join also records that the pool came to life.

    :param lease: milliseconds after which the member is gone unless a heartbeat renews it
    """

    _CREATED: ClassVar = seal(PoolCreated())

    def __init__(self, member: AgentPoolMember, lease: int | None = None) -> None:
        require_type(member, AgentPoolMember, "member")
        self._member, self._lease = member, lease
        self._joined = seal(MemberJoined(member))

    def decide(self, view: PoolView) -> Decision[None]:
        require_open(view)
        run_id = self._member.run_id
        records: list[SealedPayload] = []
        if view.state.created_at is None:
            records.append(self._CREATED)
        if view.state.members.get(run_id) != self._member:
            records.append(self._joined)
        if self._lease is None:
            return Decision(None, tuple(records), deletes=(deadline_key(LEASE, run_id),))
        until = deadline(LEASE, run_id, view.now + self._lease)
        return Decision(None, tuple(records), puts=(until,), announce=not records)


class Heartbeat(Command[frozenset[str]]):
    """Renew the leases of runs; appends nothing. Gives the runs that have no lease any more.

    :param leases: milliseconds from now, by run
    """

    must_survive_power_cut = False

    def __init__(self, leases: Mapping[str, int]) -> None:
        self._leases = dict(leases)

    def decide(self, view: PoolView) -> Decision[frozenset[str]]:
        held = {
            run_id: lease
            for run_id, lease in self._leases.items()
            if run_id in view.state.members and view.row(deadline_key(LEASE, run_id)) is not None
        }
        return Decision(
            frozenset(self._leases.keys() - held.keys()),
            puts=tuple(deadline(LEASE, run_id, view.now + lease) for run_id, lease in held.items()),
        )
