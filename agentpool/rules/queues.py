"""Queues: runs that nobody is, whose inbox any member takes from, one message each."""

from collections.abc import Collection
from typing import Final, NamedTuple

from agentpool.errors import IdempotencyConflictError
from agentpool.rules.command import Command, Decision, LookUps, PoolView, RowKey
from agentpool.rules.membership import JoinMember
from agentpool.rules.pool_opening import coming_to_life
from agentpool.rules.requirements import require_open
from agentpool.rules.rows import OWING_LEFT
from agentpool.wire.ids import check_identifier
from agentpool.wire.records import (
    AgentPoolMember,
    AgentPoolStoreConfig,
    AgentTarget,
    RunAddress,
    RunMessage,
    RunTarget,
)

__all__ = ("MakeQueue", "Queue", "answering_run", "is_queue", "queue_name", "queue_run")

_TOPIC: Final = "agentpool.queue"
_PREFIX: Final = "queue."


class Queue(NamedTuple):
    """A queue of a pool: a member without a lease, whose inbox any member takes from.

    :ivar name: its name in the pool
    :ivar run_id: the run whose inbox it is
    """

    name: str
    run_id: str

    @property
    def address(self) -> RunAddress:
        """Where to send what one of those who take from the queue is to have."""
        return RunAddress.run(self.run_id)


def queue_run(name: str) -> str:
    """Give the run, and the agent, that a queue is."""
    check_identifier(name, "name")
    run_id = _PREFIX + name
    check_identifier(run_id, "name")
    return run_id


def queue_name(run_id: str) -> str:
    """Give the name of a queue by its run, which another implementation may have named."""
    return run_id.removeprefix(_PREFIX)


def is_queue(member: AgentPoolMember) -> bool:
    """Say whether a member is a queue; broadcasts pass those by."""
    return _TOPIC in member.topics


def answering_run(message: RunMessage, run_id: str, queues: Collection[str] = ()) -> str:
    """Say in whose name a run answers a message: in that of the queue that it was sent to.

    :param queues: those from which the run takes, by their runs
    """
    match message.to.target:
        case RunTarget(queue) if queue.startswith(_PREFIX):
            return queue
        case AgentTarget(queue) if queue in queues:
            return queue
    return run_id


class MakeQueue(Command[Queue]):
    """Make a queue, or find it.

    :raises IdempotencyConflictError: a member has its run id that is no queue
    """

    def __init__(self, name: str) -> None:
        self._queue = Queue(name, queue_run(name))
        self.looks_up: LookUps = LookUps(listings=(RowKey(OWING_LEFT, self._queue.run_id),))

    def decide(self, view: PoolView) -> Decision[Queue]:
        config, run_id = require_open(view), self._queue.run_id
        known = view.state.members.get(run_id)
        if known is None:
            joined = JoinMember(_member(run_id, config)).decide(view)
            return Decision(self._queue, (*coming_to_life(view), *joined.records))
        if not is_queue(known):
            msg = f"run {run_id!r} is a member already, and no queue; give the queue another name"
            raise IdempotencyConflictError(msg, pool_id=view.pool_id)
        return Decision(self._queue)


def _member(run_id: str, config: AgentPoolStoreConfig) -> AgentPoolMember:
    # With all that the pool demands of messages and of who reads them: it shall receive them.
    policies = dict.fromkeys((*config.policy_refs, *config.message_policy.required_policy_refs))
    return AgentPoolMember(run_id, run_id, policy_refs=tuple(policies), topics=(_TOPIC,))
