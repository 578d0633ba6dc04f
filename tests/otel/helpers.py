"""What the tests of tracing look at."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, Tracer

from agentpool import EventEnvelope, MemberHandle, RunMessage
from agentpool.wire.refs import EventCorrelation

POOL: Final = "pool.traced"
TRACEPARENT: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE_ID: Final = 0x0AF7651916CD43DD8448EB211C80319C
SPAN_ID: Final = 0xB7AD6B7169203331


class Spans:
    """The spans that have ended."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider: Final = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @property
    def tracer(self) -> Tracer:
        """A tracer of the program's own."""
        return self.provider.get_tracer("test")

    def all(self, operation: str = "") -> list[ReadableSpan]:
        """List those of an operation, or all, as they have ended."""
        ended = self._exporter.get_finished_spans()
        return [each for each in ended if not operation or each.name.split()[0] == operation]

    def one(self, operation: str) -> ReadableSpan:
        """Give the only one of an operation."""
        [span] = self.all(operation)
        return span

    def clear(self) -> None:
        """Forget them."""
        self._exporter.clear()


def context(span: ReadableSpan) -> SpanContext:
    """Give the context of a span."""
    found = span.get_span_context()
    assert found is not None
    return found


def parent_id(span: ReadableSpan) -> int | None:
    """Give the id of a span's parent."""
    return None if span.parent is None else span.parent.span_id


def links(span: ReadableSpan) -> list[tuple[int, int]]:
    """Give what a span is linked to, as traces and spans."""
    return [(each.context.trace_id, each.context.span_id) for each in span.links]


def ids(span: ReadableSpan) -> tuple[int, int]:
    """Give the trace and the span that it is."""
    found = context(span)
    return found.trace_id, found.span_id


def entries(of: RunMessage | EventEnvelope | EventCorrelation) -> dict[str, str]:
    """Give the correlation entries of a message or an event."""
    correlation = of if isinstance(of, EventCorrelation) else of.correlation
    return {each.key: each.value for each in correlation.entries}


def traceparent(span: ReadableSpan) -> str:
    """Write a span as a message carries it."""
    found = context(span)
    return f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}"


@asynccontextmanager
async def answering(member: MemberHandle) -> AsyncGenerator[None]:
    """Have a member answer with what it was asked."""
    serving = asyncio.create_task(member.serve(lambda delivery: delivery.text()))
    try:
        yield
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving


def measured(reader: InMemoryMetricReader) -> dict[str, list[tuple[dict[str, Any], Any]]]:
    """Give what was measured, by the names of instruments: attributes and data points."""
    data = reader.get_metrics_data()
    return {
        metric.name: [(dict(point.attributes or {}), point) for point in metric.data.data_points]
        for of_resource in (data.resource_metrics if data else ())
        for of_scope in of_resource.scope_metrics
        for metric in of_scope.metrics
    }
