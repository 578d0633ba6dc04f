"""Whom a message is for: who receives it of the members, and why the others do not."""

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias, assert_never

from agentpool.errors import CheckedEnum
from agentpool.rules.command import PoolView
from agentpool.rules.queues import is_queue
from agentpool.rules.requirements import require_open
from agentpool.wire.records import (
    AgentPoolMember,
    AgentPoolStoreConfig,
    AgentTarget,
    PoolTarget,
    RunMessage,
    RunTarget,
    TopicTarget,
)
from agentpool.wire.refs import PolicyRef

__all__ = ("Addressing", "WhyNot", "recipients")


class WhyNot(CheckedEnum):
    """Why a run does not receive a message.

    ``NOT_A_MEMBER``: it was none when the message was sent. ``OTHER_RUN``, ``OTHER_AGENT``,
    ``OTHER_POOL``: the message is to another. ``LACKS_TOPIC``: it did not join with the topic.
    ``IS_SENDER``, ``IS_QUEUE``: what goes to the pool passes these by. ``LACKS_POLICIES``: it does
    not carry every policy of the message. ``MESSAGE_LACKS_POLICIES``: the message does not carry
    every policy that the pool requires, so nobody receives it.
    """

    NOT_A_MEMBER = "not_a_member"
    OTHER_RUN = "other_run"
    OTHER_AGENT = "other_agent"
    OTHER_POOL = "other_pool"
    LACKS_TOPIC = "lacks_topic"
    IS_SENDER = "is_sender"
    IS_QUEUE = "is_queue"
    LACKS_POLICIES = "lacks_policies"
    MESSAGE_LACKS_POLICIES = "message_lacks_policies"


_Test: TypeAlias = Callable[[AgentPoolMember], WhyNot | None]


class Addressing:
    """A message in a pool, and who of its members receives it.

    :ivar lacking: the policies that the pool requires and the message does not carry
    """

    def __init__(self, config: AgentPoolStoreConfig, pool_id: str, message: RunMessage) -> None:
        needed = set(message.policy_refs)
        required = config.message_policy.required_policy_refs
        # Both ways: the pool demands policies of a message, a message its own of who reads it.
        self.lacking: Final = tuple(each for each in required if each not in needed)
        self._needed = needed
        self._beside = _addressed_test(config, pool_id, message)

    def why_not(self, member: AgentPoolMember) -> WhyNot | None:
        """Say why a member does not receive the message; ``None``: it does."""
        if self.lacking:
            return WhyNot.MESSAGE_LACKS_POLICIES
        beside = self._beside(member)
        if beside is None and not self._needed <= set(member.policy_refs):
            return WhyNot.LACKS_POLICIES
        return beside

    def lacked_by(self, member: AgentPoolMember) -> tuple[PolicyRef, ...]:
        """List the policies of the message that a member does not carry, in no order."""
        return tuple(self._needed - set(member.policy_refs))


def _addressed_test(config: AgentPoolStoreConfig, pool_id: str, message: RunMessage) -> _Test:
    """Make what says of a member why a message is not to it; ``None``: it is."""
    match message.to.target:
        case RunTarget(run_id):
            return lambda member: None if member.run_id == run_id else WhyNot.OTHER_RUN
        case AgentTarget(agent_id):
            return lambda member: None if member.agent_id == agent_id else WhyNot.OTHER_AGENT
        case TopicTarget(topic_id):
            return lambda member: None if topic_id in member.topics else WhyNot.LACKS_TOPIC
        case PoolTarget(target):
            if target != pool_id:
                return lambda _: WhyNot.OTHER_POOL
            with_sender = config.message_policy.include_sender_in_pool_broadcast
            left_out = None if with_sender else message.sender
            return lambda member: _passed_by(member, left_out)
        case _:
            assert_never(message.to.target)


def _passed_by(member: AgentPoolMember, sender: str | None) -> WhyNot | None:
    if is_queue(member):
        return WhyNot.IS_QUEUE
    return WhyNot.IS_SENDER if member.run_id == sender else None


def recipients(view: PoolView, message: RunMessage) -> tuple[str, ...]:
    """Resolve whom a message is for, in ascending order and each once."""
    addressing = Addressing(require_open(view), view.pool_id, message)
    among = _candidates(view, message)
    return tuple(sorted(each.run_id for each in among if addressing.why_not(each) is None))


def _candidates(view: PoolView, message: RunMessage) -> Iterable[AgentPoolMember]:
    """List the members among whom the recipients are, without a look at all where that can be."""
    members = view.state.members
    if isinstance(message.to.target, RunTarget):
        member = members.get(message.to.target.run_id)
        return () if member is None else (member,)
    return members.values()
