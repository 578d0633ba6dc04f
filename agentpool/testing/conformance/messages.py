"""Recording messages: one idempotency key, one message, statuses that only go forward."""

from agentpool.errors import (
    IdempotencyConflictError,
    InvalidTransitionError,
    InvalidValueError,
    RetryClassification,
)
from agentpool.testing.conformance.kit import POOL, StoreKit, payloads, record, refusal
from agentpool.testing.values import a_message, a_receipt
from agentpool.wire.records import (
    AgentPoolStoreCursor,
    AgentPoolStoredMessage,
    MessageResponseContract,
    MessageStatus,
    RunAddress,
    RunMessageRecorded,
)
from agentpool.wire.refs import CorrelationEntry, EventCorrelation, PolicyRef

__all__ = ("MessageTests",)

ACCEPTED, DELIVERED = MessageStatus.ACCEPTED, MessageStatus.DELIVERED
FINAL = tuple(status for status in MessageStatus if status not in {ACCEPTED, DELIVERED})


class MessageTests(StoreKit):
    """``record_message`` and ``message_receipt``."""

    async def test_a_message_is_recorded_whole(self) -> None:
        message = a_message(
            correlation=EventCorrelation((CorrelationEntry("key", "value"),)),
            reply_to="message.0",
            response_contract=MessageResponseContract(2, timeout_millis=2**64 - 1),
            expires_at_millis=2**64 - 1,
            policy_refs=[PolicyRef(id="policy.1")],
        )
        receipt = a_receipt(message, DELIVERED, delivered_to=["run.b"], journal_cursor="journal.1")
        async with self.opened() as store:
            assert await store.record_message(POOL, message, receipt) == AgentPoolStoreCursor(2)
            stored = AgentPoolStoredMessage(message, receipt)
            assert (await payloads(store))[1:] == [RunMessageRecorded(stored)]
            assert (await store.snapshot(POOL)).messages == (stored,)
            assert await store.message_receipt(POOL, message.idempotency_key) == receipt

    async def test_there_is_no_receipt_for_an_unknown_key(self) -> None:
        async with self.opened() as store:
            assert await store.message_receipt(POOL, "key.message.1") is None
            await record(store, a_message("message.1"))
            assert await store.message_receipt(POOL, "key.message.2") is None
            assert await store.message_receipt(POOL, "message.1") is None

    async def test_the_receipt_is_the_latest_one(self) -> None:
        message = a_message()
        async with self.opened() as store:
            for status in (ACCEPTED, DELIVERED, MessageStatus.RESPONDED):
                await record(store, message, status)
                receipt = await store.message_receipt(POOL, message.idempotency_key)
                assert receipt == a_receipt(message, status)
            assert len(await payloads(store)) == 4
            [stored] = (await store.snapshot(POOL)).messages
            assert stored.receipt.status is MessageStatus.RESPONDED

    async def test_the_same_again_appends_nothing_and_gives_its_place(self) -> None:
        async with self.opened() as store:
            for status in (ACCEPTED, DELIVERED, MessageStatus.FAILED):
                first = await record(store, a_message(), status, delivered_to=["run.b"])
                await record(store, a_message(f"message.{status}"))
                again = await record(store, a_message(), status, delivered_to=["run.b"])
                assert again == first
            assert len(await payloads(store)) == 7

    async def test_a_message_may_start_with_any_status(self) -> None:
        async with self.opened() as store:
            for status in MessageStatus:
                message = a_message(f"message.{status}")
                await record(store, message, status)
                receipt = await store.message_receipt(POOL, message.idempotency_key)
                assert receipt == a_receipt(message, status)

    async def test_a_message_goes_forward_only(self) -> None:
        may_follow = {ACCEPTED: {DELIVERED, *FINAL}, DELIVERED: set(FINAL)}
        async with self.opened() as store:
            for start in MessageStatus:
                for end in set(MessageStatus) - {start}:
                    message = a_message(f"message.{start}.{end}")
                    at_start = await record(store, message, start)
                    if end in may_follow.get(start, ()):
                        at_end = await record(store, message, end)
                        assert at_end.sequence == at_start.sequence + 1
                        continue
                    error = await refusal(InvalidTransitionError, record(store, message, end))
                    assert (error.pool_id, error.seq) == (POOL, at_start.sequence)
                    assert error.retry is RetryClassification.NOT_RETRYABLE
                    receipt = await store.message_receipt(POOL, message.idempotency_key)
                    assert receipt == a_receipt(message, start)

    async def test_the_same_status_with_another_receipt_is_refused(self) -> None:
        async with self.opened() as store:
            await record(store, a_message(), DELIVERED, delivered_to=["run.b"])
            call = record(store, a_message(), DELIVERED, delivered_to=["run.c"])
            await refusal(InvalidTransitionError, call)
            assert len(await payloads(store)) == 2

    async def test_a_retry_with_a_new_message_id_gets_the_place_of_the_first(self) -> None:
        async with self.opened() as store:
            first = await record(store, a_message("message.1", idempotency_key="key"))
            retry = a_message("message.2", idempotency_key="key")
            assert await record(store, retry) == first
            assert await record(store, retry, DELIVERED) == first
            receipt = await store.message_receipt(POOL, "key")
            assert receipt == a_receipt(a_message("message.1"))
            assert len(await payloads(store)) == 2

    async def test_a_retry_gets_the_place_of_the_latest_status(self) -> None:
        async with self.opened() as store:
            await record(store, a_message("message.1", idempotency_key="key"))
            latest = await record(store, a_message("message.1", idempotency_key="key"), DELIVERED)
            assert await record(store, a_message("message.2", idempotency_key="key")) == latest

    async def test_a_retry_may_differ_in_what_is_not_sender_target_or_content(self) -> None:
        message = a_message()
        async with self.opened() as store:
            first = await record(store, message)
            retry = a_message(expires_at_millis=1, policy_refs=[PolicyRef(id="policy.1")])
            assert await record(store, retry) == first
            [stored] = (await store.snapshot(POOL)).messages
            assert stored.message == message

    async def test_the_same_key_for_something_else_is_a_conflict(self) -> None:
        others = {
            "sender": a_message(sender="run.c"),
            "target": a_message(to=RunAddress.run("run.c")),
            "kind of target": a_message(to=RunAddress.agent("run.b")),
            "content": a_message(content_ref="content.2"),
            "all": a_message("message.2", content_ref="c", idempotency_key="key.message.1"),
        }
        async with self.opened() as store:
            first = await record(store, a_message())
            for what, other in others.items():
                for status in (ACCEPTED, DELIVERED):
                    call = record(store, other, status)
                    error = await refusal(IdempotencyConflictError, call)
                    assert (error.pool_id, error.seq) == (POOL, first.sequence), what
                    assert error.retry is RetryClassification.NOT_RETRYABLE
            assert len(await payloads(store)) == 2
            receipt = await store.message_receipt(POOL, "key.message.1")
            assert receipt == a_receipt(a_message())

    async def test_a_receipt_for_another_message_is_refused(self) -> None:
        async with self.opened() as store:
            receipt = a_receipt(a_message("message.2"))
            call = store.record_message(POOL, a_message("message.1"), receipt)
            await refusal(InvalidValueError, call)
            assert len(await payloads(store)) == 1

    async def test_messages_are_listed_in_the_order_of_the_bytes_of_their_ids(self) -> None:
        ascending = ["m.10", "m.9", "m.B", "m.a", "m.é", "m.\uffff", "m.\U00010000"]
        async with self.opened() as store:
            for message_id in reversed(ascending):
                await record(store, a_message(message_id))
            messages = (await store.snapshot(POOL)).messages
            assert [stored.message.message_id for stored in messages] == ascending
