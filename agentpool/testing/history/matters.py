"""What the calls of a stress run are about: the same for every process that uses a number."""

from typing import Any, Final

from agentpool.testing.conformance.pool_kit import an_event
from agentpool.testing.values import a_condition, a_message
from agentpool.wire.event_kinds import EventFamily, EventKind
from agentpool.wire.events import EventEnvelope
from agentpool.wire.filters import EventFilter
from agentpool.wire.records import RunAddress, RunMessage, WakeCondition
from agentpool.wire.refs import CorrelationEntry, EventCorrelation
from agentpool.wire.struct import include

__all__ = (
    "HOST",
    "INBOX",
    "LEASE_SECONDS",
    "POOL",
    "STAYING",
    "a_copy_of",
    "a_wait_for",
    "an_event_of",
    "floater",
    "matter",
)

POOL: Final = "pool.history"
HOST: Final = "run.host"
"""Sends and publishes everything, and never leaves."""
INBOX: Final = "run.inbox"
"""Has the inbox that all processes consume, and never leaves."""

LEASE_SECONDS: Final = 1.0
"""For how long a run is held without a heartbeat."""

_FLOATERS: Final = 3
_TIMEOUTS: Final = (0, 20, 60, 150, 300)


def floater(number: int) -> str:
    """Name a run that joins and leaves all the time."""
    return f"run.floater.{number % _FLOATERS}"


STAYING: Final = frozenset({HOST, INBOX, *map(floater, range(_FLOATERS))})
"""Runs whose lease never runs out, for they have none."""


def matter(number: int) -> str:
    """Name the correlation key of a wait and of its events."""
    return f"matter.{number}"


def a_copy_of(number: int, message_id: str, kind: str) -> RunMessage:
    """Build a message under a key that other processes use for the same."""
    to = floater(number) if kind == "send" and number % 3 == 0 else INBOX
    return a_message(
        message_id, sender=HOST, to=RunAddress.run(to), idempotency_key=f"{kind}.{number}"
    )


def a_wait_for(number: int) -> WakeCondition:
    """Build the wait for the events of a matter, by a run that stays or by one that may leave."""
    return a_condition(
        f"wake.{number}",
        run_id=HOST if number % 2 else floater(number),
        filter=EventFilter(
            kinds=include(EventKind.TOOL_COMPLETED), correlation_keys=include(matter(number))
        ),
        timeout_millis=_TIMEOUTS[number % len(_TIMEOUTS)],
    )


def an_event_of(number: int, which: int) -> EventEnvelope:
    """Build one of the events of a matter."""
    fields: dict[str, Any] = {
        "event_family": EventFamily.TOOL,
        "event_kind": EventKind.TOOL_COMPLETED,
        "run_id": HOST,
        "correlation": EventCorrelation((CorrelationEntry(matter(number), "x"),)),
    }
    return an_event(f"event.{number}.{which}", **fields)
