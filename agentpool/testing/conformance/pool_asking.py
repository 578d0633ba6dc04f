"""Asking: answers are counted, kept for whoever asks, and resolve the question exactly once."""

import asyncio
from typing import Any

from agentpool.errors import InvalidValueError, NotAMemberError
from agentpool.member import MemberHandle
from agentpool.pool import AgentPool
from agentpool.rules.asking import Answers
from agentpool.support.clock import wall_clock
from agentpool.testing.conformance.kit import PATIENCE, POOL, payloads, refusal
from agentpool.testing.conformance.pool_kit import (
    ManualClock,
    PoolKit,
    a_reply,
    acked,
    message_log,
    peeked,
    recorded_message,
)
from agentpool.testing.values import a_member, a_message
from agentpool.wire.records import (
    MessageResponseContract,
    MessageStatus,
    RunAddress,
    RunMessage,
)
from agentpool.wire.refs import CorrelationEntry, EventCorrelation

__all__ = ("TIMEOUT", "PoolAskingTests", "a_question", "asked")

ACCEPTED, DELIVERED = MessageStatus.ACCEPTED, MessageStatus.DELIVERED
RESPONDED, TIMED_OUT = MessageStatus.RESPONDED, MessageStatus.TIMED_OUT
TIMEOUT = 1_000
LONG_AFTER = 60_000


def a_question(
    expected: int = 1, timeout_millis: int | None = TIMEOUT, **fields: Any
) -> RunMessage:
    """Build a question of ``run.a`` to all others."""
    contract = MessageResponseContract(expected, timeout_millis)
    defaults = {"to": RunAddress.pool(POOL), "response_contract": contract}
    return a_message("question", **{**defaults, **fields})


async def asked(pool: AgentPool, question: RunMessage) -> "asyncio.Task[Answers]":
    """Ask in a task, and go on once the question was delivered."""
    task = asyncio.ensure_future(pool.ask(question))
    await recorded_message(pool, question.message_id)
    return task


async def _reply_to_next(you: MemberHandle) -> None:
    delivery = await you.inbox.take()
    await you.reply(delivery.message, "answer")
    await delivery.ack()


class PoolAskingTests(PoolKit):
    """``ask``, and ``me.ask`` and ``me.reply``."""

    async def test_an_ask_returns_as_many_answers_as_expected_in_order(self) -> None:
        async with self.opened("run.a", "run.b", "run.c") as pool:
            question = a_question(expected=2)
            asking = await asked(pool, question)
            answers = (a_reply(question, "run.c"), a_reply(question, "run.b"))
            for answer in answers:
                assert not asking.done()
                await pool.send(answer)
            assert await asking == answers
            assert await message_log(pool, "question") == [ACCEPTED, DELIVERED, RESPONDED]

    async def test_the_question_is_an_ordinary_message_for_those_who_are_asked(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            question = a_question()
            asking = await asked(pool, question)
            delivery = await pool.inbox("run.b").take()
            assert delivery.message == question
            await pool.send(a_reply(delivery.message, "run.b"))
            await delivery.ack()
            assert [each.sender for each in await asking] == ["run.b"]

    async def test_answers_are_not_in_the_inbox_of_who_asks(self) -> None:
        async with self.opened("run.a", "run.b", "run.c") as pool:
            question = a_question(expected=2)
            asking = await asked(pool, question)
            await pool.send(a_reply(question, "run.b"))
            assert await peeked(pool.inbox("run.a")) == []
            await pool.send(a_reply(question, "run.c"))
            assert len(await asking) == 2
            assert await peeked(pool.inbox("run.a")) == []

    async def test_an_answer_to_others_too_is_in_their_inboxes(self) -> None:
        async with self.opened("run.a", "run.b", "run.c") as pool:
            question = a_question(to=RunAddress.run("run.b"))
            asking = await asked(pool, question)
            await pool.send(a_reply(question, "run.b", to=RunAddress.pool(POOL)))
            assert [each.sender for each in await asking] == ["run.b"]
            assert await peeked(pool.inbox("run.c")) == ["reply.question.run.b.1"]
            assert await peeked(pool.inbox("run.a")) == []

    async def test_when_the_time_is_up_the_answers_so_far_are_what_there_is(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", "run.c", clock=clock) as pool:
            question = a_question(expected=2)
            asking = await asked(pool, question)
            await pool.send(a_reply(question, "run.c"))
            clock.advance(TIMEOUT)
            await pool.send(a_reply(question, "run.b"))
            assert [each.sender for each in await asking] == ["run.c"]
            assert await message_log(pool, "question") == [ACCEPTED, DELIVERED, TIMED_OUT]
            assert await peeked(pool.inbox("run.a")) == []

    async def test_an_ask_times_out_on_its_own(self) -> None:
        async with self.opened("run.a", "run.b", clock=wall_clock) as pool:
            assert await pool.ask(a_question(timeout_millis=30)) == ()
            assert await message_log(pool, "question") == [ACCEPTED, DELIVERED, TIMED_OUT]

    async def test_only_recipients_count(self) -> None:
        async with self.opened("run.a", "run.b", "run.c") as pool:
            question = a_question(to=RunAddress.run("run.b"))
            asking = await asked(pool, question)
            await pool.send(a_reply(question, "run.c"))
            await pool.send(a_reply(question, "run.a"))
            assert await message_log(pool, "question") == [ACCEPTED, DELIVERED]
            assert len(await peeked(pool.inbox("run.a"))) == 2
            await pool.send(a_reply(question, "run.b"))
            assert [each.sender for each in await asking] == ["run.b"]

    async def test_a_recipient_counts_once(self) -> None:
        async with self.opened("run.a", "run.b", "run.c") as pool:
            question = a_question(expected=2)
            asking = await asked(pool, question)
            await pool.send(a_reply(question, "run.b", 1))
            await pool.send(a_reply(question, "run.b", 2))
            assert await message_log(pool, "question") == [ACCEPTED, DELIVERED]
            await pool.send(a_reply(question, "run.c"))
            assert {each.sender for each in await asking} == {"run.b", "run.c"}
            assert await message_log(pool, "question") == [ACCEPTED, DELIVERED, RESPONDED]

    async def test_nobody_to_ask_is_no_answer_at_once(self) -> None:
        async with self.opened("run.a") as pool:
            assert await pool.ask(a_question()) == ()
            assert await message_log(pool, "question") == [MessageStatus.FAILED]

    async def test_no_answer_expected_is_no_answer_at_once(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            assert await pool.ask(a_question(expected=0)) == ()
            assert (await message_log(pool, "question"))[-1] is RESPONDED

    async def test_a_cancelled_question_ends_with_the_answers_so_far(self) -> None:
        async with self.opened("run.a", "run.b", "run.c") as pool:
            question = a_question(expected=2)
            asking = await asked(pool, question)
            await pool.send(a_reply(question, "run.b"))
            await pool.record_message_status(question, MessageStatus.CANCELLED)
            assert [each.sender for each in await asking] == ["run.b"]

    async def test_plain_sending_records_the_response_and_leaves_answers_alone(self) -> None:
        async with self.opened("run.a", "run.b", "run.c") as pool:
            question = a_question(expected=2)
            await pool.send(question)
            await pool.send(a_reply(question, "run.b"))
            assert await message_log(pool, "question") == [ACCEPTED, DELIVERED]
            await pool.send(a_reply(question, "run.c"))
            assert await message_log(pool, "question") == [ACCEPTED, DELIVERED, RESPONDED]
            expected = ["reply.question.run.b.1", "reply.question.run.c.1"]
            assert await acked(pool.inbox("run.a"), 2) == expected

    async def test_an_answer_and_the_response_are_one_transaction(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            question = a_question()
            await pool.send(question)
            await asyncio.gather(
                pool.send(a_reply(question, "run.b")),
                *(pool.send(a_message(f"other.{number}")) for number in range(10)),
            )
            log = [repr(each) for each in await payloads(pool.store)]
            place = next(i for i, each in enumerate(log) if "responded" in each)
            assert "reply.question.run.b.1" in log[place - 1]

    async def test_response_and_timeout_exclude_each_other(self) -> None:
        for first, last in ((TIMEOUT - 1, RESPONDED), (TIMEOUT, TIMED_OUT)):
            clock = ManualClock()
            async with self.opened("run.a", "run.b", clock=clock) as pool:
                question = a_question()
                await pool.send(question)
                clock.advance(first)
                await pool.send(a_reply(question, "run.b"))
                clock.advance(LONG_AFTER)
                await pool.send(a_reply(question, "run.b", 2))
                assert await message_log(pool, "question") == [ACCEPTED, DELIVERED, last]

    async def test_answers_count_whoever_records_them(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            question = a_question()
            asking = await asked(pool, question)
            answer = a_reply(question, "run.b")
            await pool.record_message_status(answer, DELIVERED, ["run.a"])
            assert await asking == (answer,)

    async def test_members_ask_and_reply_with_the_correlation_of_the_question(self) -> None:
        correlation = EventCorrelation((CorrelationEntry("job", "1"),))
        async with (
            self.opened(clock=wall_clock) as pool,
            pool.member(a_member("run.a")) as me,
            pool.member(a_member("run.b")) as you,
        ):
            to = RunAddress.run("run.b")
            asking = me.ask(to, content_ref="content.1", correlation=correlation, timeout=PATIENCE)
            [answer], _ = await asyncio.gather(asking, _reply_to_next(you))
            assert (answer.sender, await me.read(answer)) == ("run.b", "answer")
            assert answer.correlation == correlation

    async def test_asking_needs_a_contract_and_a_member(self) -> None:
        async with self.opened("run.b") as pool:
            await refusal(InvalidValueError, pool.ask(a_message()))
            await refusal(InvalidValueError, pool.ask("message"))  # type: ignore[arg-type]
            await refusal(NotAMemberError, pool.ask(a_question()))
            assert await message_log(pool) == []
