"""Finding a message by its id: by an index, in an inbox, and back through the log."""

from functools import partial
from typing import Final

from agentpool.rules.command import Placed
from agentpool.rules.explaining.by_id import id_among_records, id_by_index, id_in_inbox
from agentpool.stores.base import AgentPoolStore, Bulk
from agentpool.wire.records import AgentPoolStoredMessage

__all__ = ("LOOK_BACK", "look_back", "message_by_id")

LOOK_BACK: Final = 20_000
"""So many records are gone through for an id that no index has: about half a second."""

_PAGE: Final = 1000


async def message_by_id(
    store: AgentPoolStore,
    pool_id: str,
    message_id: str,
    *,
    run_id: str | None = None,
    most: int = LOOK_BACK,
) -> AgentPoolStoredMessage | None:
    """Find a message by its id, and give its latest status.

    :param run_id: whose inbox is looked into too, however long ago it came
    :param most: so many of the newest records are gone through
    """
    found = await store.query(pool_id, partial(id_by_index, message_id=message_id))
    if found is None and run_id is not None:
        inbox = partial(id_in_inbox, message_id=message_id, run_id=run_id)
        found = await store.query(pool_id, Bulk(inbox))
    if found is None:
        head = await store.query(pool_id, lambda view: view.head)
        found, _ = await look_back(store, pool_id, message_id, head, most)
    return None if found is None else found.stored


async def look_back(
    store: AgentPoolStore, pool_id: str, message_id: str, last: int, most: int = LOOK_BACK
) -> tuple[Placed[AgentPoolStoredMessage] | None, int]:
    """Look back through the log for the id of a message, a page at a time.

    :param last: the record at which to begin
    :return: the message; and after which record it was looked for
    """
    end = max(last - most, 0)
    while last > end:
        first = max(last - _PAGE, end)
        page = partial(id_among_records, message_id=message_id, after=first, limit=last - first)
        found = await store.query(pool_id, Bulk(page))
        if found is not None:
            return found, first
        last = first
    return None, end
