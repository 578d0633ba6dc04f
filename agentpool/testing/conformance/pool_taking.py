"""Taking from an inbox: with a timeout, cancelled, and past much that cannot be taken."""

import asyncio
import itertools
from typing import Final

from agentpool.errors import InvalidValueError
from agentpool.inbox import Delivery
from agentpool.pool import AgentPool
from agentpool.rules.claiming import ClaimNext
from agentpool.rules.command import INBOX, PoolView
from agentpool.support.clock import wall_clock
from agentpool.testing.cancellation import Moment, cancel_at
from agentpool.testing.conformance.kit import PATIENCE, POOL, refusal
from agentpool.testing.conformance.pool_kit import (
    ManualClock,
    PoolKit,
    acked,
    attempts,
    carry_out_due,
    deliver,
    message_log,
    peeked,
)
from agentpool.testing.values import a_message
from agentpool.wire.records import MessageStatus

__all__ = ("PoolTakingTests",)

MANY: Final = 700
LONG: Final = 2**40


class PoolTakingTests(PoolKit):
    """``Inbox.take``."""

    async def test_a_take_that_finds_nothing_in_time_gives_nothing(self) -> None:
        async with self.opened("run.a", "run.b", clock=wall_clock) as pool:
            inbox = pool.inbox("run.b")
            for seconds in (0, 0.001, 0.05):
                assert await inbox.take(timeout=seconds) is None
            await deliver(pool, 1)
            assert await acked(inbox, 1) == ["message.1"]

    async def test_a_take_finds_what_is_there_however_short_its_time(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await deliver(pool, 3)
            inbox = pool.inbox("run.b")
            found = [await inbox.take(timeout=seconds) for seconds in (0, 0, 0.001)]
            sent = [("message.1", 1), ("message.2", 1), ("message.3", 1)]
            assert attempts([each for each in found if each]) == sent
            assert await inbox.take(timeout=0) is None

    async def test_a_wait_says_that_a_message_can_be_taken_and_takes_none(self) -> None:
        async with self.opened("run.a", "run.b", clock=wall_clock) as pool:
            inbox = pool.inbox("run.b")
            assert not await inbox.wait(0)
            await refusal(InvalidValueError, inbox.wait(-1))
            waiting = asyncio.create_task(inbox.wait(PATIENCE))
            await asyncio.wait([waiting], timeout=0.02)
            await deliver(pool, 1)
            assert await waiting
            assert await inbox.wait(0)
            delivery = await inbox.take()
            assert delivery.attempt == 1
            assert not await inbox.wait(0)
            waiting = asyncio.create_task(inbox.wait())
            await delivery.nack(0.01)
            assert await waiting

    async def test_a_take_with_much_time_is_given_what_comes_meanwhile(self) -> None:
        async with self.opened("run.a", "run.b", clock=wall_clock) as pool:
            taking = asyncio.create_task(pool.inbox("run.b").take(timeout=PATIENCE))
            await asyncio.wait([taking], timeout=0.02)
            await deliver(pool, 1)
            delivery = await taking
            assert delivery is not None
            assert attempts([delivery]) == [("message.1", 1)]

    async def test_times_that_make_no_sense_are_refused(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await deliver(pool, 1)
            for wrong in (-1, float("nan"), float("inf"), "1"):
                await refusal(InvalidValueError, pool.inbox("run.b").take(wrong))  # type: ignore[arg-type]
            assert await acked(pool.inbox("run.b"), 1) == ["message.1"]

    async def test_a_cancelled_take_leaves_the_message_as_it_was(self) -> None:
        for moment in Moment:
            async with self.opened("run.a", "run.b") as pool:
                for suspension in itertools.count():
                    await pool.send(a_message(f"message.{suspension}"))
                    taken, reached = await _cancelled(pool, suspension, moment)
                    again = taken or await pool.inbox("run.b").take(timeout=0)
                    assert again is not None, (moment, suspension)
                    assert attempts([again]) == [(f"message.{suspension}", 1)], moment
                    await again.ack()
                    if not reached:
                        break

    async def test_a_take_cancelled_as_a_message_comes_leaves_it_as_it_was(self) -> None:
        for moment in Moment:
            async with self.opened("run.a", "run.b", clock=wall_clock) as pool:
                for suspension in itertools.count():
                    sending = asyncio.create_task(pool.send(a_message(f"message.{suspension}")))
                    taken, reached = await _cancelled(pool, suspension, moment)
                    await sending
                    delivery = taken or await pool.inbox("run.b").take()
                    assert attempts([delivery]) == [(f"message.{suspension}", 1)], moment
                    await delivery.ack()
                    if not reached:
                        break

    # --- what stands in front

    async def test_what_has_expired_stands_in_nobodys_way(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            expiring = [
                a_message(f"short.{number}", expires_at_millis=clock() + 1000)
                for number in range(MANY)
            ]
            await asyncio.gather(*(pool.send(each) for each in expiring))
            await deliver(pool, 2)
            clock.advance(1000)
            assert await acked(pool.inbox("run.b"), 1) == ["message.1"]
            assert await peeked(pool.inbox("run.b")) == ["message.2"]
            await _all_carried_out(pool, MANY)
            assert await pool.store.query(POOL, _unacknowledged) == 1

    async def test_what_was_cancelled_stands_in_nobodys_way(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            sent = await deliver(pool, 100)
            for message_id in sent[:99]:
                await pool.record_message_status(a_message(message_id), MessageStatus.CANCELLED)
            assert await pool.store.query(POOL, _unacknowledged) == 1
            assert await acked(pool.inbox("run.b"), 1) == sent[99:]

    async def test_what_an_answered_message_leaves_behind_is_gone_when_it_expires(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            message = a_message(expires_at_millis=clock() + 1000)
            await pool.send(message)
            await pool.record_message_status(message, MessageStatus.RESPONDED)
            assert await peeked(pool.inbox("run.b")) == ["message.1"]
            clock.advance(1000)
            await carry_out_due(pool)
            assert await pool.store.query(POOL, _unacknowledged) == 0
            assert (await message_log(pool))[-1] is MessageStatus.RESPONDED

    async def test_what_is_delayed_or_claimed_stands_in_nobodys_way(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            sent = await deliver(pool, 200)
            inbox = pool.inbox("run.b", lease=LONG / 1000)
            held = [await inbox.take() for _ in range(180)]
            await asyncio.gather(*(delivery.nack(delay=5) for delivery in held[::2]))
            assert await acked(inbox, 3) == sent[180:183]
            clock.advance(5000)
            back = [delivery.message.message_id for delivery in held[::2]]
            assert await acked(inbox, len(back)) == back

    async def test_all_that_is_in_a_large_inbox_is_shown(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            sent = await deliver(pool, 300)
            inbox = pool.inbox("run.b")
            assert [each.message_id for each in await inbox.peek(10**6)] == sent
            for limit in (0, 1, 31, 32, 33, 64, 300):
                assert [each.message_id for each in await inbox.peek(limit)] == sent[:limit]

    async def test_claims_that_run_out_at_once_come_in_the_order_of_the_log(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            sent = await deliver(pool, 40)
            for number in range(40):
                lease = 1000 - 7 * number  # the last is the first to run out
                assert await pool.store.execute(POOL, ClaimNext("run.b", "test", lease))
            clock.advance(1000)
            assert await acked(pool.inbox("run.b"), 40) == sent


async def _cancelled(
    pool: AgentPool, suspension: int, moment: Moment
) -> tuple[Delivery | None, bool]:
    """Cancel a take at one place; give what it has given all the same, and whether it was there."""
    taken: list[Delivery] = []

    async def take() -> None:
        taken.append(await pool.inbox("run.b").take())

    async with asyncio.timeout(PATIENCE):
        reached = await cancel_at(suspension, take, moment=moment)
    return (taken[0] if taken else None), reached


async def _all_carried_out(pool: AgentPool, count: int) -> None:
    """Wait until all that has expired is recorded."""
    async with asyncio.timeout(PATIENCE):
        while (await message_log(pool)).count(MessageStatus.EXPIRED) < count:
            await carry_out_due(pool)


def _unacknowledged(view: PoolView) -> int:
    return len(view.rows(INBOX, "run.b", limit=2**31))
