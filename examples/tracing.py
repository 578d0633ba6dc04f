"""A question through three processes is one trace: a reader asks, a desk looks it up in a library.

You learn to turn tracing on, once for each process, with the provider that you have; here it prints
a line for each span. What is sent carries the trace, so the work on it goes on with that, in
whatever process it is, and so does the answer.

Run it with ``pip install 'agentpool-store[otel]' opentelemetry-sdk`` and
``python examples/tracing.py``.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

import agentpool as ap
from agentpool import otel

POOL = "pool.library"
SECONDS = 60  # nothing here waits longer than this
LIBRARY, DESK = ap.RunAddress.agent("agent.library"), ap.RunAddress.agent("agent.desk")


def in_a_line(span: ReadableSpan) -> str:
    """Write a span as its trace, its parent, itself, the process and the operation."""
    context = span.get_span_context()
    assert context is not None
    parent = f"{span.parent.span_id:016x}" if span.parent else "-"
    ids = f"{context.trace_id:032x} {parent} {context.span_id:016x}"
    return f"{ids} {span.resource.attributes['service.name']!s} {span.name}\n"


def trace_this_process(name: str) -> None:
    """Make what a program has anyway: a provider that exports somewhere. Then turn it on here."""
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(formatter=in_a_line)))
    trace.set_tracer_provider(provider)
    otel.instrument()


@asynccontextmanager
async def member(path: str, name: str) -> AsyncIterator[ap.MemberHandle]:
    """Be a member of the pool, in this process."""
    trace_this_process(name)
    async with (
        ap.open_pool(path, POOL) as pool,
        pool.member(ap.AgentPoolMember(f"run.{name}", f"agent.{name}")) as me,
    ):
        await pool.wait_for_members(count=3, timeout=SECONDS)
        yield me


async def ask(path: str) -> None:
    """Ask the desk, in a span of our own, and print what it says."""
    async with member(path, "reader") as me:
        with trace.get_tracer("library").start_as_current_span("look for a book"):
            answer = await me.ask_one(DESK, "Where is Dune?", timeout=SECONDS)
        print("answer:", await me.read(answer))


async def pass_on(path: str) -> None:
    """Take one question, ask the library, and answer with what that says."""
    async with member(path, "desk") as me, await me.inbox.take() as delivery:
        found = await me.ask_one(LIBRARY, await delivery.text(), timeout=SECONDS)
        await delivery.reply(f"It is on {await me.read(found)}.")


async def answer(path: str) -> None:
    """Take one question, and answer it."""
    async with member(path, "library") as me, await me.inbox.take() as delivery:
        await delivery.reply("shelf 42")


Part = Callable[[str], Coroutine[Any, Any, None]]
PARTS: dict[str, Part] = {
    "reader": ask,
    "desk": pass_on,
    "library": answer,
}


async def lines_of(part: str, path: str) -> list[str]:
    """Run a part in a process of its own, and give what it printed."""
    async with AsyncExitStack() as stack:
        process = await asyncio.create_subprocess_exec(
            sys.executable, __file__, part, path, stdout=asyncio.subprocess.PIPE
        )
        stack.callback(lambda: process.kill() if process.returncode is None else None)
        async with asyncio.timeout(2 * SECONDS):
            out, _ = await process.communicate()
    return out.decode().splitlines()


async def main() -> None:
    """Run the three, and show the spans of the trace below one another."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "pool.db")
        printed = await asyncio.gather(*(lines_of(part, path) for part in PARTS))
    spans = [line.split(maxsplit=4) for lines in printed for line in lines if line[:6] != "answer"]
    [of_reader] = [span for span in spans if span[4] == "look for a book"]
    print(*(line for line in printed[0] if line.startswith("answer")))

    def show(parent: list[str], depth: int) -> None:
        print(f"{'  ' * depth}{parent[4]} ({parent[3]})")
        for span in spans:
            if span[1] == parent[2]:
                show(span, depth + 1)

    show(of_reader, 0)
    print("traces:", len({span[0] for span in spans if span[4].split()[0] != "receive"}))


if __name__ == "__main__":
    asyncio.run(PARTS[sys.argv[1]](sys.argv[2]) if sys.argv[1:] else main())
