"""Inboxes: what is in them, in which order, and what looking and handing out change."""

import asyncio

from agentpool.errors import InvalidValueError
from agentpool.pool import AgentPool
from agentpool.support.clock import wall_clock
from agentpool.testing.conformance.kit import POOL, payloads, record, refusal
from agentpool.testing.conformance.pool_kit import (
    ManualClock,
    PoolKit,
    acked,
    deliver,
    nothing_comes,
    peeked,
)
from agentpool.testing.values import a_member, a_message
from agentpool.wire.records import MessageStatus, RunAddress, RunMessageRecorded

__all__ = ("PoolInboxTests",)

DELIVERED = MessageStatus.DELIVERED


class PoolInboxTests(PoolKit):
    """``inbox``, its ``peek``, its iteration and ``Delivery.ack``."""

    async def test_messages_come_in_the_order_of_the_log(self) -> None:
        async with self.opened("run.a", "run.b", "run.c") as pool:
            sent = [
                a_message(f"message.{number}", sender=f"run.{'ac'[number % 2]}")
                for number in range(30)
            ]
            await asyncio.gather(*(pool.send(each) for each in reversed(sent)))
            log = [
                each.stored.message.message_id
                for each in await payloads(pool.store)
                if isinstance(each, RunMessageRecorded)
            ][1::2]
            assert await peeked(pool.inbox("run.b")) == log
            assert await acked(pool.inbox("run.b"), 30) == log

    async def test_iterating_hands_out_each_message_once(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            sent = await deliver(pool, 5)
            seen = []
            async for delivery in pool.inbox("run.b"):
                assert delivery.attempt == 1
                seen.append(delivery.message.message_id)
                await delivery.ack()
                if len(seen) == 5:
                    break
            assert seen == sent
            assert await peeked(pool.inbox("run.b")) == []

    async def test_a_message_is_handed_out_as_it_was_sent(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            message = a_message(reply_to="message.0", expires_at_millis=2**64 - 1)
            await pool.send(message)
            inbox = pool.inbox("run.b")
            assert await inbox.peek() == (message,)
            assert (await inbox.take()).message == message

    async def test_every_recipient_has_a_message_of_its_own(self) -> None:
        async with self.opened("run.a", "run.b", "run.c") as pool:
            await pool.send(a_message(to=RunAddress.pool(POOL)))
            assert await acked(pool.inbox("run.b"), 1) == ["message.1"]
            assert await peeked(pool.inbox("run.b")) == []
            assert await peeked(pool.inbox("run.c")) == ["message.1"]
            assert await peeked(pool.inbox("run.a")) == []

    async def test_looking_changes_nothing(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            sent = await deliver(pool, 3)
            inbox = pool.inbox("run.b")
            before = await payloads(pool.store)
            for _ in range(3):
                assert await peeked(inbox) == sent
            assert [each.message_id for each in await inbox.peek(2)] == sent[:2]
            assert await inbox.peek(0) == ()
            delivery = await inbox.take()
            assert (delivery.message.message_id, delivery.attempt) == ("message.1", 1)
            assert await peeked(inbox) == sent
            await delivery.ack()
            assert await peeked(inbox) == sent[1:]
            assert await payloads(pool.store) == before

    async def test_a_message_that_expires_in_the_inbox_is_not_handed_out(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await pool.send(a_message("short", expires_at_millis=clock() + 100))
            await pool.send(a_message("long", expires_at_millis=clock() + 101))
            inbox = pool.inbox("run.b")
            assert await peeked(inbox) == ["short", "long"]
            clock.advance(100)
            assert await peeked(inbox) == ["long"]
            assert await acked(inbox, 1) == ["long"]
            await nothing_comes(inbox.take(), pool)

    async def test_what_another_implementation_recorded_lands_in_the_inbox(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            accepted = a_message("message.1")
            await record(pool.store, accepted)
            assert await peeked(pool.inbox("run.b")) == []
            await record(pool.store, accepted, DELIVERED, delivered_to=["run.b", "run.c"])
            await record(pool.store, a_message("message.2"), DELIVERED, delivered_to=["run.b"])
            assert await acked(pool.inbox("run.b"), 2) == ["message.1", "message.2"]

    async def test_what_was_recorded_before_anybody_opened_the_pool_is_there(self) -> None:
        async with self.opened() as other:
            store = other.store
            await store.open_pool("pool.old")
            await store.join_member("pool.old", a_member("run.b"))
            for number in range(3):
                message = a_message(f"message.{number}")
                await record(store, message, DELIVERED, pool_id="pool.old", delivered_to=["run.b"])
            async with AgentPool.open(store, "pool.old") as pool:
                expected = [f"message.{number}" for number in range(3)]
                assert await acked(pool.inbox("run.b"), 3) == expected

    async def test_an_empty_inbox_waits_for_a_message_of_whichever_pool_object(self) -> None:
        async with self.opened("run.a", "run.b") as pool, AgentPool.open(pool.store, POOL) as other:
            taking = asyncio.ensure_future(acked(pool.inbox("run.b"), 2))
            await deliver(other, 1)
            foreign = a_message("message.2")
            await record(pool.store, foreign, DELIVERED, delivered_to=["run.b"])
            assert await taking == ["message.1", "message.2"]

    async def test_a_message_for_another_run_wakes_nobody_else(self) -> None:
        async with self.opened("run.a", "run.b", "run.c") as pool:
            await deliver(pool, 1)
            await nothing_comes(pool.inbox("run.c").take(), pool)

    async def test_many_consumers_of_one_run_share_its_messages(self) -> None:
        async with self.opened("run.a", "run.b", clock=wall_clock) as pool:
            await deliver(pool, 40)
            inboxes = [pool.inbox("run.b") for _ in range(4)]
            parts = await asyncio.gather(*(acked(each, 10) for each in inboxes))
            taken = [each for part in parts for each in part]
            assert sorted(taken) == sorted(f"message.{number}" for number in range(1, 41))

    async def test_a_run_that_left_finds_its_unacknowledged_messages(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await deliver(pool, 3)
            assert await acked(pool.inbox("run.b"), 1) == ["message.1"]
            await pool.leave_run("run.b")
            lost = await pool.send(a_message("message.lost"))
            assert lost.status is MessageStatus.FAILED
            await pool.join_run(a_member("run.b"))
            assert await peeked(pool.inbox("run.b")) == ["message.2", "message.3"]
            await pool.send(a_message("message.4"))
            expected = ["message.2", "message.3", "message.4"]
            assert await acked(pool.inbox("run.b"), 3) == expected

    async def test_an_acknowledged_message_does_not_come_again_by_sending_it_again(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await deliver(pool, 1)
            await acked(pool.inbox("run.b"), 1)
            await deliver(pool, 1)
            assert await peeked(pool.inbox("run.b")) == []

    async def test_what_makes_no_inbox_is_refused(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            for lease in (0, -1, float("nan"), float("inf")):
                await refusal(InvalidValueError, _made(pool, "run.b", lease))
            await refusal(InvalidValueError, _made(pool, "", 1))
            for limit in (-1, "1"):
                peeking = pool.inbox("run.b").peek(limit)  # type: ignore[arg-type]
                await refusal(InvalidValueError, peeking)
            await deliver(pool, 1)
            delivery = await pool.inbox("run.b").take()
            for delay in (-1, float("nan"), float("inf")):
                await refusal(InvalidValueError, delivery.nack(delay))
            await delivery.ack()


async def _made(pool: AgentPool, run_id: str, lease: float) -> None:
    pool.inbox(run_id, lease=lease)
