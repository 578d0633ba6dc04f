"""What a list of pools says of each."""

from typing import NamedTuple

from agentpool.errors import AgentPoolError
from agentpool.rules.command import PoolView

__all__ = ("PoolSummary", "summary_of")


class PoolSummary(NamedTuple):
    """A pool in a list of pools.

    :ivar records: how many records its log has
    :ivar members: how many runs are members; ``None``: a record that says so cannot be read
    :ivar last_change: when the last record was appended, in milliseconds of the Unix epoch; of one
        that another implementation appended, the last time before that is known; ``None``: none is,
        since no `AgentPool` has changed anything
    """

    pool_id: str
    records: int
    members: int | None
    last_change: int | None


def summary_of(view: PoolView) -> PoolSummary:
    """Say what a list of pools says of one."""
    try:
        members = len(view.state.members)
    except AgentPoolError:
        members = None
    return PoolSummary(view.pool_id, view.head, members, view.time_of(view.head))
