"""Who is in a pool, in few words."""

from heapq import nsmallest
from typing import Final

from agentpool import AgentPoolMember
from agentpool.mcp.answers import Answer, listed, rows_within
from agentpool.rules.command import PoolView
from agentpool.rules.explaining.inboxes import at_least, inbox_counted, rows_of
from agentpool.rules.explaining.presence import held
from agentpool.rules.queues import is_queue
from agentpool.rules.requirements import require_open

__all__ = ("who_is_there",)

_MOST: Final = 50
_MAX_CHARS: Final = 8000


def who_is_there(view: PoolView, agent: str | None) -> Answer:
    """List the members, the first of many, in ascending order of their runs.

    :param agent: only the runs of this agent; ``None``: all
    """
    require_open(view)
    members = view.state.members
    found = [run for run, each in members.items() if agent is None or each.agent_id == agent]
    some = [_words(view, members[run_id]) for run_id in nsmallest(_MOST, found)]
    rows = list(rows_within(some, _MAX_CHARS))
    left = len(found) - len(rows)
    more = f"{left} more; give an agent to see its runs" if left else None
    return {"members": rows, "more": more}


def _words(view: PoolView, member: AgentPoolMember) -> Answer:
    run_id = member.run_id
    inbox = inbox_counted(view, run_id, rows_of(view, run_id))
    unread: Answer = {"unread": inbox.unread or None}
    if "unread" in at_least([inbox]):
        unread["at_least"] = ["unread"]
    if is_queue(member):
        return {"queue": run_id.removeprefix("queue."), **unread}
    return {
        "run": run_id,
        "agent": member.agent_id,
        **unread,
        "topics": listed(member.topics),
        # One that joined without a lease has nobody who says whether it is alive.
        "here": True if held(view, run_id).is_here(view.now) else None,
    }
