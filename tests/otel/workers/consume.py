"""Take from the queue ``work``, and work on that until killed: ``consume.py PATH``.

Prints the trace, the parent and the id of the span that it works in.
"""

import asyncio
import sys

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import get_current_span

from agentpool import AgentPoolMember, open_pool
from agentpool.otel import instrument

LEASE = 1.0  # seconds: whoever takes what this one had waits so long


async def main(path: str) -> None:
    instrument(tracer_provider=TracerProvider())
    async with (
        open_pool(path, "pool.traced", busy_timeout=200.0) as pool,
        pool.member(AgentPoolMember("run.worker", "agent.worker"), claim_lease=LEASE) as me,
        await me.queue("work").take(),
    ):
        span = get_current_span()
        assert isinstance(span, ReadableSpan)
        assert span.context is not None
        assert span.parent is not None
        ids = f"{span.context.trace_id:032x} {span.parent.span_id:016x} {span.context.span_id:016x}"
        sys.stdout.write(f"{ids}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


asyncio.run(main(sys.argv[1]))
