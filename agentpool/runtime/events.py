"""Following the events of a pool: those of the past a page at a time, and new ones once for all."""

from collections.abc import AsyncGenerator, Callable, Hashable
from functools import partial
from typing import TypeAlias

from agentpool.rules.command import PoolView
from agentpool.rules.history import EventCursor, page_of_events
from agentpool.rules.requirements import checked_cursor, require_open, require_type
from agentpool.rules.waits import compile_for
from agentpool.runtime.opened import OpenedPool
from agentpool.stores.base import Bulk
from agentpool.wire.events import EventEnvelope
from agentpool.wire.filters import CompiledEventFilter, EventFilter, may_match
from agentpool.wire.records import AgentPoolStoreCursor

__all__ = ("events_after",)

_EventPage: TypeAlias = tuple[list[EventEnvelope], EventCursor, bool]
_PlacedEvents: TypeAlias = tuple[list[tuple[EventCursor, EventEnvelope]], EventCursor, bool]


async def events_after(
    pool: OpenedPool,
    filter: EventFilter,  # noqa: A002  # as of `AgentPool.subscribe`
    cursor: AgentPoolStoreCursor | None,
) -> AsyncGenerator[EventEnvelope, None]:
    """Yield the events after a cursor that match; see `AgentPool.subscribe`."""
    require_type(filter, EventFilter, "filter")
    place = checked_cursor(cursor)
    wanted = compile_for(await pool.query(require_open), filter)
    behind = True
    with pool.store.changes(pool.pool_id) as turns, pool.ending.ends(turns):
        async for _ in turns:
            look = _page_of_the_past(pool, place, wanted) if behind else _new_events(pool, place)
            events, place, behind = await look
            turns.refuse_closed()
            for event in events:
                if wanted.matches_envelope(event):
                    yield event
                    turns.refuse_closed()
            if behind:
                turns.wake()


async def _new_events(pool: OpenedPool, place: AgentPoolStoreCursor | None) -> _EventPage:
    """Read the next events, once for all subscriptions that stand at this place."""
    question = partial(page_of_events, cursor=place)
    return await _shared_page(pool, ("events", place), question)


async def _page_of_the_past(
    pool: OpenedPool, place: AgentPoolStoreCursor | None, wanted: CompiledEventFilter
) -> _EventPage:
    """Read the next events that a filter may match, without making the others."""
    question = partial(page_of_events, cursor=place, worth=partial(may_match, wanted.criteria))
    return await _shared_page(pool, ("past", place, wanted), Bulk(question))


async def _shared_page(
    pool: OpenedPool, what: Hashable, question: Callable[[PoolView], _PlacedEvents]
) -> _EventPage:
    async def read() -> _EventPage:
        page, end, more = await pool.store.query(pool.pool_id, question)
        return [event for _, event in page], end, more

    return await pool.store.tail.shared(pool.pool_id, what, read)
