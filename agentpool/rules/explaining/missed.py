"""Who did not receive a message, and why."""

from collections.abc import Iterator
from functools import cached_property
from itertools import chain
from typing import Final, NamedTuple

from agentpool.rules.alike import looking_like
from agentpool.rules.command import PoolView
from agentpool.rules.explaining.explanations import MOST_LISTED
from agentpool.rules.explaining.names import PAGE, alike_in_pool, members_of
from agentpool.rules.explaining.parts import Alike, Missed, NameKind
from agentpool.rules.recipients import Addressing, WhyNot
from agentpool.rules.requirements import require_open
from agentpool.wire.records import (
    AgentPoolMember,
    AgentTarget,
    MemberJoined,
    MemberLeft,
    RunMessage,
    RunTarget,
    TopicTarget,
)

__all__ = ("AllMissed", "alike_to_target", "all_missed")

_NEAREST: Final = (
    WhyNot.NOT_A_MEMBER,
    WhyNot.LACKS_POLICIES,
    WhyNot.MESSAGE_LACKS_POLICIES,
    WhyNot.IS_SENDER,
    WhyNot.IS_QUEUE,
)
"""Reasons for which somebody misses a message that is for them otherwise."""


class AllMissed(NamedTuple):
    """Who did not receive a message.

    :ivar in_all: how many that are, of those that were looked at
    :ivar left_until: who has left since is known up to this record; ``None``: all of it
    """

    listed: tuple[Missed, ...]
    in_all: int
    left_until: int | None


def all_missed(view: PoolView, message: RunMessage, seq: int, to: tuple[str, ...]) -> AllMissed:
    """Say who did not receive a message, and why: of the members, and of those who have left since.

    :param seq: the record by which it was settled who receives it
    :param to: who received it
    """
    judge = _Judge(view, message, seq)
    received = set(to)
    candidates = dict.fromkeys(
        chain(
            _named(message),
            (each.run_id for each in members_of(view)),
            _left_after(view, seq),
        )
    )
    missed = [judge.missed(each) for each in candidates if each not in received]
    missed.sort(key=lambda each: (_distance(each), each.run_id))
    received.update(candidates)
    beyond = sum(each not in received for each in view.state.members)
    left_until = None if view.head <= seq + PAGE else seq + PAGE
    return AllMissed(tuple(missed[:MOST_LISTED]), len(missed) + beyond, left_until)


def _named(message: RunMessage) -> Iterator[str]:
    if isinstance(message.to.target, RunTarget):
        yield message.to.target.run_id


def _left_after(view: PoolView, seq: int) -> Iterator[str]:
    for _, payload in view.records(seq, PAGE):
        if isinstance(payload, MemberLeft):
            yield payload.member.run_id


class _Judge:
    def __init__(self, view: PoolView, message: RunMessage, seq: int) -> None:
        self._view, self._message, self._seq = view, message, seq
        self._addressing = Addressing(require_open(view), view.pool_id, message)

    def missed(self, run_id: str) -> Missed:
        """Say why a run is not among the recipients."""
        then = self._view.member_at(run_id, self._seq)
        if then is None or self._had_left(run_id, then.seq):
            return Missed(run_id=run_id, why=WhyNot.NOT_A_MEMBER)
        member = then.stored
        why = self._addressing.why_not(member)
        if why is None:  # it would have received it, had it not left by then
            return Missed(run_id=run_id, why=WhyNot.NOT_A_MEMBER)
        if why is WhyNot.LACKS_POLICIES:
            return Missed(run_id=run_id, why=why, policy_refs=self._addressing.lacked_by(member))
        if why is WhyNot.MESSAGE_LACKS_POLICIES:
            return Missed(run_id=run_id, why=why, policy_refs=self._addressing.lacking)
        return Missed(run_id=run_id, why=why, alike=self._alike(member))

    def _had_left(self, run_id: str, joined_at: int) -> bool:
        """Say whether a run had left again before the message, if that is not too long before."""
        is_since = self._view.state.joined_at.get(run_id) == joined_at
        return not is_since and run_id in self._left_before

    @cached_property
    def _left_before(self) -> set[str]:
        left: set[str] = set()
        first = max(self._seq - 1 - PAGE, 0)
        for _, payload in self._view.records(first, self._seq - 1 - first):
            if isinstance(payload, MemberLeft):
                left.add(payload.member.run_id)
            elif isinstance(payload, MemberJoined):
                left.discard(payload.member.run_id)
        return left

    def _alike(self, member: AgentPoolMember) -> str | None:
        """Find what a member has that looks like what the message is to."""
        match self._message.to.target:
            case RunTarget(run_id):
                return next(looking_like(run_id, [member.run_id]), None)
            case AgentTarget(agent_id):
                return next(looking_like(agent_id, [member.agent_id]), None)
            case TopicTarget(topic_id):
                return next(looking_like(topic_id, member.topics), None)
            case _:
                return None


def _distance(missed: Missed) -> int:
    if missed.alike is not None:
        return 0
    return 1 if missed.why in _NEAREST else 2


def alike_to_target(view: PoolView, message: RunMessage, *, close: bool) -> tuple[Alike, ...]:
    """List names that may be meant by what a message is to.

    :param close: those too that are close, and do not look the same
    """
    match message.to.target:
        case RunTarget(run_id):
            return alike_in_pool(view, NameKind.RUN, run_id, close=close)
        case AgentTarget(agent_id):
            return alike_in_pool(view, NameKind.AGENT, agent_id, close=close)
        case TopicTarget(topic_id):
            return alike_in_pool(view, NameKind.TOPIC, topic_id, close=close)
        case _:
            return ()
