"""Each operation is a span, by the conventions of messaging, and messages carry their trace."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any, Final

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from agentpool import (
    AgentPool,
    ClaimLostError,
    Delivery,
    Draft,
    EventEnvelope,
    EventFilter,
    MemberHandle,
    MessageResponseContract,
    MessageStatus,
    NoRecipientError,
    NotAMemberError,
    RunAddress,
)
from agentpool.otel import context_of
from agentpool.testing import a_member, a_message, a_receipt

from .helpers import POOL, Spans, answering, entries, ids, links, parent_id, traceparent

TO_ADA: Final = RunAddress.run("run.ada")
TO_BOB: Final = RunAddress.run("run.bob")
TOPIC: Final = "topic.news"


def described(name: str, type_: str, destination: str = POOL, **more: Any) -> dict[str, Any]:
    """Write the attributes of an operation."""
    return {
        "messaging.system": "agentpool",
        "messaging.operation.name": name,
        "messaging.operation.type": type_,
        "messaging.destination.name": destination,
        **{f"messaging.{key.replace('__', '.')}": value for key, value in more.items()},
    }


async def taken(bob: MemberHandle) -> Delivery:
    async with asyncio.timeout(60):
        return await bob.inbox.take()


# --- what a span says


async def test_what_a_message_goes_through(
    spans: Spans, ada: MemberHandle, bob: MemberHandle
) -> None:
    await ada.send(TO_BOB, "hello", message_id="message.1")
    async with await taken(bob):
        pass
    assert {span.name: (span.kind, dict(span.attributes or {})) for span in spans.all()} == {
        f"send {POOL}": (SpanKind.PRODUCER, described("send", "send", message__id="message.1")),
        f"receive {POOL}": (
            SpanKind.CLIENT,
            described("receive", "receive", message__id="message.1"),
        ),
        f"ack {POOL}": (SpanKind.CLIENT, described("ack", "settle", message__id="message.1")),
        f"process {POOL}": (
            SpanKind.CONSUMER,
            described("process", "process", message__id="message.1") | {"agentpool.attempt": 1},
        ),
    }
    assert all(span.status.status_code is StatusCode.UNSET for span in spans.all())


async def test_the_destination_is_a_topic_where_it_goes_to_one(
    spans: Spans, pool: AgentPool, ada: MemberHandle
) -> None:
    async with pool.member(a_member("run.eve", topics=(TOPIC,))) as eve:
        await ada.send(RunAddress.topic(TOPIC), "news")
        async with await taken(eve):
            pass
    named = {span.name for span in spans.all()}
    assert named == {f"{each} {TOPIC}" for each in ("send", "receive", "process", "ack")}


async def test_messages_that_are_sent_and_taken_together(
    spans: Spans, ada: MemberHandle, bob: MemberHandle
) -> None:
    await ada.send_many([(TO_BOB, "one"), Draft(TO_BOB, "two"), (RunAddress.pool(POOL), "three")])
    deliveries = await bob.inbox.take_many(10)
    await bob.inbox.ack_many(deliveries)
    for operation, type_ in (("send", "send"), ("receive", "receive"), ("ack", "settle")):
        span = spans.one(operation)
        assert span.attributes == described(operation, type_, batch__message_count=3)
    send = spans.one("send")
    assert [entries(each.message) for each in deliveries] == [
        {"traceparent": traceparent(send)}
    ] * 3
    assert links(spans.one("receive")) == [ids(send)]


async def test_what_is_given_back(spans: Spans, ada: MemberHandle, bob: MemberHandle) -> None:
    await ada.send(TO_BOB, "hello", message_id="message.1")
    await (await taken(bob)).nack(delay=0)
    await (await taken(bob)).give_back()
    for operation in ("nack", "give_back"):
        span = spans.one(operation)
        assert span.kind is SpanKind.CLIENT
        assert span.attributes == described(operation, "settle", message__id="message.1")
        assert links(span) == [ids(spans.one("send"))]


async def test_a_claim_that_is_ended_by_its_token(
    spans: Spans, ada: MemberHandle, bob: MemberHandle
) -> None:
    await ada.send(TO_BOB, "hello")
    token = (await taken(bob)).token
    spans.clear()
    await bob.inbox.ack(token)
    assert spans.one("ack").attributes == described("ack", "settle")  # it names no message


async def test_a_question_and_its_answers_are_a_conversation(
    spans: Spans, ada: MemberHandle, bob: MemberHandle
) -> None:
    async with answering(bob):
        answer = await ada.ask_one(TO_BOB, "Where is Dune?", message_id="message.q")
    about = "messaging.message.conversation_id"
    assert {(span.attributes or {}).get(about) for span in spans.all()} == {"message.q"}
    messages = [(span.attributes or {})["messaging.message.id"] for span in spans.all("send")]
    assert messages == ["message.q", answer.message_id]


# --- one trace


async def test_the_work_on_a_message_goes_on_with_the_trace_of_its_sender(
    spans: Spans, ada: MemberHandle, bob: MemberHandle
) -> None:
    with spans.tracer.start_as_current_span("own") as own:
        await ada.send(TO_BOB, "hello")
    async with await taken(bob) as delivery:
        assert entries(delivery.message) == {"traceparent": traceparent(spans.one("send"))}
    send, process = spans.one("send"), spans.one("process")
    assert parent_id(send) == own.get_span_context().span_id
    assert process.parent is not None
    assert (process.parent.trace_id, process.parent.span_id) == ids(send)
    assert process.parent.is_remote
    assert parent_id(spans.one("ack")) == ids(process)[1]
    assert links(spans.one("receive")) == [ids(send)]


async def test_a_consumer_in_a_span_of_its_own_is_linked_to_it(
    spans: Spans, ada: MemberHandle, bob: MemberHandle
) -> None:
    await ada.send(TO_BOB, "hello")
    with spans.tracer.start_as_current_span("consumer") as consumer:
        async with await taken(bob):
            inside = spans.tracer.start_span("inside")
            inside.end()
    process, around = spans.one("process"), consumer.get_span_context()
    assert parent_id(process) == ids(spans.one("send"))[1]
    assert links(process) == [(around.trace_id, around.span_id)]
    assert parent_id(spans.one("inside")) == ids(process)[1]
    assert parent_id(spans.one("receive")) == around.span_id


async def test_an_untraced_message_is_worked_on_in_the_span_of_its_consumer(
    spans: Spans, pool: AgentPool, bob: MemberHandle
) -> None:
    own = a_message("message.1", sender="run.bob", to=TO_BOB)
    receipt = a_receipt(own, MessageStatus.DELIVERED, delivered_to=("run.bob",))
    await pool.store.record_message(POOL, own, receipt)
    with spans.tracer.start_as_current_span("consumer") as consumer:
        async with await taken(bob):
            pass
    process = spans.one("process")
    assert parent_id(process) == consumer.get_span_context().span_id
    assert links(process) == []


Reply = Callable[[MemberHandle, Delivery], Awaitable[Any]]
REPLIES: Final[dict[str, Reply]] = {
    "of the delivery": lambda _, delivery: delivery.reply("Shelf 42."),
    "of the member": lambda bob, delivery: bob.reply(delivery.message, "Shelf 42."),
    "sent with its correlation": lambda bob, delivery: bob.send(
        TO_ADA, "Shelf 42.", correlation=delivery.message.correlation
    ),
}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
async def test_an_answer_carries_its_own_trace_and_not_that_of_the_question(
    spans: Spans, ada: MemberHandle, bob: MemberHandle, reply: Reply
) -> None:
    await ada.send(TO_BOB, "Where is Dune?")
    async with await taken(bob) as delivery:
        await reply(bob, delivery)
    answer = (await taken(ada)).message
    question, answer_sent = spans.all("send")
    assert entries(answer) == {"traceparent": traceparent(answer_sent)}
    assert parent_id(answer_sent) == ids(spans.one("process"))[1]
    assert ids(answer_sent)[0] == ids(question)[0]


@pytest.mark.parametrize("reply", list(REPLIES.values())[:2], ids=list(REPLIES)[:2])
async def test_an_answer_outside_of_a_block_goes_on_with_the_question(
    spans: Spans, ada: MemberHandle, bob: MemberHandle, reply: Reply
) -> None:
    await ada.send(TO_BOB, "Where is Dune?")
    await reply(bob, await taken(bob))
    question, answer_sent = spans.all("send")
    assert parent_id(answer_sent) == ids(question)[1]
    assert entries((await taken(ada)).message) == {"traceparent": traceparent(answer_sent)}


async def test_an_answer_in_a_span_of_its_own_belongs_to_that(
    spans: Spans, ada: MemberHandle, bob: MemberHandle
) -> None:
    await ada.send(TO_BOB, "Where is Dune?")
    delivery = await taken(bob)
    with spans.tracer.start_as_current_span("own") as own:
        await delivery.reply("Shelf 42.")
    assert parent_id(spans.all("send")[1]) == own.get_span_context().span_id


async def test_asking_is_one_trace_there_and_back(
    spans: Spans, ada: MemberHandle, bob: MemberHandle
) -> None:
    async with answering(bob):
        with spans.tracer.start_as_current_span("own") as own:
            answer = await ada.ask_one(TO_BOB, "Where is Dune?")
            async with aclosing(ada.ask_each(TO_BOB, "And Emma?", expected=1)) as answers:
                [other] = [each async for each in answers]
    assert {ids(span)[0] for span in spans.all() if span.name != f"receive {POOL}"} == {
        own.get_span_context().trace_id
    }
    first, first_answer, second, second_answer = spans.all("send")
    assert [parent_id(first), parent_id(second)] == [own.get_span_context().span_id] * 2
    assert entries(answer) == {"traceparent": traceparent(first_answer)}
    assert entries(other) == {"traceparent": traceparent(second_answer)}
    of_ada = [span for span in spans.all("receive") if span.parent is not None]
    assert [links(span) for span in of_ada] == [[ids(first_answer)], [ids(second_answer)]]


async def test_a_message_that_was_made_by_hand_is_traced_too(
    spans: Spans, pool: AgentPool, ada: MemberHandle, bob: MemberHandle
) -> None:
    message = a_message("message.1", sender=ada.run_id, to=TO_BOB)
    await pool.send(message)
    asked = a_message(
        "message.2",
        sender=ada.run_id,
        to=TO_BOB,
        idempotency_key="key.2",
        response_contract=MessageResponseContract(1, 0),
    )
    await pool.ask(asked)
    for delivery, span in zip(await bob.inbox.take_many(2), spans.all("send"), strict=False):
        assert entries(delivery.message) == {"traceparent": traceparent(span)}


async def test_an_event_carries_the_trace_that_it_was_published_in(
    spans: Spans, pool: AgentPool, ada: MemberHandle
) -> None:
    await ada.publish("build.done", {"size": 3})
    published = await event_named(pool, "build.done")
    span = spans.one("publish")
    assert span.kind is SpanKind.PRODUCER
    assert span.attributes == described("publish", "send")
    assert entries(published) == {"traceparent": traceparent(span)}
    with spans.tracer.start_as_current_span("later", context_of(published)) as later:
        assert later.get_span_context().trace_id == ids(span)[0]


async def event_named(pool: AgentPool, name: str) -> EventEnvelope:
    async with asyncio.timeout(60), aclosing(pool.subscribe(EventFilter.named(name))) as events:
        return await anext(events)


# --- what fails


async def test_a_send_that_is_refused(spans: Spans, pool: AgentPool) -> None:
    stranger = pool.acting_as(a_member("run.stranger"))
    with pytest.raises(NotAMemberError):
        await stranger.send(RunAddress.pool(POOL), "hello")
    span = spans.one("send")
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "NotAMemberError"
    assert span.events == ()  # no stack, and no words of it


async def test_a_send_that_reaches_nobody(spans: Spans, ada: MemberHandle) -> None:
    with pytest.raises(NoRecipientError):
        await ada.send(RunAddress.run("run.gone"), "hello")
    span = spans.one("send")
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "NoRecipientError"


async def test_work_that_fails(spans: Spans, ada: MemberHandle, bob: MemberHandle) -> None:
    await ada.send(TO_BOB, "hello")
    with pytest.raises(ZeroDivisionError):
        async with await taken(bob):
            raise ZeroDivisionError
    process, nack = spans.one("process"), spans.one("nack")
    assert process.status.status_code is StatusCode.ERROR
    assert (process.attributes or {})["error.type"] == "ZeroDivisionError"
    assert nack.status.status_code is StatusCode.UNSET
    assert parent_id(nack) == ids(process)[1]


async def test_a_claim_that_is_lost(spans: Spans, ada: MemberHandle, bob: MemberHandle) -> None:
    await ada.send(TO_BOB, "hello")
    delivery = await taken(bob)
    await delivery.ack()
    with pytest.raises(ClaimLostError):
        await bob.inbox.ack(delivery.token)
    done, lost = spans.all("ack")
    assert (done.attributes or {}).get("error.type") is None
    assert (lost.attributes or {})["error.type"] == "ClaimLostError"


async def test_a_take_in_vain_is_no_operation(spans: Spans, bob: MemberHandle) -> None:
    assert await bob.inbox.take(timeout=0) is None
    assert await bob.inbox.take_many(3, timeout=0) == ()
    taking = asyncio.create_task(bob.inbox.take())
    await asyncio.sleep(0)
    taking.cancel()
    with suppress(asyncio.CancelledError):
        await taking
    assert spans.all() == []


async def test_a_take_that_is_refused(spans: Spans, pool: AgentPool, bob: MemberHandle) -> None:
    async with pool.member(a_member("run.bob")):
        with pytest.raises(Exception, match="is not held"):
            await bob.inbox.take()
        [span] = spans.all("receive")
        assert (span.attributes or {})["error.type"] == "MembershipLostError"


# --- many at once


async def test_handlers_at_work_at_once_are_each_in_their_own_trace(
    spans: Spans, ada: MemberHandle, bob: MemberHandle
) -> None:
    all_at_work = asyncio.Barrier(5)

    async def handle(delivery: Delivery) -> str:
        await all_at_work.wait()
        with spans.tracer.start_as_current_span(f"handling {delivery.message.message_id}"):
            await asyncio.sleep(0)
            return await delivery.text()

    serving = asyncio.create_task(bob.serve(handle))
    async with asyncio.TaskGroup() as tasks:
        for number in range(5):
            asking = ada.ask_one(TO_BOB, f"{number}", message_id=f"message.{number}")
            tasks.create_task(asking)
    serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving
    sent = {(s.attributes or {})["messaging.message.id"]: ids(s)[0] for s in spans.all("send")}
    handled = {str(s.name).removeprefix("handling "): ids(s)[0] for s in spans.all("handling")}
    assert len(set(handled.values())) == 5
    assert handled.items() <= sent.items()


async def test_nothing_is_current_when_a_block_has_ended(
    spans: Spans, ada: MemberHandle, bob: MemberHandle
) -> None:
    await ada.send(TO_BOB, "hello")
    async with await taken(bob):
        pass
    await bob.send(TO_ADA, "on my own")
    assert parent_id(spans.all("send")[1]) is None
    assert ids(spans.all("send")[1])[0] != ids(spans.all("send")[0])[0]
