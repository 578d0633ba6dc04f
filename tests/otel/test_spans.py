"""Each operation is a span, by the conventions of messaging, and messages carry their trace."""

from agentpool import MemberHandle, RunAddress

from .helpers import POOL, Spans, entries, ids, parent_id, traceparent

TO_BOB = RunAddress.run("run.bob")


async def test_the_work_on_a_message_goes_on_with_the_trace_of_its_sender(
    spans: Spans, ada: MemberHandle, bob: MemberHandle
) -> None:
    await ada.send(TO_BOB, "hello")
    async with await bob.inbox.take() as delivery:
        assert entries(delivery.message) == {"traceparent": traceparent(spans.one("send"))}
    send, process = spans.one("send"), spans.one("process")
    assert parent_id(send) is None
    assert process.parent is not None
    assert (process.parent.trace_id, process.parent.span_id) == ids(send)
    assert process.parent.is_remote
    assert process.name == f"process {POOL}"
