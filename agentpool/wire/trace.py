"""Where a message, or an event, carries the trace that it was sent in: two correlation entries.

They are those of W3C Trace Context, under the names that it gives them. Baggage is never carried:
it would stay in the log, for all who read that.
"""

from typing import Final

from agentpool.wire.refs import EventCorrelation
from agentpool.wire.struct import trusted

__all__ = ("TRACEPARENT", "TRACESTATE", "untraced")

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"

_KEYS: Final = frozenset({TRACEPARENT, TRACESTATE})


def untraced(correlation: EventCorrelation) -> EventCorrelation:
    """Give a correlation without the trace."""
    left = tuple(entry for entry in correlation.entries if entry.key not in _KEYS)
    if len(left) == len(correlation.entries):
        return correlation
    found: EventCorrelation = trusted(EventCorrelation, left)
    return found
