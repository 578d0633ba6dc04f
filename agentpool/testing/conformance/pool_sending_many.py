"""Sending several messages at once: all of them are recorded, or none."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from agentpool.errors import (
    ContentNotFoundError,
    IdempotencyConflictError,
    InvalidValueError,
    NotAMemberError,
)
from agentpool.member import MemberHandle
from agentpool.pool import AgentPool
from agentpool.runtime.drafts import Draft
from agentpool.testing.cancellation import Moment, cancel_at
from agentpool.testing.conformance.kit import payloads, refusal
from agentpool.testing.conformance.pool_kit import (
    ManualClock,
    PoolKit,
    acked,
    carry_out_due,
    message_log,
    peeked,
)
from agentpool.testing.values import a_member
from agentpool.wire.content import content_ref
from agentpool.wire.records import MessageReceipt, MessageStatus, RunAddress

__all__ = ("PoolSendingManyTests",)

TO_B, TO_C = RunAddress.run("run.b"), RunAddress.run("run.c")
ACCEPTED, DELIVERED = MessageStatus.ACCEPTED, MessageStatus.DELIVERED
FAILED: Final = MessageStatus.FAILED
MANY: Final = 300


class PoolSendingManyTests(PoolKit):
    """``me.send_many``."""

    async def test_each_has_its_receipt_and_its_body_in_order(self) -> None:
        async with self._three() as (pool, me):
            receipts = await me.send_many(
                [
                    Draft(TO_B, "first", message_id="m.1"),
                    Draft(RunAddress.pool(pool.pool_id), {"n": 2}, message_id="m.2"),
                    Draft(TO_C, content_ref="content.3", message_id="m.3", expires_in=0),
                    Draft(RunAddress.run("run.x"), "to nobody", message_id="m.4"),
                ]
            )
            assert receipts == (
                MessageReceipt("m.1", DELIVERED, ("run.b",)),
                MessageReceipt("m.2", DELIVERED, ("run.b", "run.c")),
                MessageReceipt("m.3", MessageStatus.EXPIRED),
                MessageReceipt("m.4", FAILED),
            )
            sent = await pool.inbox("run.b").peek()
            assert [await me.body(each).bytes() for each in sent] == [b"first", b'{"n":2}']
            assert await peeked(pool.inbox("run.c")) == ["m.2"]

    async def test_pairs_will_do(self) -> None:
        async with self._three() as (pool, me):
            await me.send_many([(TO_B, f"number {number}") for number in range(MANY)])
            assert await me.send_many([]) == ()
            sent = await pool.inbox("run.b").peek(MANY + 1)
            assert [await me.read(each) for each in sent] == [
                f"number {number}" for number in range(MANY)
            ]

    async def test_what_is_refused_sends_nothing(self) -> None:
        async with self._three() as (pool, me):
            await me.send(TO_B, "known", idempotency_key="known")
            before = await payloads(pool.store)
            fine = Draft(TO_B, "fine")
            for error, wrong in (
                (IdempotencyConflictError, Draft(TO_B, "another", idempotency_key="known")),
                (InvalidValueError, Draft(TO_B, "no key", idempotency_key="")),
                (InvalidValueError, Draft(TO_B)),
                (InvalidValueError, (TO_B, "one", "too many")),
                (InvalidValueError, "TO_B"),
            ):
                messages: list[Any] = [fine, wrong, fine]
                await refusal(error, me.send_many(messages))
            stranger = pool.acting_as(a_member("run.stranger"))
            await refusal(NotAMemberError, stranger.send_many([fine]))
            await refusal(InvalidValueError, me.send_many(fine))  # type: ignore[arg-type]
            assert await payloads(pool.store) == before
            await refusal(ContentNotFoundError, pool.store.get_content(content_ref(b"fine")))

    async def test_one_key_twice_is_one_message(self) -> None:
        async with self._three() as (pool, me):
            same = [Draft(TO_B, "same", idempotency_key="key") for _ in range(3)]
            first, *others = await me.send_many(same)
            assert others == [first, first]
            assert await message_log(pool) == [ACCEPTED, DELIVERED]
            await refusal(
                IdempotencyConflictError,
                me.send_many(
                    [
                        Draft(TO_B, "one", idempotency_key="other"),
                        Draft(TO_B, "two", idempotency_key="other"),
                    ]
                ),
            )
            assert await me.send_many(same) == (first, first, first)
            assert await message_log(pool) == [ACCEPTED, DELIVERED]

    async def test_a_question_and_its_answer_may_be_among_them(self) -> None:
        async with self._three() as (pool, me):
            await pool.acting_as(a_member("run.b")).send(
                RunAddress.run("run.a"), "question", message_id="question"
            )
            await me.send_many([Draft(TO_B, "answer", reply_to="question"), Draft(TO_C, "also")])
            [answer] = await pool.inbox("run.b").peek()
            assert answer.reply_to == "question"

    async def test_what_is_deferred_among_them_comes_later(self) -> None:
        clock = ManualClock()
        async with self._three(clock) as (pool, me):
            delays = (0.0, 2.0, 1.0, 0.0)
            await me.send_many(
                [
                    Draft(TO_B, "x", message_id=f"m.{delay}.{number}", deliver_in=delay)
                    for number, delay in enumerate(delays)
                ]
            )
            inbox = pool.inbox("run.b")
            assert await acked(inbox, 2) == ["m.0.0.0", "m.0.0.3"]
            assert await peeked(inbox) == []
            clock.advance(1000)
            assert await acked(inbox, 1) == ["m.1.0.2"]
            clock.advance(1000)
            assert await acked(inbox, 1) == ["m.2.0.1"]
            await carry_out_due(pool)
            assert await peeked(inbox) == []

    async def test_cancelled_all_are_sent_or_none(self) -> None:
        for moment in Moment:
            async with self._three() as (pool, me):
                for suspension in itertools.count():
                    drafts = [
                        Draft(TO_B, f"{suspension}", idempotency_key=f"{suspension}.{number}")
                        for number in range(3)
                    ]
                    before = len(await message_log(pool))
                    reached = await cancel_at(
                        suspension,
                        lambda: me.send_many(drafts),  # noqa: B023  # run here
                        moment=moment,
                    )
                    assert len(await message_log(pool)) - before in {0, 6}
                    await me.send_many(drafts)
                    assert len(await message_log(pool)) - before == 6
                    if not reached:
                        break

    @asynccontextmanager
    async def _three(
        self, clock: ManualClock | None = None
    ) -> AsyncIterator[tuple[AgentPool, MemberHandle]]:
        async with self.opened("run.a", "run.b", "run.c", clock=clock) as pool:
            yield pool, pool.acting_as(a_member("run.a"))
