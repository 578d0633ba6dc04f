"""Why a message to a run, or to an agent, reached nobody, and what to do: the words of an error."""

from typing import Final

from agentpool.rules.command import PoolView
from agentpool.rules.explaining.phrases import policies
from agentpool.rules.recipients import Addressing
from agentpool.rules.requirements import require_open
from agentpool.wire.records import AgentPoolMember, AgentTarget, RunMessage, RunTarget

__all__ = ("why_nobody",)

_AGAIN: Final = "send it again under the same idempotency key"


def why_nobody(view: PoolView, message: RunMessage) -> str | None:
    """Say why a message reached nobody, by who is there now.

    :return: ``None`` for one to a topic or a pool: of those nobody knows whether somebody listens
    """
    members = view.state.members
    addressing = Addressing(require_open(view), view.pool_id, message)
    match message.to.target:
        case RunTarget(run_id):
            there = [members[run_id]] if run_id in members else []
            return _why(addressing, there, f"run {run_id!r}", "is")
        case AgentTarget(agent_id):
            there = [each for each in members.values() if each.agent_id == agent_id]
            return _why(addressing, there, f"agent {agent_id!r}", "has")
        case _:
            return None


def _why(addressing: Addressing, there: list[AgentPoolMember], who: str, verb: str) -> str:
    if not there:
        return f"{who} {verb} no member; once it {verb}, {_AGAIN}"
    if addressing.lacking:
        lacking = policies(addressing.lacking)
        return f"it lacks {lacking}, required in this pool; {_AGAIN}, with that in policy_refs="
    lacked = min(map(addressing.lacked_by, there), key=len)
    if not lacked:
        return f"{who} was there too late for it; {_AGAIN}"
    return (
        f"{who} is there, but without {policies(lacked)} of the message; once it has joined with"
        f" that in its policy_refs, or with other policy_refs=, {_AGAIN}"
    )
