"""How an ask ends: as soon as it is certain, once, and saying why and who has not answered."""

import asyncio
from contextlib import aclosing, suppress
from functools import partial
from itertools import product
from typing import Final

from msgspec.structs import replace

from agentpool.errors import (
    AskOutcome,
    IdempotencyConflictError,
    InvalidValueError,
    NoAnswerError,
    RetryClassification,
)
from agentpool.pool import AgentPool
from agentpool.rules.asking import Answers
from agentpool.support.clock import wall_clock
from agentpool.testing.cancellation import Moment, cancel_at
from agentpool.testing.conformance.kit import PATIENCE, POOL, refusal
from agentpool.testing.conformance.pool_asking import TIMEOUT, a_question, asked
from agentpool.testing.conformance.pool_kit import (
    ManualClock,
    PoolKit,
    a_reply,
    carry_out_due,
    message_log,
    nothing_comes,
    peeked,
    recorded_message,
)
from agentpool.testing.values import a_member
from agentpool.wire.records import MessageStatus, RunAddress

__all__ = ("PoolOutcomeTests",)

ACCEPTED, DELIVERED = MessageStatus.ACCEPTED, MessageStatus.DELIVERED
RESPONDED, FAILED = MessageStatus.RESPONDED, MessageStatus.FAILED
OTHERS: Final = ("run.b", "run.c", "run.d")
TO_ALL: Final = RunAddress.pool(POOL)
MANY, LEAVING = 50, 5


def summary(answers: Answers) -> tuple[AskOutcome, list[str], tuple[str, ...]]:
    """Say how an ask ended, who answered and who did not."""
    return answers.outcome, [each.sender for each in answers], answers.missing


class PoolOutcomeTests(PoolKit):
    """The outcome of ``ask``, and what is recorded of it."""

    async def test_what_was_sent_is_not_asked_under_its_key(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            me, to = pool.acting_as(a_member("run.a")), RunAddress.run("run.b")
            await me.send(to, "well?", idempotency_key="key")
            asking = me.ask(to, "well?", idempotency_key="key", timeout=0.1)
            await refusal(IdempotencyConflictError, asking)

    async def test_enough_answers_are_complete(self) -> None:
        async with self.opened("run.a", *OTHERS) as pool:
            question = a_question(expected=2)
            asking = await asked(pool, question)
            for run_id in ("run.d", "run.b"):
                await pool.send(a_reply(question, run_id))
            expected = (AskOutcome.COMPLETE, ["run.d", "run.b"], ("run.c",))
            assert summary(await asking) == expected

    async def test_too_few_in_time_are_said_to_be(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", *OTHERS, clock=clock) as pool:
            question = a_question(expected=2)
            asking = await asked(pool, question)
            await pool.send(a_reply(question, "run.c"))
            clock.advance(TIMEOUT)
            await carry_out_due(pool)
            expected = (AskOutcome.TIMED_OUT, ["run.c"], ("run.b", "run.d"))
            assert summary(await asking) == expected

    async def test_nobody_there_is_said_at_once(self) -> None:
        async with self.opened("run.a") as pool:
            assert summary(await pool.ask(a_question())) == (AskOutcome.NOBODY, [], ())

    async def test_it_ends_when_all_have_answered_or_left(self) -> None:
        async with self.opened("run.a", *OTHERS) as pool:
            question = a_question(expected=3)
            asking = await asked(pool, question)
            await pool.send(a_reply(question, "run.c"))
            await pool.leave_run("run.b")
            await nothing_comes(asyncio.shield(asking), pool)
            await pool.send(a_reply(question, "run.d"))
            expected = (AskOutcome.INCOMPLETE, ["run.c", "run.d"], ("run.b",))
            assert summary(await asking) == expected
            assert await message_log(pool, "question") == [ACCEPTED, DELIVERED, FAILED]

    async def test_it_ends_when_the_last_has_left(self) -> None:
        async with self.opened("run.a", *OTHERS) as pool:
            question = a_question(expected=2)
            asking = await asked(pool, question)
            await pool.send(a_reply(question, "run.b"))
            await pool.leave_run("run.d")
            await pool.leave_run("run.c")
            expected = (AskOutcome.INCOMPLETE, ["run.b"], ("run.c", "run.d"))
            assert summary(await asking) == expected

    async def test_who_answered_and_left_has_answered(self) -> None:
        async with self.opened("run.a", *OTHERS) as pool:
            question = a_question(expected=3)
            asking = await asked(pool, question)
            for run_id in OTHERS:
                await pool.send(a_reply(question, run_id))
                await pool.leave_run(run_id)
            assert summary(await asking) == (AskOutcome.COMPLETE, [*OTHERS], ())

    async def test_who_joined_again_is_waited_for(self) -> None:
        async with self.opened("run.a", "run.b", "run.c") as pool:
            question = a_question(expected=2)
            asking = await asked(pool, question)
            for _ in range(2):
                await pool.leave_run("run.b")
                await pool.join_run(a_member("run.b"))
            await pool.send(a_reply(question, "run.c"))
            await nothing_comes(asyncio.shield(asking), pool)
            await pool.send(a_reply(question, "run.b"))
            assert (await asking).outcome is AskOutcome.COMPLETE

    async def test_a_leaving_ends_every_question_that_waits_for_the_run(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            questions = [
                replace(a_question(), message_id=f"question.{n}", idempotency_key=f"key.{n}")
                for n in range(3)
            ]
            asking = [asyncio.ensure_future(pool.ask(each)) for each in questions]
            for each in questions:
                await recorded_message(pool, each.message_id)
            await pool.leave_run("run.b")
            for answers in await asyncio.gather(*asking):
                assert summary(answers) == (AskOutcome.INCOMPLETE, [], ("run.b",))

    async def test_more_than_receive_it_is_incomplete_at_once_and_bothers_nobody(self) -> None:
        async with self.opened("run.a", "run.b", "run.c") as pool:
            answers = await pool.ask(a_question(expected=3))
            assert summary(answers) == (AskOutcome.INCOMPLETE, [], ("run.b", "run.c"))
            assert await message_log(pool, "question") == [ACCEPTED, DELIVERED, FAILED]
            for run_id in ("run.b", "run.c"):
                assert await pool.inbox(run_id).take(timeout=0) is None

    async def test_a_sent_question_too_fails_when_too_few_can_answer(self) -> None:
        async with self.opened("run.a", "run.b", "run.c") as pool:
            question = a_question(expected=3, timeout_millis=None)
            await pool.send(question)
            for run_id in ("run.b", "run.c"):
                assert await message_log(pool, "question") == [ACCEPTED, DELIVERED]
                await pool.send(a_reply(question, run_id))
            assert await message_log(pool, "question") == [ACCEPTED, DELIVERED, FAILED]

    async def test_what_has_ended_stays_as_it_ended(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", "run.c", clock=clock) as pool:
            question = a_question(expected=2)
            await pool.send(question)
            await pool.leave_run("run.b")
            await pool.leave_run("run.c")
            await pool.join_run(a_member("run.b"))
            await pool.send(a_reply(question, "run.b"))
            clock.advance(TIMEOUT)
            await carry_out_due(pool)
            assert await message_log(pool, "question") == [ACCEPTED, DELIVERED, FAILED]

    async def test_all_are_as_many_as_receive_it(self) -> None:
        async with self.opened("run.a", *OTHERS) as pool:
            me = pool.acting_as(a_member("run.a"))
            asking = asyncio.ensure_future(
                me.ask(TO_ALL, "content.1", expected="all", message_id="question")
            )
            await recorded_message(pool, "question")
            for run_id in OTHERS:
                assert not asking.done()
                [question] = await pool.inbox(run_id).peek()
                await pool.send(a_reply(question, run_id))
            assert summary(await asking) == (AskOutcome.COMPLETE, [*OTHERS], ())
            assert question.response_contract is not None
            assert question.response_contract.expected_responses == len(OTHERS)
            alone = await me.ask(RunAddress.topic("none"), "content.1", expected="all")
            assert summary(alone) == (AskOutcome.NOBODY, [], ())

    async def test_of_many_some_leave(self) -> None:
        runs = [f"run.{number:02}" for number in range(MANY)]
        async with self.opened("run.a", *runs) as pool:
            me = pool.acting_as(a_member("run.a"))
            asking = asyncio.ensure_future(
                me.ask(TO_ALL, "content.1", expected="all", message_id="question")
            )
            await recorded_message(pool, "question")
            [question] = await pool.inbox("run.00").peek()
            assert not asking.done()
            await asyncio.gather(
                *(pool.leave_run(run_id) for run_id in runs[:LEAVING]),
                *(pool.send(a_reply(question, run_id)) for run_id in runs[LEAVING:]),
            )
            answers = await asking
            assert answers.outcome is AskOutcome.INCOMPLETE
            assert {each.sender for each in answers} == {*runs[LEAVING:]}
            assert answers.missing == tuple(runs[:LEAVING])

    async def test_a_question_is_handed_out_no_more_when_its_time_is_up(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", "run.c", clock=clock) as pool:
            me = pool.acting_as(a_member("run.a"))
            asking = asyncio.ensure_future(
                me.ask(TO_ALL, "content.1", expected=2, timeout=1, message_id="question")
            )
            await recorded_message(pool, "question")
            held = await pool.inbox("run.b").take()
            assert held.message.expires_at_millis == clock.millis + 1000
            clock.advance(1000)
            assert await pool.inbox("run.c").take(timeout=0) is None
            assert (await asking).outcome is AskOutcome.TIMED_OUT
            assert await peeked(pool.inbox("run.c")) == []
            expected = [ACCEPTED, DELIVERED, MessageStatus.TIMED_OUT]
            assert await message_log(pool, "question") == expected

    async def test_one_answer_or_an_error_that_says_why_not(self) -> None:
        async with self.opened("run.a", "run.b", clock=wall_clock) as pool:
            me = pool.acting_as(a_member("run.a"))
            asking = asyncio.ensure_future(
                me.ask_one(TO_ALL, "content.1", timeout=PATIENCE, message_id="question")
            )
            await recorded_message(pool, "question")
            [question] = await pool.inbox("run.b").peek()
            await pool.send(a_reply(question, "run.b"))
            assert (await asking).sender == "run.b"
            to_b, to_nobody = RunAddress.run("run.b"), RunAddress.run("run.x")
            error = await refusal(NoAnswerError, me.ask_one(to_nobody, "content.1"))
            assert (error.outcome, error.pool_id) == (AskOutcome.NOBODY, POOL)
            assert error.retry is RetryClassification.RETRYABLE
            error = await refusal(NoAnswerError, me.ask_one(to_b, "content.1", timeout=0.01))
            assert error.outcome is AskOutcome.TIMED_OUT
            assert "run.b" in str(error)
            asking = asyncio.ensure_future(me.ask_one(to_b, "content.1", message_id="left"))
            await recorded_message(pool, "left")
            await pool.leave_run("run.b")
            error = await refusal(NoAnswerError, asking)
            assert error.outcome is AskOutcome.INCOMPLETE
            assert "run.b" in str(error)

    async def test_a_cancelled_question_that_nobody_can_repeat_is_withdrawn(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            me = pool.acting_as(a_member("run.a"))
            asking = asyncio.ensure_future(me.ask(TO_ALL, "content.1"))
            await _received(pool, "run.b")
            asking.cancel()
            with suppress(asyncio.CancelledError):
                await asking
            assert await peeked(pool.inbox("run.b")) == []
            assert await message_log(pool) == [ACCEPTED, DELIVERED, MessageStatus.CANCELLED]

    async def test_wherever_an_ask_is_cancelled_no_question_is_left_open(self) -> None:
        for moment in Moment:
            async with self.opened("run.a", "run.b") as pool:
                me = pool.acting_as(a_member("run.a"))

                async def ask() -> None:
                    async with asyncio.timeout(0.02):
                        await me.ask(TO_ALL, "content.1")  # noqa: B023  # it is run at once

                async def ask_each() -> None:
                    async with (
                        asyncio.timeout(0.02),
                        aclosing(me.ask_each(TO_ALL, "content.1")) as answers,  # noqa: B023
                    ):
                        await anext(answers)

                for call, suspension in product((ask, ask_each), range(8)):
                    with suppress(TimeoutError):
                        await cancel_at(suspension, call, moment=moment)
                    await carry_out_due(pool)  # comes after what is still under way
                    statuses = (each.receipt.status for each in (await pool.snapshot()).messages)
                    assert {*statuses} <= {MessageStatus.CANCELLED}, (moment, call, suspension)
                    assert await peeked(pool.inbox("run.b")) == []

    async def test_a_cancelled_question_with_a_key_goes_on(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            me = pool.acting_as(a_member("run.a"))
            for key, name in (("key", None), (None, "id")):
                ask = partial(me.ask, TO_ALL, "content.1", idempotency_key=key, message_id=name)
                asking = asyncio.ensure_future(ask())
                await _received(pool, "run.b")
                asking.cancel()
                await asyncio.wait([asking])
                async with await pool.inbox("run.b").take() as delivery:
                    await pool.send(a_reply(delivery.message, "run.b"))
                assert summary(await ask()) == (AskOutcome.COMPLETE, ["run.b"], ())

    async def test_what_is_neither_a_number_nor_all_is_refused(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            me = pool.acting_as(a_member("run.a"))
            for wrong in ("al", "ALL", "1", -1, 2**32):
                asking = me.ask(TO_ALL, "content.1", expected=wrong)  # type: ignore[arg-type]
                assert "expected" in str(await refusal(InvalidValueError, asking))
            asking = me.ask(TO_ALL, "content.1", late="drop")  # type: ignore[arg-type]
            assert "late" in str(await refusal(InvalidValueError, asking))
            assert await message_log(pool) == []


async def _received(pool: AgentPool, run_id: str) -> None:
    """Wait until there is something in an inbox."""
    while not await peeked(pool.inbox(run_id)):  # noqa: ASYNC110  # no event tells
        await asyncio.sleep(0.005)
