"""Sending again in another trace, and work that is done again, also after a kill."""

import asyncio
from pathlib import Path
from typing import Final

import pytest
from integration.helpers import BOUND, worker

from agentpool import (
    AgentPool,
    Draft,
    IdempotencyConflictError,
    MemberHandle,
    RunAddress,
    open_pool,
)
from agentpool.otel import uninstrument
from agentpool.testing import a_member

from .helpers import POOL, Spans, entries, ids, links, parent_id, traceparent
from .test_spans import event_named

TO_BOB: Final = RunAddress.run("run.bob")
CONSUMER: Final = Path(__file__).parent / "workers/consume.py"


# --- sending again


async def test_sending_again_in_another_trace_gives_the_same_receipt(
    spans: Spans, ada: MemberHandle, bob: MemberHandle
) -> None:
    receipts = []
    for name in ("first", "second"):
        with spans.tracer.start_as_current_span(name):
            receipts.append(await ada.send(TO_BOB, "hello", idempotency_key="key.1"))
    assert receipts[0] == receipts[1]
    [message] = await bob.inbox.peek()
    first, second = spans.all("send")
    assert ids(first)[0] != ids(second)[0]
    assert entries(message) == {"traceparent": traceparent(first)}


async def test_sending_many_again_in_another_trace(
    spans: Spans, ada: MemberHandle, bob: MemberHandle
) -> None:
    drafts = [Draft(TO_BOB, "hello", idempotency_key=f"key.{number}") for number in range(3)]
    first = await ada.send_many(drafts)
    assert await ada.send_many(drafts) == first
    sent, _ = spans.all("send")
    carried = [entries(each) for each in await bob.inbox.peek()]
    assert carried == [{"traceparent": traceparent(sent)}] * 3


async def test_asking_again_in_another_trace_gives_the_same_answers(
    spans: Spans, ada: MemberHandle, bob: MemberHandle
) -> None:
    async def answer() -> None:
        async with await bob.inbox.take() as delivery:
            await delivery.reply("Shelf 42.", idempotency_key="key.answer")
            await delivery.reply("Shelf 42.", idempotency_key="key.answer")

    answering = asyncio.create_task(answer())
    first = await ada.ask(TO_BOB, "Where is Dune?", idempotency_key="key.1")
    await answering
    with spans.tracer.start_as_current_span("later"):
        second = await ada.ask(TO_BOB, "Where is Dune?", idempotency_key="key.1")
    assert [each.message_id for each in first] == [each.message_id for each in second]


@pytest.mark.parametrize("is_traced", [True, False])
async def test_publishing_again_in_another_trace_or_in_none_keeps_its_number(
    spans: Spans, pool: AgentPool, ada: MemberHandle, is_traced: bool
) -> None:
    first = await ada.publish("build.done", {"size": 3}, idempotency_key="key.1")
    if not is_traced:
        uninstrument()
    assert await ada.publish("build.done", {"size": 3}, idempotency_key="key.1") == first
    with pytest.raises(IdempotencyConflictError):
        await ada.publish("build.done", {"size": 4}, idempotency_key="key.1")
    published = await event_named(pool, "build.done")
    assert entries(published) == {"traceparent": traceparent(spans.all("publish")[0])}


# --- working again


async def test_work_that_is_done_again_begins_a_trace_linked_to_the_sender(
    spans: Spans, ada: MemberHandle, bob: MemberHandle
) -> None:
    await ada.send(TO_BOB, "hello")
    with pytest.raises(ZeroDivisionError):
        async with await bob.inbox.take():
            raise ZeroDivisionError
    async with asyncio.timeout(BOUND):
        async with await bob.inbox.take() as delivery:
            await delivery.reply("at last")
    send, answering = spans.all("send")
    first, second = spans.all("process")
    assert parent_id(first) == ids(send)[1]
    assert second.parent is None
    assert ids(second)[0] != ids(first)[0]
    assert links(second) == [ids(send)]
    assert (second.attributes or {})["agentpool.attempt"] == 2
    assert parent_id(answering) == ids(second)[1]


async def test_the_message_of_a_consumer_that_was_killed_comes_again_with_its_trace(
    spans: Spans, tmp_path: Path
) -> None:
    path = tmp_path / "pool.db"
    async with open_pool(path, POOL) as pool, pool.member(a_member("run.ada")) as ada:
        await pool.queue("work")
        await ada.send(RunAddress.run("queue.work"), "hello")
        async with worker(str(CONSUMER), path) as consumer:
            taken = await consumer.line()
            consumer.kill()
            await consumer.ended()
        sent = traceparent(spans.one("send"))
        trace_id, parent, _ = taken.split()
        assert (trace_id, parent) == tuple(sent.split("-")[1:3])  # the first attempt was its child
        async with asyncio.timeout(BOUND), await ada.queue("work").take() as delivery:
            assert delivery.attempt == 2
            assert entries(delivery.message) == {"traceparent": sent}
    process = spans.one("process")
    assert process.parent is None
    assert links(process) == [ids(spans.one("send"))]
    assert f"{ids(process)[0]:032x}" != trace_id
