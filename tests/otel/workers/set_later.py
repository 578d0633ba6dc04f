"""Send and take, first without a provider, which is set for the process only then."""

import asyncio

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agentpool import AgentPoolMember, MemberHandle, RunAddress, open_pool
from agentpool.otel import instrument
from agentpool.otel.dormant import Dormant
from agentpool.runtime import tracing


async def exchange(me: MemberHandle) -> None:
    await me.send(RunAddress.run(me.run_id), "hello")
    async with await me.inbox.take() as delivery:
        await delivery.text()


async def main() -> None:
    exporter = InMemorySpanExporter()
    async with (
        open_pool("memory:", "pool.traced") as pool,
        pool.member(AgentPoolMember("run.a", "agent.a")) as me,
    ):
        instrument()
        await exchange(me)
        print("before:", len(exporter.get_finished_spans()))  # noqa: T201
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
        while isinstance(tracing._tracing, Dormant):
            await asyncio.sleep(0.01)
            await me.inbox.take(timeout=0)
        await exchange(me)
        names = [span.name.split()[0] for span in exporter.get_finished_spans()]
        print("after:", *names)  # noqa: T201


asyncio.run(main())
