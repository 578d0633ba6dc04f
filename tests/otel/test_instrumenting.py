"""Beginning to trace, beginning again, ending; and what it is like where nothing is traced."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from opentelemetry.trace import NoOpTracerProvider

from agentpool import AgentPool, MemberHandle, RunAddress
from agentpool.otel import instrument, uninstrument
from agentpool.testing import a_member

from .helpers import TRACEPARENT, Spans, entries
from .test_context import correlation

TO_BOB: Final = RunAddress.run("run.bob")


async def exchanged(ada: MemberHandle, bob: MemberHandle) -> None:
    """Send, work, answer."""
    await ada.send(TO_BOB, "hello")
    async with await bob.inbox.take() as delivery:
        await delivery.reply("hello to you")
    async with await ada.inbox.take():
        pass


async def test_twice_is_once(spans: Spans, ada: MemberHandle, bob: MemberHandle) -> None:
    instrument(tracer_provider=spans.provider)
    await exchanged(ada, bob)
    assert len(spans.all("send")) == 2
    assert len(spans.all("process")) == 2


async def test_another_provider_takes_the_place_of_the_former(
    spans: Spans, ada: MemberHandle, bob: MemberHandle
) -> None:
    other = Spans()
    instrument(tracer_provider=other.provider)
    await exchanged(ada, bob)
    assert spans.all() == []
    assert len(other.all("send")) == 2


async def test_undone_nothing_is_traced_nor_carried(
    spans: Spans, ada: MemberHandle, bob: MemberHandle
) -> None:
    uninstrument()
    uninstrument()
    await ada.send(TO_BOB, "hello")
    async with await bob.inbox.take() as delivery:
        assert entries(delivery.message) == {}
    assert spans.all() == []


async def test_undone_in_the_middle_of_the_work(
    spans: Spans, ada: MemberHandle, bob: MemberHandle
) -> None:
    await ada.send(TO_BOB, "hello")
    async with await bob.inbox.take():
        uninstrument()
    assert len(spans.all("process")) == 1
    instrument(tracer_provider=spans.provider)
    await ada.send(TO_BOB, "hello")
    assert spans.all("send")[1].parent is None


async def test_open_pools_are_traced_from_then_on(pool: AgentPool) -> None:
    async with pool.member(a_member("run.ada")) as ada, pool.member(a_member("run.bob")) as bob:
        spans = Spans()
        instrument(tracer_provider=spans.provider)
        try:
            await exchanged(ada, bob)
        finally:
            uninstrument()
        assert len(spans.all("process")) == 2


async def test_where_nothing_makes_spans_a_trace_is_passed_on(
    ada: MemberHandle, bob: MemberHandle
) -> None:
    instrument(tracer_provider=NoOpTracerProvider())
    try:
        await ada.send(TO_BOB, "hello", correlation=correlation(("traceparent", TRACEPARENT)))
        async with await bob.inbox.take() as delivery:
            await delivery.reply("hello to you")
        assert entries((await ada.inbox.take()).message) == {"traceparent": TRACEPARENT}
        await ada.send(TO_BOB, "in no trace")
        assert entries((await bob.inbox.take()).message) == {}
    finally:
        uninstrument()


def test_a_provider_that_is_set_later_is_found_and_until_then_nothing_is_traced() -> None:
    program = Path(__file__).parent / "workers/set_later.py"
    command = [sys.executable, str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["before:", "0", "after:", "send", "receive", "ack", "process"]


@pytest.mark.parametrize("program", ["import agentpool", "import agentpool.cli.running"])
def test_the_library_alone_loads_nothing_of_it(program: str) -> None:
    found = f"{program}, sys; print([each for each in sys.modules if 'telemetry' in each])"
    done = subprocess.run([sys.executable, "-c", found], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_without_the_extra_it_is_said_what_to_install() -> None:
    program = "import sys; sys.modules['opentelemetry'] = None; import agentpool.otel"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last == (
        "ImportError: agentpool.otel needs the extra 'otel': pip install 'agentpool-store[otel]'"
    )
