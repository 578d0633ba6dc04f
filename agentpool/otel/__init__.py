"""Tracing and metrics by OpenTelemetry (extra ``otel``): `instrument` begins, `uninstrument` ends.

An operation on a pool is then a span, by the conventions of messaging, and messages carry the
trace that they are sent in, as the correlation entries ``traceparent`` and ``tracestate``. `gauges`
measures what waits in a pool.
"""

try:
    import opentelemetry.trace  # noqa: F401
except ImportError as _error:
    _msg = "agentpool.otel needs the extra 'otel': pip install 'agentpool-store[otel]'"
    raise ImportError(_msg) from _error

from agentpool.otel.gauges import gauges
from agentpool.otel.instrumenting import context_of, instrument, uninstrument

__all__ = ("context_of", "gauges", "instrument", "uninstrument")
