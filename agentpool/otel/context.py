"""Trace contexts and the correlation entries that carry them, from one process to another."""

from collections.abc import Iterator
from typing import Final

from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import Span, SpanContext, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from agentpool.wire.ids import MAX_IDENTIFIER_BYTES
from agentpool.wire.refs import CorrelationEntry, EventCorrelation
from agentpool.wire.trace import TRACEPARENT, TRACESTATE, untraced

__all__ = ("carrying", "extracted", "sent_in")

# Not the one that is set for all: it may carry baggage, which has no place in a log.
_PROPAGATOR: Final = TraceContextTextMapPropagator()


class _Entries(Getter[EventCorrelation]):
    """Reads the entries of a correlation, the first one of each key."""

    def get(self, carrier: EventCorrelation, key: str) -> list[str] | None:
        return next(([each.value] for each in carrier.entries if each.key == key), None)

    def keys(self, carrier: EventCorrelation) -> list[str]:
        return [each.key for each in carrier.entries]


_ENTRIES: Final = _Entries()


def extracted(correlation: EventCorrelation, context: Context | None = None) -> Context:
    """Give the context that a message or event was sent in, within another one.

    Where it carries none, or a malformed one, that is the other one itself.

    :param context: ``None``: an empty one
    """
    return _PROPAGATOR.extract(correlation, context or Context(), _ENTRIES)


def sent_in(correlation: EventCorrelation) -> SpanContext:
    """Give the span that a message was sent in; an invalid one: it carries none."""
    return get_current_span(extracted(correlation)).get_span_context()


def carrying(
    correlation: EventCorrelation, span: Span, at_hand: EventCorrelation | None
) -> EventCorrelation:
    """Give a correlation that carries the context of a span; one of the caller's own stays.

    :param at_hand: that of the message that is being answered, or worked on: a trace that is copied
        from it is no caller's own
    """
    if not span.get_span_context().is_valid:
        return correlation
    own = _ENTRIES.get(correlation, TRACEPARENT)
    if own is not None:
        if at_hand is None or own != _ENTRIES.get(at_hand, TRACEPARENT):
            return correlation
        correlation = untraced(correlation)
    others = (each for each in correlation.entries if each.key != TRACESTATE)
    return EventCorrelation((*others, *_entries_of(span)))


def _entries_of(span: Span) -> Iterator[CorrelationEntry]:
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, set_span_in_context(span, Context()))
    for key in (TRACEPARENT, TRACESTATE):
        value = carrier.get(key)
        if value and len(value.encode()) <= MAX_IDENTIFIER_BYTES:
            yield CorrelationEntry(key, value)
