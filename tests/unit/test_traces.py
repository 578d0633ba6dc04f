"""The trace in a correlation is nothing that a retry is compared by."""

from typing import Final

import pytest
from msgspec.structs import replace

from agentpool import (
    AgentPool,
    CorrelationEntry,
    EventCorrelation,
    EventEnvelope,
    EventFilter,
    IdempotencyConflictError,
    open_pool,
)
from agentpool.testing import a_member, a_message
from agentpool.wire.trace import untraced

TASK: Final = CorrelationEntry("task", "task.1")
TRACES: Final = [
    EventCorrelation((TASK, CorrelationEntry("traceparent", each))) for each in ("first", "second")
]


def test_what_is_no_trace_of_a_correlation_stays() -> None:
    state = CorrelationEntry("tracestate", "a=1")
    assert untraced(EventCorrelation((state, *TRACES[0].entries))) == EventCorrelation((TASK,))
    assert untraced(EventCorrelation((TASK,))) == EventCorrelation((TASK,))


async def test_a_message_or_an_event_again_in_another_trace_is_the_same() -> None:
    async with open_pool("memory:", "pool.test") as pool:
        await pool.join_run(a_member("run.a"))
        receipts = [await pool.send(a_message(correlation=each)) for each in TRACES]
        assert receipts[0] == receipts[1]
        event = await own_event(pool)
        numbers = [await pool.publish(replace(event, correlation=each)) for each in TRACES]
        assert numbers[0] == numbers[1]
        with pytest.raises(IdempotencyConflictError):
            await pool.publish(replace(event, correlation=EventCorrelation()))


async def own_event(pool: AgentPool) -> EventEnvelope:
    """Make an event of a host, after one of a member."""
    await pool.acting_as(a_member("run.a")).publish("build.done")
    events = pool.subscribe(EventFilter.named("build.done"))
    found = await anext(events)
    await events.aclose()
    return replace(found, event_id="event.host")
