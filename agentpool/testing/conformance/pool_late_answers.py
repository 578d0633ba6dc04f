"""Answers kept with their question: the same whenever it is asked again, and the late ones."""

import asyncio
from functools import partial
from typing import Final

from agentpool.errors import AskOutcome
from agentpool.member import MemberHandle
from agentpool.pool import AgentPool
from agentpool.rules.asking import Answers
from agentpool.rules.command import DEADLINE, INBOX, PoolView
from agentpool.rules.rows import ANSWER, ASKED, CONTRACT, LATE, OWING, OWING_LEFT
from agentpool.testing.conformance.kit import POOL
from agentpool.testing.conformance.pool_asking import TIMEOUT, a_question, asked
from agentpool.testing.conformance.pool_kit import (
    ManualClock,
    PoolKit,
    a_reply,
    acked,
    carry_out_due,
    message_log,
    peeked,
    recorded_message,
)
from agentpool.testing.values import a_member
from agentpool.wire.records import MessageStatus, RunAddress, RunMessage

__all__ = ("PoolLateAnswerTests", "ids")

OTHERS: Final = ("run.b", "run.c", "run.d")
TO_ALL: Final = RunAddress.pool(POOL)


def ids(answers: tuple[RunMessage, ...]) -> list[str]:
    """List who sent answers, and which of theirs."""
    return [each.message_id.removeprefix("reply.question.run.") for each in answers]


async def _asked(
    pool: AgentPool, me: MemberHandle, *, late: bool = False
) -> "tuple[asyncio.Task[Answers], RunMessage]":
    """Ask all for two answers, in a task."""
    asking = asyncio.ensure_future(
        me.ask(
            TO_ALL,
            "content.1",
            expected=2,
            timeout=TIMEOUT / 1000,
            message_id="question",
            late="inbox" if late else "keep",
        )
    )
    await recorded_message(pool, "question")
    [question] = await pool.inbox("run.b").peek()
    return asking, question


class PoolLateAnswerTests(PoolKit):
    """What is kept with a question when it has ended, and what goes to the inbox."""

    async def test_what_comes_beyond_what_was_expected_is_kept_with_the_question(self) -> None:
        async with self.opened("run.a", *OTHERS) as pool:
            question = a_question()
            asking = await asked(pool, question)
            await pool.send(a_reply(question, "run.b"))
            first = await asking
            await pool.send(a_reply(question, "run.c"))
            await pool.send(a_reply(question, "run.b", 2))
            assert await peeked(pool.inbox("run.a")) == []
            again = await pool.ask(question)
            assert (ids(first), ids(first.late)) == (["b.1"], [])
            assert (ids(again), ids(again.late)) == (["b.1"], ["c.1", "b.2"])
            assert (again.outcome, again.missing) == (first.outcome, first.missing)

    async def test_what_comes_too_late_is_kept_with_the_question(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", *OTHERS, clock=clock) as pool:
            question = a_question(expected=2)
            asking = await asked(pool, question)
            await pool.send(a_reply(question, "run.b"))
            clock.advance(TIMEOUT)
            await pool.send(a_reply(question, "run.c"))
            assert ids(await asking) == ["b.1"]
            again = await pool.ask(question)
            assert (again.outcome, ids(again), ids(again.late)) == (
                AskOutcome.TIMED_OUT,
                ["b.1"],
                ["c.1"],
            )
            assert await peeked(pool.inbox("run.a")) == []

    async def test_who_asks_for_one_again_gets_what_came_too_late(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            me = pool.acting_as(a_member("run.a"))
            asking = asyncio.ensure_future(
                me.ask_one(TO_ALL, "content.1", timeout=1, message_id="question")
            )
            await recorded_message(pool, "question")
            [question] = await pool.inbox("run.b").peek()
            clock.advance(1000)
            await carry_out_due(pool)
            await asyncio.wait([asking])
            assert asking.exception() is not None
            await pool.send(a_reply(question, "run.b"))
            assert ids((await me.ask_one(TO_ALL, "content.1", message_id="question"),)) == ["b.1"]

    async def test_with_late_inbox_they_are_ordinary_messages(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", *OTHERS, clock=clock) as pool:
            me = pool.acting_as(a_member("run.a"))
            asking, question = await _asked(pool, me, late=True)
            await pool.send(a_reply(question, "run.b"))
            assert await peeked(me.inbox) == []
            await pool.send(a_reply(question, "run.b", 2))
            clock.advance(TIMEOUT)
            await pool.send(a_reply(question, "run.c"))
            assert ids(await asking) == ["b.1"]
            expected = ["reply.question.run.b.2", "reply.question.run.c.1"]
            assert await acked(me.inbox, 2) == expected
            assert ids((await pool.ask(question)).late) == []

    async def test_an_answer_of_who_was_not_asked_is_an_ordinary_message(self) -> None:
        async with self.opened("run.a", *OTHERS) as pool:
            question = a_question(to=RunAddress.run("run.b"))
            asking = await asked(pool, question)
            for number in (1, 2):
                await pool.send(a_reply(question, "run.c", number))
                await pool.send(a_reply(question, "run.b", number))
            assert ids(await asking) == ["b.1"]
            expected = ["reply.question.run.c.1", "reply.question.run.c.2"]
            assert await peeked(pool.inbox("run.a")) == expected

    async def test_answers_to_what_was_only_sent_are_ordinary_messages(self) -> None:
        async with self.opened("run.a", *OTHERS) as pool:
            question = a_question()
            await pool.send(question)
            for run_id in OTHERS:
                await pool.send(a_reply(question, run_id))
            assert len(await peeked(pool.inbox("run.a"))) == len(OTHERS)
            again = await pool.ask(question)
            assert (again.outcome, ids(again), ids(again.late)) == (AskOutcome.COMPLETE, [], [])

    async def test_who_comes_back_after_a_crash_gets_the_answers(self) -> None:
        async with self.opened("run.a", *OTHERS) as pool:
            me = pool.acting_as(a_member("run.a"))
            asking, question = await _asked(pool, me)
            await pool.send(a_reply(question, "run.c"))
            asking.cancel()
            await asyncio.wait([asking])
            await pool.leave_run("run.a")
            await pool.join_run(a_member("run.a"))
            await pool.send(a_reply(question, "run.b"))
            assert await peeked(me.inbox) == []
            for _ in range(2):
                again = await pool.acting_as(a_member("run.a")).ask(
                    TO_ALL, "content.1", idempotency_key="question"
                )
                assert (again.outcome, ids(again)) == (AskOutcome.COMPLETE, ["c.1", "b.1"])

    async def test_many_answers_are_kept_in_the_order_in_which_they_came(self) -> None:
        others = [f"run.{number:02}" for number in range(40)]
        async with self.opened("run.a", *others) as pool:
            me = pool.acting_as(a_member("run.a"))
            ask = partial(me.ask, TO_ALL, "content.1", expected="all", message_id="question")
            asking = asyncio.ensure_future(ask())
            await recorded_message(pool, "question")
            [question] = await pool.inbox(others[0]).peek()
            gone, came = others[::10], [each for each in reversed(others) if each[-1] != "0"]
            for run_id in gone[:2]:
                await pool.leave_run(run_id)
            for run_id in came:
                await pool.send(a_reply(question, run_id))
            for run_id in gone[2:]:
                await pool.leave_run(run_id)
            for answers in (await asking, await ask()):
                assert [each.sender for each in answers] == came
                assert (answers.outcome, answers.missing) == (AskOutcome.INCOMPLETE, tuple(gone))
            again = me.ask_each(TO_ALL, "content.1", message_id="question")
            assert [each.sender async for each in again] == came

    async def test_several_who_ask_the_same_get_the_same(self) -> None:
        async with self.opened("run.a", *OTHERS) as pool:
            question = a_question(expected=2)
            asking = [await asked(pool, question) for _ in range(3)]
            for run_id in OTHERS:
                await pool.send(a_reply(question, run_id))
            for each in await asyncio.gather(*asking):
                assert ids(each) == ["b.1", "c.1"]

    async def test_the_id_of_a_question_is_its_own_for_good(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await pool.ask(a_question(expected=0))
            other = a_question(expected=0, idempotency_key="key.other", content_ref="content.2")
            asking = asyncio.ensure_future(pool.ask(other))
            await asyncio.wait([asking])
            assert "under another key" in str(asking.exception())
            assert len(await message_log(pool)) == 3

    async def test_what_stays_is_what_asking_again_needs(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", *OTHERS, clock=clock) as pool:
            me = pool.acting_as(a_member("run.a"))
            asking, question = await _asked(pool, me)
            await pool.leave_run("run.d")
            for number in (1, 2):
                await pool.send(a_reply(question, "run.b", number))
            await pool.send(a_reply(question, "run.c"))
            assert len(await asking) == 2
            for run_id in ("run.b", "run.c"):
                await acked(pool.inbox(run_id), 1)
            clock.advance(TIMEOUT)
            await carry_out_due(pool)

            def what_stays(view: PoolView) -> dict[str, int]:
                kinds = (ASKED, ANSWER, LATE, CONTRACT, OWING, OWING_LEFT, INBOX, DEADLINE)
                found = {
                    kind: sum(
                        len(view.rows(kind, name, after=-1, limit=9))
                        for name in ("question", "run.a", *OTHERS)
                    )
                    for kind in kinds
                }
                return {kind: count for kind, count in found.items() if count}

            assert await pool.store.query(POOL, what_stays) == {ASKED: 1, LATE: 1}
            assert await pool.store.query(POOL, lambda view: view.next_deadline()) is None
            assert (await message_log(pool, "question"))[-1] is MessageStatus.RESPONDED
