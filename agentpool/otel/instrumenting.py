"""Setting the tracer of the library, and taking it away."""

from functools import partial
from typing import Final

from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider, get_meter
from opentelemetry.trace import TracerProvider, get_tracer

from agentpool.otel.context import extracted
from agentpool.otel.dormant import Dormant, does_anything
from agentpool.otel.gauges import report_to
from agentpool.otel.metrics import Metrics
from agentpool.otel.traced import TracedOperations
from agentpool.runtime.tracing import trace_by
from agentpool.support.version import __version__
from agentpool.wire.events import EventEnvelope
from agentpool.wire.records import RunMessage

__all__ = ("context_of", "instrument", "uninstrument")

_NAME: Final = "agentpool"
_CONVENTIONS: Final = "https://opentelemetry.io/schemas/1.44.0"

_reporting_to: list[MeterProvider | None] = []
"""Where the gauges are reported to, if anywhere."""


def instrument(
    *, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
) -> None:
    """Trace and count the operations of this process from now on, in all pools, open ones too.

    Called again, it does so by the new providers, and no longer by the former. As long as there is
    no provider, nothing is traced, and that costs nothing.

    :param tracer_provider: ``None``: the one that is set for the process; also if only later, from
        a tenth of a second after that
    :param meter_provider: ``None``: likewise
    """
    tracer = get_tracer(_NAME, __version__, tracer_provider, _CONVENTIONS)
    meter = get_meter(_NAME, __version__, meter_provider, _CONVENTIONS)
    awake = TracedOperations(tracer, Metrics(meter))
    is_needed = does_anything(tracer_provider, meter_provider)
    trace_by(awake if is_needed else Dormant(awake, tracer_provider, meter_provider))
    _reporting_to[:] = [meter_provider]
    report_to(meter, partial(_is_reported_to, meter_provider))


def uninstrument() -> None:
    """Trace and count nothing from now on; spans that are open end in their time. Idempotent."""
    trace_by(None)
    _reporting_to.clear()


def _is_reported_to(provider: MeterProvider | None) -> bool:
    return any(each is provider for each in _reporting_to)


def context_of(sent: RunMessage | EventEnvelope) -> Context:
    """Give the context that a message was sent in, or an event published, to go on with.

    For who works on something outside of ``async with delivery``. It is empty where that carries no
    trace, or a malformed one.
    """
    return extracted(sent.correlation)
