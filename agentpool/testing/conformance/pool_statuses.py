"""What becomes of a message after it was sent, as somebody records it."""

import itertools
from typing import Final

from agentpool.errors import (
    IdempotencyConflictError,
    InvalidTransitionError,
    InvalidValueError,
    NotAMemberError,
)
from agentpool.testing.conformance.kit import POOL, payloads, refusal
from agentpool.testing.conformance.pool_kit import PoolKit, message_log, peeked
from agentpool.testing.values import a_message, a_receipt
from agentpool.wire.records import MessageReceipt, MessageStatus

__all__ = ("PoolStatusTests",)

ACCEPTED, DELIVERED = MessageStatus.ACCEPTED, MessageStatus.DELIVERED
FINAL: Final = tuple(each for each in MessageStatus if each not in {ACCEPTED, DELIVERED})


class PoolStatusTests(PoolKit):
    """``record_message_status``."""

    async def test_a_message_can_be_recorded_with_any_first_status(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            for status in MessageStatus:
                message = a_message(f"message.{status}")
                receipt = await pool.record_message_status(message, status, ["run.b"])
                assert receipt == MessageReceipt(message.message_id, status, ("run.b",))
                known = await pool.store.message_receipt(POOL, message.idempotency_key)
                assert known == receipt

    async def test_a_delivered_message_goes_on_to_each_final_status_and_no_further(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            for status in FINAL:
                message = a_message(f"message.{status}")
                await pool.send(message)
                receipt = await pool.record_message_status(message, status)
                assert receipt == MessageReceipt(message.message_id, status, ("run.b",))
                before = await payloads(pool.store)
                for other in set(MessageStatus) - {status}:
                    going_on = pool.record_message_status(message, other)
                    await refusal(InvalidTransitionError, going_on)
                assert await payloads(pool.store) == before
                assert await pool.send(message) == receipt

    async def test_an_accepted_message_goes_on_to_delivered_and_into_the_inbox(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await pool.record_message_status(a_message(), ACCEPTED)
            assert await peeked(pool.inbox("run.b")) == []
            receipt = await pool.record_message_status(a_message(), DELIVERED, ["run.b"])
            assert receipt.delivered_to == ("run.b",)
            assert await peeked(pool.inbox("run.b")) == ["message.1"]
            await refusal(InvalidTransitionError, pool.record_message_status(a_message(), ACCEPTED))

    async def test_what_a_store_records_together_comes_into_the_inboxes_in_its_order(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            messages = [a_message(f"message.{n}") for n in (2, 1)]
            pairs = [
                (message, a_receipt(message, status, delivered_to=["run.b"]))
                for status in (ACCEPTED, DELIVERED)
                for message in messages
            ]
            await pool.store.record_messages(POOL, pairs)
            assert await peeked(pool.inbox("run.b")) == ["message.2", "message.1"]

    async def test_the_same_status_again_appends_nothing(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            for status in MessageStatus:
                message = a_message(f"message.{status}")
                first = await pool.record_message_status(message, status, ["run.b"])
                before = await payloads(pool.store)
                assert await pool.record_message_status(message, status) == first
                assert await payloads(pool.store) == before

    async def test_a_status_needs_the_sender_as_a_member_once(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            stranger = a_message("stranger", sender="run.x")
            await refusal(NotAMemberError, pool.record_message_status(stranger, ACCEPTED))
            assert await message_log(pool, "stranger") == []
            await pool.send(a_message())
            await pool.leave_run("run.a")
            receipt = await pool.record_message_status(a_message(), MessageStatus.CANCELLED)
            assert receipt.status is MessageStatus.CANCELLED

    async def test_a_status_for_another_content_under_the_key_is_refused(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await pool.send(a_message())
            other = a_message(content_ref="content.2")
            recording = pool.record_message_status(other, MessageStatus.CANCELLED)
            await refusal(IdempotencyConflictError, recording)

    async def test_a_withdrawn_message_is_handed_out_no_more(self) -> None:
        withdrawn = (MessageStatus.CANCELLED, MessageStatus.EXPIRED, MessageStatus.FAILED)
        async with self.opened("run.a", "run.b") as pool:
            for status in withdrawn:
                await pool.send(a_message(f"{status}"))
            await pool.send(a_message("stays"))
            for status in withdrawn:
                await pool.record_message_status(a_message(f"{status}"), status)
            assert await peeked(pool.inbox("run.b")) == ["stays"]
            delivery = await pool.inbox("run.b").take()
            assert delivery.message.message_id == "stays"

    async def test_an_answered_or_timed_out_message_can_still_be_read(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            for status in (MessageStatus.RESPONDED, MessageStatus.TIMED_OUT):
                await pool.send(a_message(f"{status}"))
                await pool.record_message_status(a_message(f"{status}"), status)
            assert await peeked(pool.inbox("run.b")) == ["responded", "timed_out"]

    async def test_no_sequence_of_statuses_leaves_a_final_one(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            for number, pair in enumerate(itertools.permutations(FINAL, 2)):
                message = a_message(f"message.{number}")
                first, second = pair
                await pool.record_message_status(message, first)
                going_on = pool.record_message_status(message, second)
                await refusal(InvalidTransitionError, going_on)
                assert await message_log(pool, message.message_id) == [first]

    async def test_what_is_no_status_is_refused(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            before = await payloads(pool.store)
            nonsense = pool.record_message_status(a_message(), "read")  # type: ignore[arg-type]
            await refusal(InvalidValueError, nonsense)
            to_nobody = pool.record_message_status(a_message(), DELIVERED, [""])
            await refusal(InvalidValueError, to_nobody)
            assert await payloads(pool.store) == before
