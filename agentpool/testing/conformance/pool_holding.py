"""Answers are held for whoever asked: while it waits, for a while after, and never lost."""

import asyncio
from typing import Final

from agentpool.pool import AgentPool
from agentpool.rules.answers import HOLD_MILLIS
from agentpool.rules.rows import HELD, deadline_key
from agentpool.testing.conformance.pool_asking import TIMEOUT, a_question, asked
from agentpool.testing.conformance.pool_kit import (
    ManualClock,
    PoolKit,
    a_reply,
    acked,
    carry_out_due,
    peeked,
)
from agentpool.testing.values import a_member
from agentpool.wire.records import RunAddress

__all__ = ("PoolHoldingTests",)

A_WHILE, LONG_AFTER = 20_000, 60_000
BETWEEN_BEATS: Final = HOLD_MILLIS // 3


async def _held_until(pool: AgentPool, message_id: str, time: int) -> None:
    """Wait until the answers to a message are held up to a time."""
    key = deadline_key(HELD, message_id)
    row = await pool.store.query(pool.pool_id, lambda view: view.row(key))
    while row is None or row.due_at != time:
        row = await pool.store.query(pool.pool_id, lambda view: view.row(key))


class PoolHoldingTests(PoolKit):
    """What keeps answers for ``ask``, and what lets them go."""

    async def test_answers_that_nobody_collects_go_to_the_inbox(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            question = a_question()
            asking = await asked(pool, question)
            asking.cancel()
            await asyncio.wait([asking])
            await pool.send(a_reply(question, "run.b"))
            assert await peeked(pool.inbox("run.a")) == []
            clock.advance(LONG_AFTER)
            assert await acked(pool.inbox("run.a"), 1) == ["reply.question.run.b.1"]

    async def test_an_asker_that_comes_back_with_its_key_gets_the_answers(self) -> None:
        async with self.opened("run.a", "run.b", "run.c") as pool:
            question = a_question(expected=2)
            asking = await asked(pool, question)
            await pool.send(a_reply(question, "run.b"))
            asking.cancel()
            await asyncio.wait([asking])
            again = a_question(expected=2)
            asking = await asked(pool, again)
            await pool.send(a_reply(question, "run.c"))
            assert [each.sender for each in await asking] == ["run.b", "run.c"]

    async def test_an_asker_that_comes_back_under_a_new_id_gets_the_answers(self) -> None:
        async with self.opened("run.b") as pool, pool.member(a_member("run.a"), lease=None) as me:
            asking = asyncio.ensure_future(
                me.ask(RunAddress.run("run.b"), content_ref="content.1", idempotency_key="key")
            )
            [question] = [(await pool.inbox("run.b").take()).message]
            asking.cancel()
            await asyncio.wait([asking])
            await pool.send(a_reply(question, "run.b"))
            answers = await me.ask(
                RunAddress.run("run.b"), content_ref="content.1", idempotency_key="key"
            )
            assert [each.sender for each in answers] == ["run.b"]

    async def test_a_question_without_a_time_limit_keeps_its_answers_for_who_waits(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", "run.c", clock=clock) as pool:
            question = a_question(expected=2, timeout_millis=None)
            asking = await asked(pool, question)
            await pool.send(a_reply(question, "run.b"))
            clock.advance(A_WHILE)
            await pool.send(a_reply(question, "run.c"))
            assert [each.sender for each in await asking] == ["run.b", "run.c"]

    async def test_no_answer_is_lost_to_an_asker_that_left(self) -> None:
        for timeout in (TIMEOUT, None):
            clock = ManualClock()
            async with self.opened("run.a", "run.b", "run.c", clock=clock) as pool:
                question = a_question(expected=2, timeout_millis=timeout)
                asking = await asked(pool, question)
                asking.cancel()
                await asyncio.wait([asking])
                await pool.send(a_reply(question, "run.b"))
                await pool.leave_run("run.a")
                await pool.join_run(a_member("run.a"))
                await pool.send(a_reply(question, "run.c"))
                clock.advance(LONG_AFTER)
                await carry_out_due(pool)
                expected = ["reply.question.run.b.1", "reply.question.run.c.1"]
                assert await peeked(pool.inbox("run.a")) == expected

    async def test_the_answers_so_far_are_in_the_inbox_as_soon_as_the_asker_leaves(self) -> None:
        async with self.opened("run.a", "run.b", "run.c") as pool:
            question = a_question(expected=2)
            asking = await asked(pool, question)
            asking.cancel()
            await asyncio.wait([asking])
            await pool.send(a_reply(question, "run.b"))
            assert await peeked(pool.inbox("run.a")) == []
            await pool.leave_run("run.a")
            assert await peeked(pool.inbox("run.a")) == ["reply.question.run.b.1"]

    async def test_answers_that_come_late_to_the_asker_are_handled_once(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", "run.c", "run.d", clock=clock) as pool:
            question = a_question(expected=3, timeout_millis=None)
            asking = await asked(pool, question)
            asking.cancel()
            await asyncio.wait([asking])
            for run_id in ("run.b", "run.c"):
                await pool.send(a_reply(question, run_id))
            clock.advance(LONG_AFTER)
            claimed = await pool.inbox("run.a").take()
            asking = await asked(pool, question)
            await pool.send(a_reply(question, "run.d"))
            assert [each.sender for each in await asking] == ["run.c", "run.d"]
            assert await peeked(pool.inbox("run.a")) == [claimed.message.message_id]
            await claimed.ack()

    async def test_answers_are_held_for_as_long_as_somebody_waits(self) -> None:
        clock = ManualClock()
        async with (
            self.opened("run.a", "run.b", "run.c", clock=clock) as pool,
            pool.member(a_member("run.d"), lease=0.1),  # so short that the clock is looked at often
        ):
            question = a_question(expected=2, timeout_millis=None)
            asking = await asked(pool, question)
            clock.advance(BETWEEN_BEATS)
            await _held_until(pool, "question", clock.millis + HOLD_MILLIS)
            clock.advance(HOLD_MILLIS - 1)
            await pool.send(a_reply(question, "run.b"))
            assert await peeked(pool.inbox("run.a")) == []
            await pool.send(a_reply(question, "run.c"))
            assert [each.sender for each in await asking] == ["run.b", "run.c"]
