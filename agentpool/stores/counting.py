"""What waits in a pool, asked of a store in short questions, however much it is."""

from functools import partial

from agentpool.rules.backlog import Backlog, Place, backlog_after
from agentpool.stores.base import AgentPoolStore, Bulk

__all__ = ("backlog_of",)


async def backlog_of(store: AgentPoolStore, pool_id: str) -> Backlog:
    """Count all that is in the inboxes of a pool; what comes meanwhile may be in it or not.

    :raises AgentPoolError: as the store says
    """
    backlog = Backlog()
    following: Place | None = Place()
    while following is not None:
        question = partial(backlog_after, place=following)
        more, following = await store.query(pool_id, Bulk(question))
        backlog = backlog.plus(more)
    return backlog
