"""What of a trace is carried by messages, and what of what they carry is taken for one."""

import asyncio
from typing import Final

import pytest
from opentelemetry import baggage
from opentelemetry import context as contexts
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    get_current_span,
    set_span_in_context,
)

from agentpool import (
    CorrelationEntry,
    EventCorrelation,
    MemberHandle,
    RunAddress,
    RunMessage,
)
from agentpool.otel import context_of
from agentpool.testing import a_message

from .helpers import SPAN_ID, TRACE_ID, TRACEPARENT, Spans, entries, ids, parent_id, traceparent

TO_BOB: Final = RunAddress.run("run.bob")


def correlation(*pairs: tuple[str, str]) -> EventCorrelation:
    return EventCorrelation(tuple(CorrelationEntry(*pair) for pair in pairs))


async def sent(ada: MemberHandle, bob: MemberHandle, *pairs: tuple[str, str]) -> RunMessage:
    """Send a message with a correlation, and give it as it is received."""
    await ada.send(TO_BOB, "hello", correlation=correlation(*pairs))
    async with asyncio.timeout(60):
        return (await bob.inbox.take()).message


def remote(trace_state: TraceState) -> contexts.Context:
    span = SpanContext(
        TRACE_ID, SPAN_ID, is_remote=True, trace_flags=TraceFlags(1), trace_state=trace_state
    )
    return set_span_in_context(NonRecordingSpan(span))


async def test_the_trace_comes_after_what_the_caller_gave(
    spans: Spans, ada: MemberHandle, bob: MemberHandle
) -> None:
    message = await sent(ada, bob, ("task", "task.1"))
    assert message.correlation == correlation(
        ("task", "task.1"), ("traceparent", traceparent(spans.one("send")))
    )


@pytest.mark.parametrize("state", [(), (("tracestate", "vendor=1"),)])
async def test_an_entry_of_the_callers_own_wins(
    spans: Spans, ada: MemberHandle, bob: MemberHandle, state: tuple[tuple[str, str], ...]
) -> None:
    own = (("traceparent", TRACEPARENT), *state, ("task", "task.1"))
    token = contexts.attach(remote(TraceState([("other", "2")])))
    message = await sent(ada, bob, *own)
    contexts.detach(token)
    assert message.correlation == correlation(*own)
    assert spans.one("send").get_span_context() is not None


@pytest.mark.usefixtures("spans")
async def test_an_entry_of_the_callers_own_wins_where_something_else_is_worked_on(
    ada: MemberHandle, bob: MemberHandle
) -> None:
    await ada.send(TO_BOB, "first")
    async with await bob.inbox.take():
        message = await sent(ada, bob, ("traceparent", TRACEPARENT))
    assert entries(message) == {"traceparent": TRACEPARENT}


@pytest.mark.usefixtures("spans")
async def test_a_malformed_entry_of_the_callers_own_stays_too(
    ada: MemberHandle, bob: MemberHandle
) -> None:
    assert entries(await sent(ada, bob, ("traceparent", "mine"))) == {"traceparent": "mine"}


async def test_the_state_of_a_trace_is_carried_with_it(
    spans: Spans, ada: MemberHandle, bob: MemberHandle
) -> None:
    token = contexts.attach(remote(TraceState([("vendor", "1"), ("other", "2")])))
    message = await sent(ada, bob)
    contexts.detach(token)
    assert entries(message) == {
        "traceparent": traceparent(spans.one("send")),
        "tracestate": "vendor=1,other=2",
    }
    found = get_current_span(context_of(message)).get_span_context()
    assert found.trace_state.to_header() == "vendor=1,other=2"


@pytest.mark.parametrize(("length", "is_carried"), [(512, True), (513, False)])
async def test_a_state_that_is_too_long_is_left_out(
    spans: Spans, ada: MemberHandle, bob: MemberHandle, length: int, is_carried: bool
) -> None:
    state = TraceState([("a", "x" * 200), ("b", "x" * 200), ("c", "x" * (length - 408))])
    assert len(state.to_header()) == length
    token = contexts.attach(remote(state))
    message = await sent(ada, bob)
    contexts.detach(token)
    assert ("tracestate" in entries(message)) is is_carried
    assert entries(message)["traceparent"] == traceparent(spans.one("send"))


async def test_baggage_stays_here(spans: Spans, ada: MemberHandle, bob: MemberHandle) -> None:
    token = contexts.attach(baggage.set_baggage("secret", "1"))
    message = await sent(ada, bob)
    contexts.detach(token)
    assert entries(message) == {"traceparent": traceparent(spans.one("send"))}


MALFORMED: Final = [
    "mine",
    TRACEPARENT[:-1],
    TRACEPARENT.upper(),
    TRACEPARENT.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
    TRACEPARENT.replace("b7ad6b7169203331", "0" * 16),
    f"ff{TRACEPARENT[2:]}",
    f"{TRACEPARENT}-more",
    f"{TRACEPARENT}é",
    f"{TRACEPARENT.replace('-', ' ')}",
    "x" * 512,
]


@pytest.mark.parametrize("value", MALFORMED)
async def test_a_malformed_trace_is_ignored(
    spans: Spans, ada: MemberHandle, bob: MemberHandle, value: str
) -> None:
    await ada.send(TO_BOB, "hello", correlation=correlation(("traceparent", value)))
    async with await bob.inbox.take() as delivery:
        await delivery.reply("hello to you")
    process = spans.one("process")
    assert process.parent is None
    assert len(process.links) == 0
    answering = spans.all("send")[1]
    assert parent_id(answering) == ids(process)[1]
    answer = (await ada.inbox.take()).message
    assert entries(answer) == {"traceparent": traceparent(answering)}


@pytest.mark.parametrize("state", ["", "=", "a=1,a=2", "é=1", "x" * 512])
def test_a_malformed_state_is_ignored_and_the_trace_is_not(state: str) -> None:
    pairs = [("traceparent", TRACEPARENT), *([("tracestate", state)] if state else [])]
    message = a_message(correlation=correlation(*pairs))
    found = get_current_span(context_of(message)).get_span_context()
    assert (found.trace_id, found.span_id, found.is_remote) == (TRACE_ID, SPAN_ID, True)


def test_of_two_traces_the_first_counts() -> None:
    other = TRACEPARENT.replace("0af", "1af")
    message = a_message(
        correlation=correlation(("traceparent", TRACEPARENT), ("traceparent", other))
    )
    found = get_current_span(context_of(message)).get_span_context()
    assert found.trace_id == TRACE_ID


def test_a_message_without_a_trace_has_no_context() -> None:
    assert context_of(a_message()) == {}


async def test_what_is_not_sampled_is_carried_as_such(
    ada: MemberHandle, bob: MemberHandle, spans: Spans
) -> None:
    token = contexts.attach(
        set_span_in_context(
            NonRecordingSpan(
                SpanContext(TRACE_ID, SPAN_ID, is_remote=True, trace_flags=TraceFlags(0))
            )
        )
    )
    message = await sent(ada, bob)
    contexts.detach(token)
    assert spans.all("send") == []
    version, trace_id, span_id, flags = entries(message)["traceparent"].split("-")
    assert (version, int(trace_id, 16), int(flags, 16) & 1) == ("00", TRACE_ID, 0)
    assert int(span_id, 16) not in {0, SPAN_ID}
