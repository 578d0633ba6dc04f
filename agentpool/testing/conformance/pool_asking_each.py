"""Answers one after another, as they come."""

import asyncio
from contextlib import aclosing
from typing import Final

from agentpool.errors import NotAMemberError, StoreClosedError
from agentpool.testing.cancellation import tasks_left
from agentpool.testing.conformance.kit import POOL, refusal
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
from agentpool.wire.records import MessageStatus, RunAddress, RunMessage

__all__ = ("PoolAskingEachTests",)

ACCEPTED, DELIVERED = MessageStatus.ACCEPTED, MessageStatus.DELIVERED
OTHERS: Final = ("run.b", "run.c", "run.d")
TO_ALL: Final = RunAddress.pool(POOL)


class PoolAskingEachTests(PoolKit):
    """``me.ask_each``."""

    async def test_each_answer_comes_before_the_next_was_given(self) -> None:
        async with self.opened("run.a", *OTHERS) as pool:
            me = pool.acting_as(a_member("run.a"))
            answers = me.ask_each(TO_ALL, "content.1", message_id="question")
            coming = asyncio.ensure_future(anext(answers))
            await recorded_message(pool, "question")
            [question] = await pool.inbox("run.b").peek()
            for run_id in ("run.c", "run.b"):
                await pool.send(a_reply(question, run_id))
                assert (await coming).sender == run_id
                coming = asyncio.ensure_future(anext(answers))
            await pool.send(a_reply(question, "run.c", 2))  # it has answered before
            await nothing_comes(asyncio.shield(coming), pool)
            await pool.leave_run("run.d")
            await asyncio.wait([coming])
            assert isinstance(coming.exception(), StopAsyncIteration)
            assert await peeked(me.inbox) == []

    async def test_it_ends_with_the_last_that_is_expected(self) -> None:
        async with self.opened("run.a", *OTHERS) as pool:
            me = pool.acting_as(a_member("run.a"))

            async def collect() -> list[str]:
                answers = me.ask_each(TO_ALL, "content.1", expected=2, message_id="question")
                return [each.sender async for each in answers]

            collecting = asyncio.ensure_future(collect())
            await recorded_message(pool, "question")
            [question] = await pool.inbox("run.b").peek()
            for run_id in OTHERS:
                await pool.send(a_reply(question, run_id))
            assert await collecting == ["run.b", "run.c"]
            assert await collect() == ["run.b", "run.c"]

    async def test_it_ends_when_the_time_is_up(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", *OTHERS, clock=clock) as pool:
            me = pool.acting_as(a_member("run.a"))
            answers = me.ask_each(TO_ALL, "content.1", timeout=1, message_id="question")
            coming = asyncio.ensure_future(anext(answers))
            await recorded_message(pool, "question")
            clock.advance(1000)
            await carry_out_due(pool)
            await asyncio.wait([coming])
            assert isinstance(coming.exception(), StopAsyncIteration)

    async def test_what_nobody_receives_has_no_answers(self) -> None:
        async with self.opened("run.a") as pool:
            me = pool.acting_as(a_member("run.a"))
            assert [each async for each in me.ask_each(TO_ALL, "content.1")] == []
            stranger = pool.acting_as(a_member("run.x"))
            await refusal(NotAMemberError, anext(stranger.ask_each(TO_ALL, "content.1")))

    async def test_left_early_it_leaves_nothing_behind(self) -> None:
        async with self.opened("run.a", *OTHERS) as pool:
            me, before = pool.acting_as(a_member("run.a")), asyncio.all_tasks()

            async def first() -> RunMessage:
                async with aclosing(me.ask_each(TO_ALL, "content.1")) as answers:
                    async for answer in answers:
                        return answer
                raise AssertionError

            asking = asyncio.ensure_future(first())
            while not (found := await pool.inbox("run.b").peek()):  # noqa: ASYNC110  # no event tells
                await asyncio.sleep(0.005)
            await pool.send(a_reply(found[0], "run.b"))
            assert (await asking).sender == "run.b"
            question = found[0].message_id
            expected = [ACCEPTED, DELIVERED, MessageStatus.CANCELLED]
            assert await message_log(pool, question) == expected
            for run_id in OTHERS:
                assert await peeked(pool.inbox(run_id)) == []
            assert not await tasks_left(before)

    async def test_closing_the_pool_ends_it(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            me = pool.acting_as(a_member("run.a"))
            answers = me.ask_each(TO_ALL, "content.1", message_id="question")
            coming = asyncio.ensure_future(anext(answers))
            await recorded_message(pool, "question")
            await pool.aclose()
            await refusal(StoreClosedError, coming)
