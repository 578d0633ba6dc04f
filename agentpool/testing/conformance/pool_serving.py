"""Serving: messages are handled several at once, answered where asked, and left in order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import patch

from agentpool.errors import InvalidValueError, MembershipLostError, StoreBusyError
from agentpool.inbox import Delivery, Inbox
from agentpool.member import MemberHandle
from agentpool.serving import Handler
from agentpool.support.clock import wall_clock
from agentpool.testing.conformance.kit import PATIENCE, refusal
from agentpool.testing.conformance.pool_kit import (
    ManualClock,
    PoolKit,
    attempts,
    deliver,
    message_log,
    peeked,
)
from agentpool.testing.values import a_member, a_message
from agentpool.wire.records import MessageStatus, RunAddress

__all__ = ("PoolServingTests",)


@asynccontextmanager
async def serving(
    me: MemberHandle, handler: Handler, **options: Any
) -> AsyncIterator["asyncio.Task[None]"]:
    """Serve in a task, which is cancelled, and has ended, at the end of the block."""
    task = asyncio.create_task(me.serve(handler, **options))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


class Work:
    """A handler that notes what it works on, and works until it is told to end."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[Delivery] = asyncio.Queue()
        self.end: asyncio.Event = asyncio.Event()
        self.ended: list[str] = []

    async def __call__(self, delivery: Delivery) -> None:
        self.begun.put_nowait(delivery)
        await self.end.wait()
        self.ended.append(delivery.message.message_id)


async def no_answer(_: Delivery) -> None:
    """Do nothing."""


class PoolServingTests(PoolKit):
    """``MemberHandle.serve``."""

    async def test_it_answers_in_the_name_of_the_inbox_that_it_serves(self) -> None:
        async with (
            self.opened(clock=wall_clock) as pool,
            pool.member(a_member("run.a")) as asker,
            pool.member(a_member("run.b")) as me,
        ):
            await pool.queue("work")

            async def handler(delivery: Delivery) -> str:
                return f"answer to {await delivery.text()}"

            async with serving(me, handler, inbox=me.queue("work")):
                answer = await asker.ask_one(RunAddress.topic("agentpool.queue"), "question")
            assert (answer.sender, await asker.read(answer)) == ("queue.work", "answer to question")

    async def test_messages_are_handled_several_at_once_and_acknowledged(self) -> None:
        async with self.opened("run.a") as pool, pool.member(a_member("run.b")) as me:
            sent = await deliver(pool, 6)
            work = Work()
            async with serving(me, work, concurrency=3):
                begun = [await work.begun.get() for _ in range(3)]
                assert attempts(begun) == [(each, 1) for each in sent[:3]]
                await me.inbox.peek()
                assert work.begun.empty()
                assert attempts([await _taken(me.inbox)]) == [(sent[3], 1)], "it took no more"
                work.end.set()
                for _ in range(2):
                    await work.begun.get()
            assert sorted(work.ended) == [*sent[:3], *sent[4:]]
            assert await peeked(me.inbox) == [sent[3]]

    async def test_what_a_handler_returns_is_the_answer_where_one_is_asked_for(self) -> None:
        async with (
            self.opened(clock=wall_clock) as pool,
            pool.member(a_member("run.a")) as asker,
            pool.member(a_member("run.b")) as me,
        ):

            async def handler(delivery: Delivery) -> str:
                return f"answer to {await delivery.text()}"

            async with serving(me, handler):
                await asker.send(RunAddress.run("run.b"), "no question")
                [answer] = await asker.ask(RunAddress.run("run.b"), "question")
            assert (answer.sender, await asker.read(answer)) == ("run.b", "answer to question")
            assert await peeked(asker.inbox) == await peeked(me.inbox) == []

    async def test_a_handler_that_returns_nothing_sends_no_answer(self) -> None:
        async with self.opened("run.a", "run.b", clock=wall_clock) as pool:
            asker, me = (pool.acting_as(a_member(each)) for each in ("run.a", "run.b"))
            async with serving(me, no_answer):
                assert await asker.ask(RunAddress.run("run.b"), "question", timeout=0.1) == ()
            assert await peeked(me.inbox) == await peeked(asker.inbox) == []

    async def test_a_queue_is_served_in_its_name(self) -> None:
        async with (
            self.opened(clock=wall_clock) as pool,
            pool.member(a_member("run.a")) as asker,
            pool.member(a_member("run.b")) as me,
        ):
            queue = await pool.queue("work")

            async def handler(_: Delivery) -> str:
                return "answer"

            async with serving(me, handler, inbox=me.queue("work")):
                answers = await asyncio.gather(
                    *(asker.ask(queue.address, f"question.{number}") for number in range(5))
                )
            assert {each.sender for [each] in answers} == {"queue.work"}
            assert await peeked(me.queue("work")) == []

    async def test_a_message_whose_handler_fails_comes_again_and_others_go_on(self) -> None:
        clock = ManualClock()
        async with (
            self.opened("run.a", clock=clock) as pool,
            pool.member(a_member("run.b"), max_attempts=2) as me,
        ):
            sent = await deliver(pool, 3)
            seen: asyncio.Queue[tuple[str, int]] = asyncio.Queue()

            async def handler(delivery: Delivery) -> None:
                seen.put_nowait((delivery.message.message_id, delivery.attempt))
                if delivery.message.message_id == sent[0]:
                    raise ZeroDivisionError
                if delivery.message.message_id == sent[1] and delivery.attempt == 1:
                    raise asyncio.CancelledError  # of its own making

            async with serving(me, handler, concurrency=1):
                assert [await seen.get() for _ in sent] == [(each, 1) for each in sent]
                clock.advance(1000)
                assert [await seen.get() for _ in range(2)] == [(each, 2) for each in sent[:2]]
            assert [each.message.message_id for each in await me.inbox.dead()] == sent[:1]
            assert await peeked(me.inbox) == []

    async def test_a_handler_may_end_its_claim_itself(self) -> None:
        async with self.opened("run.a") as pool, pool.member(a_member("run.b")) as me:
            sent = await deliver(pool, 2)
            seen: asyncio.Queue[None] = asyncio.Queue()

            async def handler(delivery: Delivery) -> None:
                first = delivery.message.message_id == sent[0]
                await (delivery.ack() if first else delivery.nack(delay=3600))
                seen.put_nowait(None)

            async with serving(me, handler):
                for _ in sent:
                    await seen.get()
            assert await peeked(me.inbox) == sent[1:]

    async def test_what_was_answered_before_is_not_answered_again(self) -> None:
        async with (
            self.opened(clock=wall_clock) as pool,
            pool.member(a_member("run.a")) as asker,
            pool.member(a_member("run.b")) as me,
        ):
            handled: asyncio.Queue[int] = asyncio.Queue()

            async def handler(delivery: Delivery) -> str:
                handled.put_nowait(delivery.attempt)
                if delivery.attempt == 1:
                    await delivery.nack(delay=0)  # as if this had not lived to acknowledge
                return f"answer {delivery.attempt}"

            async with serving(me, handler, concurrency=1):
                [answer] = await asker.ask(RunAddress.run("run.b"), "question")
                assert [await handled.get() for _ in range(2)] == [1, 2]
            assert await asker.read(answer) == "answer 1"
            assert await peeked(me.inbox) == await peeked(asker.inbox) == []
            assert (await message_log(pool)).count(MessageStatus.DELIVERED) == 2

    async def test_cancelled_it_lets_handlers_end_and_takes_nothing_more(self) -> None:
        async with self.opened("run.a") as pool, pool.member(a_member("run.b")) as me:
            sent = await deliver(pool, 3)
            work = Work()
            async with serving(me, work, concurrency=2, grace=PATIENCE) as task:
                for _ in range(2):
                    await work.begun.get()
                task.cancel()
                await asyncio.sleep(0)
                await me.inbox.peek()
                work.end.set()
                await asyncio.wait([task])
                assert task.cancelled()
            assert sorted(work.ended) == sent[:2]
            assert await peeked(me.inbox) == sent[2:]

    async def test_what_is_left_after_the_grace_is_there_again_at_the_same_attempt(self) -> None:
        for grace in (0, 0.05):
            async with self.opened("run.a") as pool, pool.member(a_member("run.b")) as me:
                sent = await deliver(pool, 3)
                work = Work()
                async with serving(me, work, concurrency=2, grace=grace):
                    held = [await work.begun.get() for _ in range(2)]
                assert work.ended == []
                again = await me.inbox.take_many(3, timeout=0)
                assert attempts(list(again)) == [(each, 1) for each in sent]
                assert len(held) == 2

    async def test_it_ends_where_the_run_is_lost(self) -> None:
        async with self.opened("run.a") as pool, pool.member(a_member("run.b")) as me:
            task = asyncio.create_task(me.serve(no_answer))
            await asyncio.wait([task], timeout=0.02)
            async with pool.member(a_member("run.b")):
                await asyncio.wait([task])
            assert isinstance(task.exception(), MembershipLostError)

    async def test_what_is_worth_a_retry_does_not_end_it(self) -> None:
        async with self.opened("run.a") as pool, pool.member(a_member("run.b")) as me:
            await pool.send(a_message("message.1"))
            work, take = Work(), me.inbox.take
            errors = [StoreBusyError("somebody else writes")] * 2

            async def busy() -> Delivery:
                if errors:
                    raise errors.pop()
                return await take()

            patched = patch.object(me.inbox, "take", busy)
            with patched, patch("agentpool.serving._AGAIN_SECONDS", 0):
                work.end.set()
                async with serving(me, work):
                    await work.begun.get()
            assert work.ended == ["message.1"]

    async def test_what_cannot_be_served_is_refused(self) -> None:
        async with self.opened("run.b") as pool:
            me = pool.acting_as(a_member("run.b"))
            await refusal(InvalidValueError, me.serve("handler"))  # type: ignore[arg-type]
            await refusal(InvalidValueError, me.serve(no_answer, inbox="work"))  # type: ignore[arg-type]
            await refusal(InvalidValueError, me.serve(no_answer, grace=-1))
            for wrong in (0, -1, 1.5, True):
                serve = me.serve(no_answer, concurrency=wrong)  # type: ignore[arg-type]
                await refusal(InvalidValueError, serve)


async def _taken(inbox: Inbox) -> Delivery:
    delivery = await inbox.take(timeout=0)
    assert delivery is not None
    return delivery
