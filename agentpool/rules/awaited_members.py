"""Starting together: which members somebody waits for, and whether they are there."""

from collections.abc import Sequence
from dataclasses import dataclass

from agentpool.errors import InvalidValueError, NotEnoughMembersError
from agentpool.rules.command import PoolView
from agentpool.rules.queues import is_queue
from agentpool.rules.requirements import checked_number, checked_sequence, require_open
from agentpool.wire.ids import check_identifier
from agentpool.wire.records import AgentPoolMember

__all__ = ("WantedMembers", "wanted_members")


@dataclass(frozen=True)
class WantedMembers:
    """So many members, of an agent, with a topic, or of certain runs; ``None``: of any."""

    agent: str | None
    topic: str | None
    run_ids: frozenset[str] | None
    count: int

    def among(self, view: PoolView) -> tuple[AgentPoolMember, ...]:
        """List those that are there, in ascending order of their runs."""
        require_open(view)
        return tuple(each for _, each in sorted(view.state.members.items()) if self._is_one(each))

    def enough_among(self, view: PoolView) -> tuple[AgentPoolMember, ...] | None:
        """List those that are there; ``None`` where they are too few."""
        found = self.among(view)
        return found if len(found) >= self.count else None

    def _is_one(self, member: AgentPoolMember) -> bool:
        is_named = (self.agent, self.topic, self.run_ids) != (None, None, None)
        return (
            (is_named or not is_queue(member))
            and (self.agent is None or member.agent_id == self.agent)
            and (self.topic is None or self.topic in member.topics)
            and (self.run_ids is None or member.run_id in self.run_ids)
        )

    def too_few(
        self, found: Sequence[AgentPoolMember], pool_id: str, millis: int
    ) -> NotEnoughMembersError:
        """Make the error for a time that was up too early."""
        here = [each.run_id for each in found]
        missing = sorted((self.run_ids or frozenset()) - set(here))
        msg = (
            f"after {millis / 1000:g} s there are {len(here)} of {self.count} members"
            f"{self._described()}{_named(': ', here)}{_named(', without ', missing)}"
        )
        return NotEnoughMembersError(msg, pool_id=pool_id)

    def _described(self) -> str:
        agent = "" if self.agent is None else f" of agent {self.agent!r}"
        return agent if self.topic is None else f"{agent} with topic {self.topic!r}"


_MOST_NAMED = 10


def _named(before: str, run_ids: Sequence[str]) -> str:
    if not run_ids:
        return ""
    more = ", ..." if len(run_ids) > _MOST_NAMED else ""
    return f"{before}{', '.join(map(repr, run_ids[:_MOST_NAMED]))}{more}"


def wanted_members(
    agent: str | None, topic: str | None, run_ids: Sequence[str] | None, count: int | None
) -> WantedMembers:
    """Check what a caller waits for.

    :raises InvalidValueError: naming the argument at fault
    """
    for name, value in (("agent", agent), ("topic", topic)):
        if value is not None:
            check_identifier(value, name)
    runs: frozenset[str] | None = None
    if run_ids is not None:
        for run_id in checked_sequence(run_ids, "run_ids", str):
            check_identifier(run_id, "run_ids")
        runs = frozenset(run_ids)
    needed = (1 if runs is None else len(runs)) if count is None else _checked_count(count)
    if runs is not None and not 0 < needed <= len(runs):
        msg = f"run_ids: {len(runs)} are named, there can never be {max(needed, 1)} of them"
        raise InvalidValueError(msg)
    return WantedMembers(agent, topic, runs, needed)


def _checked_count(count: int) -> int:
    needed = checked_number(count, "count", "members")
    if needed == 0:
        msg = "count: expected at least 1 member, got 0"
        raise InvalidValueError(msg)
    return needed
