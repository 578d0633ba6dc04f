"""Recording several messages in one transaction: all of them, in their order, or none."""

import asyncio
from typing import Any

from agentpool.errors import (
    AgentPoolError,
    IdempotencyConflictError,
    InvalidTransitionError,
    InvalidValueError,
)
from agentpool.testing.conformance.kit import POOL, StoreKit, payloads, record, refusal
from agentpool.testing.values import a_message, a_receipt
from agentpool.wire.records import (
    AgentPoolStoredMessage,
    MessageReceipt,
    MessageStatus,
    RunMessage,
    RunMessageRecorded,
)

__all__ = ("MessagesTogetherTests",)

ACCEPTED, DELIVERED = MessageStatus.ACCEPTED, MessageStatus.DELIVERED
FAILED = MessageStatus.FAILED


class MessagesTogetherTests(StoreKit):
    """``record_messages``."""

    async def test_messages_are_recorded_in_their_order_at_their_places(self) -> None:
        pairs = [_with(f"message.{n}", ACCEPTED) for n in (3, 1, 2)]
        async with self.opened() as store:
            cursors = await store.record_messages(POOL, pairs)
            assert [cursor.sequence for cursor in cursors] == [2, 3, 4]
            assert (await payloads(store))[1:] == [_recorded(pair) for pair in pairs]

    async def test_one_message_may_come_with_status_after_status(self) -> None:
        first, other = a_message("message.1"), _with("message.2", ACCEPTED)
        pairs = [
            (first, a_receipt(first, ACCEPTED)),
            other,
            (first, a_receipt(first, DELIVERED, delivered_to=["run.b"])),
            (first, a_receipt(first, MessageStatus.RESPONDED, delivered_to=["run.b"])),
        ]
        async with self.opened() as store:
            cursors = await store.record_messages(POOL, pairs)
            assert [cursor.sequence for cursor in cursors] == [2, 3, 4, 5]
            receipt = await store.message_receipt(POOL, first.idempotency_key)
            assert receipt == pairs[-1][1]

    async def test_what_is_there_already_keeps_its_place(self) -> None:
        known, new = a_message("message.1"), _with("message.2", DELIVERED)
        retry = a_message("message.3", idempotency_key=known.idempotency_key)
        pairs = [new, (known, a_receipt(known)), (retry, a_receipt(retry, FAILED)), new]
        async with self.opened() as store:
            await record(store, known)
            cursors = await store.record_messages(POOL, pairs)
            assert [cursor.sequence for cursor in cursors] == [3, 2, 2, 3]
            assert await store.record_messages(POOL, pairs) == cursors
            assert len(await payloads(store)) == 3

    async def test_none_are_recorded_where_one_is_refused(self) -> None:
        done, new = a_message("message.1"), _with("message.2", ACCEPTED)
        over = _with("message.3", FAILED)
        cases: list[tuple[type[AgentPoolError], list[Any]]] = [
            (InvalidTransitionError, [new, (done, a_receipt(done, DELIVERED))]),
            (InvalidTransitionError, [new, over, _with("message.3", DELIVERED)]),
            (IdempotencyConflictError, [new, _with("message.1", FAILED, content_ref="content.2")]),
            (IdempotencyConflictError, [new, over, _with("message.3", FAILED, sender="run.c")]),
            (InvalidValueError, [new, (done, new[1])]),
            (InvalidValueError, [new, (done,)]),
            (InvalidValueError, [new, done]),
            (InvalidValueError, [new, (done, "delivered")]),
        ]
        async with self.opened() as store:
            await record(store, done, FAILED)
            for error, pairs in cases:
                await refusal(error, store.record_messages(POOL, pairs))
                assert len(await payloads(store)) == 2
                assert await store.message_receipt(POOL, new[0].idempotency_key) is None

    async def test_an_error_names_no_record_that_is_not_there(self) -> None:
        async with self.opened() as store:
            pairs = [_with("message.1", FAILED), _with("message.1", DELIVERED)]
            call = store.record_messages(POOL, pairs)
            error = await refusal(InvalidTransitionError, call)
            assert (error.pool_id, error.seq) == (POOL, None)

    async def test_none_at_all_record_nothing(self) -> None:
        async with self.opened() as store:
            assert await store.record_messages(POOL, []) == []
            assert len(await payloads(store)) == 1

    async def test_the_messages_of_one_call_stand_together(self) -> None:
        async with self.opened() as store:
            batches = [[_with(f"{task}.{n}", ACCEPTED) for n in range(5)] for task in range(4)]
            every = await asyncio.gather(*(store.record_messages(POOL, each) for each in batches))
            for cursors in every:
                first = cursors[0].sequence
                assert [cursor.sequence for cursor in cursors] == [*range(first, first + 5)]
            assert len(await payloads(store)) == 21


def _with(
    message_id: str, status: MessageStatus, **fields: Any
) -> tuple[RunMessage, MessageReceipt]:
    message = a_message(message_id, **fields)
    return message, a_receipt(message, status)


def _recorded(pair: tuple[RunMessage, MessageReceipt]) -> RunMessageRecorded:
    return RunMessageRecorded(AgentPoolStoredMessage(*pair))
