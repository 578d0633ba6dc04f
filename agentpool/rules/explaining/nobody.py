"""Why a message to a run, or to an agent, reached nobody, and what to do: the words of an error."""

from agentpool.rules.command import PoolView
from agentpool.rules.explaining.phrases import policies
from agentpool.rules.queues import queue_name
from agentpool.rules.recipients import Addressing
from agentpool.rules.requirements import require_open
from agentpool.wire.records import AgentPoolMember, AgentTarget, RunMessage, RunTarget

__all__ = ("why_nobody",)


def why_nobody(view: PoolView, message: RunMessage) -> str | None:
    """Say why a message reached nobody, by who is there now.

    :return: ``None`` for one to a topic or a pool: of those nobody knows whether somebody listens
    """
    members, again = view.state.members, _again(message)
    addressing = Addressing(require_open(view), view.pool_id, message)
    match message.to.target:
        case RunTarget(run_id) if run_id not in members:
            return f"{_until_there(run_id)}, {again}"
        case RunTarget(run_id):
            return _why(addressing, [members[run_id]], f"run {run_id!r}", again)
        case AgentTarget(agent_id):
            there = [each for each in members.values() if each.agent_id == agent_id]
            if not there:
                return f"agent {agent_id!r} has no member; once it has, {again}"
            return _why(addressing, there, f"agent {agent_id!r}", again)
        case _:
            return None


def _again(message: RunMessage) -> str:
    is_key_given = message.idempotency_key != message.message_id
    return f"send it again{' under the same idempotency key' if is_key_given else ''}"


def _until_there(run_id: str) -> str:
    name = queue_name(run_id)
    if name == run_id:
        return f"run {run_id!r} is no member; once it is"
    return (
        f"there is no queue {name!r}; once it is made, by pool.queue({name!r}) or"
        f" `agentpool init --queue {name!r}`"
    )


def _why(addressing: Addressing, there: list[AgentPoolMember], who: str, again: str) -> str:
    if addressing.lacking:
        lacking = policies(addressing.lacking)
        return f"it lacks {lacking}, required in this pool; {again}, with that in policy_refs="
    lacked = min(map(addressing.lacked_by, there), key=len)
    if not lacked:
        return f"{who} was there too late for it; {again}"
    return (
        f"{who} is there, but without {policies(lacked)} of the message; once it has joined with"
        f" that in its policy_refs, or with other policy_refs=, {again}"
    )
