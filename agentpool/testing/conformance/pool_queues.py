"""Queues: each message goes to one of those who take from it, and is answered in its name."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

from agentpool.errors import IdempotencyConflictError, InvalidValueError, NotAMemberError
from agentpool.inbox import Inbox
from agentpool.member import MemberHandle
from agentpool.pool import AgentPool
from agentpool.support.clock import wall_clock
from agentpool.testing.conformance.kit import POOL, payloads, refusal
from agentpool.testing.conformance.pool_kit import (
    ManualClock,
    PoolKit,
    acked,
    attempts,
    nothing_comes,
    peeked,
)
from agentpool.testing.conformance.pool_presence import run_out
from agentpool.testing.values import a_member, a_message
from agentpool.wire.records import (
    AgentPoolMember,
    AgentPoolMessagePolicy,
    MemberJoined,
    MessageStatus,
    RunAddress,
)
from agentpool.wire.refs import PolicyRef

__all__ = ("PoolQueueTests",)

WORK = AgentPoolMember("queue.work", "queue.work", topics=("agentpool.queue",))


async def answer_all(me: MemberHandle) -> None:
    """Answer whatever comes to the queue, for ever."""
    async for delivery in me.queue("work"):
        await me.reply(delivery.message, f"{me.run_id} to {await delivery.text()}")
        await delivery.ack()


async def work_for(pool: AgentPool, count: int) -> list[str]:
    """Send messages to the queue, and give their ids."""
    queue = await pool.queue("work")
    sent = [f"message.{number}" for number in range(count)]
    for name in sent:
        receipt = await pool.send(a_message(name, to=queue.address))
        assert receipt.status is MessageStatus.DELIVERED
    return sent


class PoolQueueTests(PoolKit):
    """``AgentPool.queue`` and ``MemberHandle.queue``."""

    async def test_a_queue_is_made_once_and_found_from_then_on(self) -> None:
        async with self.opened() as pool, AgentPool.open(pool.store, POOL) as other:
            queue = await pool.queue("work")
            assert (queue.name, queue.run_id) == ("work", "queue.work")
            assert queue.address == RunAddress.run("queue.work")
            found = await asyncio.gather(other.queue("work"), pool.queue("work"))
            assert tuple(found) == (queue, queue)
            assert await pool.members() == (WORK,)
            assert (await payloads(pool.store)).count(MemberJoined(WORK)) == 1

    async def test_a_queue_never_runs_out(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", clock=clock) as pool:
            await pool.queue("work")
            clock.advance(10**12)
            assert WORK in await pool.members()

    async def test_broadcasts_to_the_pool_pass_queues_by(self) -> None:
        for with_sender in (False, True):
            policy = AgentPoolMessagePolicy(include_sender_in_pool_broadcast=with_sender)
            async with self.opened("run.a", "run.b", message_policy=policy) as pool:
                queue = await pool.queue("work")
                receipt = await pool.send(a_message("to.all", to=RunAddress.pool(POOL)))
                expected = ("run.a", "run.b") if with_sender else ("run.b",)
                assert receipt.delivered_to == expected
                for number, address in enumerate((queue.address, RunAddress.agent("queue.work"))):
                    receipt = await pool.send(a_message(f"message.{number}", to=address))
                    assert receipt.delivered_to == ("queue.work",)

    async def test_work_waits_while_nobody_is_there(self) -> None:
        async with self.opened("run.a") as pool:
            sent = await work_for(pool, 3)
            async with pool.member(a_member("run.b")) as me:
                assert await acked(me.queue("work"), 2) == sent[:2]
                held = await me.queue("work").take()
            async with pool.member(a_member("run.c")) as you:
                assert held.attempt == 1
                again = await you.queue("work").take()
                assert attempts([again]) == [(sent[2], 1)], "the first gave it back"

    async def test_who_takes_before_there_is_a_queue_waits_for_it(self) -> None:
        async with self.opened("run.a") as pool, pool.member(a_member("run.b")) as me:
            taking = asyncio.create_task(me.queue("work").take())
            await asyncio.wait([taking], timeout=0.02)
            sent = await work_for(pool, 1)
            assert attempts([await taking]) == [(sent[0], 1)]

    async def test_each_message_goes_to_one_in_order_and_in_turn(self) -> None:
        async with self.opened("run.a") as pool, AsyncExitStack() as stack:
            queue = await pool.queue("work")
            taken: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

            async def consume(inbox: Inbox, name: str) -> None:
                async for delivery in inbox:
                    await delivery.ack()
                    taken.put_nowait((name, delivery.message.message_id))

            async with asyncio.TaskGroup() as tasks:
                consumers = []
                for name in ("run.1", "run.2", "run.3", "run.4"):
                    me = await stack.enter_async_context(pool.member(a_member(name)))
                    consumers.append(tasks.create_task(consume(me.queue("work"), name)))
                by: list[str] = []
                # In turn from when all of them wait, which each does once it has had one.
                while len(set(by)) < len(consumers) or len(by) < 40:
                    sent = a_message(f"message.{len(by)}", to=queue.address)
                    await pool.send(sent)
                    name, message_id = await taken.get()
                    assert message_id == sent.message_id
                    by.append(name)
                for each in consumers:
                    each.cancel()
            assert set(Counter(by[-20:]).values()) == {5}

    async def test_a_question_to_a_queue_has_its_answer(self) -> None:
        async with (
            self.opened(clock=wall_clock) as pool,
            pool.member(a_member("run.a")) as asker,
            pool.member(a_member("run.b")) as one,
            pool.member(a_member("run.c")) as other,
        ):
            queue = await pool.queue("work")
            async with asyncio.TaskGroup() as tasks:
                working = [tasks.create_task(answer_all(each)) for each in (one, other)]
                for address in (queue.address, RunAddress.agent("queue.work")):
                    for number in range(3):
                        [answer] = await asker.ask(address, f"question.{number}")
                        assert answer.sender == "queue.work"
                        assert (await asker.read(answer)).endswith(f" to question.{number}")
                for each in working:
                    each.cancel()
            for inbox in (asker.inbox, one.inbox, other.inbox, one.queue("work")):
                assert await peeked(inbox) == []

    async def test_one_answers_in_the_name_of_a_queue_while_one_is_a_member(self) -> None:
        async with self.opened("run.a") as pool:
            await work_for(pool, 1)
            async with pool.member(a_member("run.b")) as me:
                delivery = await me.queue("work").take()
            await refusal(NotAMemberError, me.reply(delivery.message, "answer"))

    async def test_what_a_lost_member_had_of_a_queue_comes_to_others(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", clock=clock) as pool:
            sent = await work_for(pool, 1)
            lost = pool.member(a_member("run.b"), rejoin=False, claim_lease=1)
            async with lost as me, pool.member(a_member("run.c")) as you:
                await me.queue("work").take()  # and nobody holds it
                await run_out(pool, "run.b")
                await nothing_comes(you.queue("work").take(), pool)
                clock.advance(1000)
                assert attempts([await you.queue("work").take()]) == [(sent[0], 2)]

    async def test_what_fails_too_often_is_put_aside(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", clock=clock) as pool:
            sent = await work_for(pool, 2)
            async with pool.member(a_member("run.b"), max_attempts=5) as me:
                inbox = me.queue("work", max_attempts=1)
                await (await inbox.take()).nack()
                [letter] = await inbox.dead()
                assert letter.message.message_id == sent[0]
                assert await me.inbox.dead() == ()
                await inbox.retry(letter)
                assert await acked(me.queue("work"), 2) == sent

    async def test_a_queue_carries_what_the_pool_demands(self) -> None:
        needed = PolicyRef(id="policy.1")
        policy = AgentPoolMessagePolicy(required_policy_refs=(needed,))
        carrier = AgentPoolMember("run.a", "agent.a", policy_refs=(needed,))
        async with self.opened(carrier, message_policy=policy, policy_refs=(needed,)) as pool:
            queue = await pool.queue("work")
            message = a_message("message.1", to=queue.address, policy_refs=(needed,))
            assert (await pool.send(message)).delivered_to == ("queue.work",)

    async def test_a_queue_with_policies_of_its_own_is_found(self) -> None:
        async with self.opened() as pool:
            own = (PolicyRef(id="policy.1"),)
            made = AgentPoolMember("queue.work", "queue.work", own, ("agentpool.queue", "x"))
            await pool.join_run(made)
            assert (await pool.queue("work")).run_id == "queue.work"
            assert await pool.members() == (made,)

    async def test_a_member_that_is_no_queue_does_not_become_one(self) -> None:
        async with self.opened("queue.work") as pool:
            before = await payloads(pool.store)
            error = await refusal(IdempotencyConflictError, pool.queue("work"))
            assert "queue.work" in str(error)
            assert await payloads(pool.store) == before

    async def test_names_that_make_no_id_are_refused(self) -> None:
        async with self.opened("run.a") as pool, pool.member(a_member("run.b")) as me:
            for wrong in ("", "a\0b", "x" * 510, 1, None):
                await refusal(InvalidValueError, pool.queue(wrong))  # type: ignore[arg-type]
                await refusal(InvalidValueError, _asked(me, wrong))
            await refusal(InvalidValueError, _asked(me, "work", max_attempts=0))


async def _asked(me: MemberHandle, name: object, max_attempts: int | None = None) -> None:
    me.queue(name, max_attempts=max_attempts)  # type: ignore[arg-type]
