"""Claims: a message is with one consumer at a time, and comes back from one that is gone."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any
from unittest.mock import patch

from agentpool.errors import ClaimLostError
from agentpool.pool import AgentPool
from agentpool.rules.claiming import ClaimNext
from agentpool.rules.claims import Claim
from agentpool.rules.command import Command, PoolView
from agentpool.rules.rows import inbox_key
from agentpool.support.clock import wall_clock
from agentpool.testing.conformance.kit import PATIENCE, POOL, payloads, refusal
from agentpool.testing.conformance.pool_kit import (
    ManualClock,
    PoolKit,
    acked,
    attempts,
    deliver,
    nothing_comes,
    peeked,
)
from agentpool.testing.values import a_member, a_message
from agentpool.wire.records import MessageStatus

__all__ = ("PoolClaimTests", "claimed", "end_of_claim")

LEASE = 30_000


async def claimed(pool: AgentPool, lease: int = LEASE) -> Claim:
    """Claim the next message of ``run.b``, without anybody who would renew the claim."""
    claim = await pool.store.execute(POOL, ClaimNext("run.b", "run.b", lease))
    assert claim is not None
    return claim


def end_of_claim(view: PoolView) -> int:
    """Give when the claim in the inbox of ``run.b`` ends."""
    [row] = view.rows(inbox_key("run.b", 0).kind, "run.b", limit=2)
    return row.due_at


async def _never_rest(pool: AgentPool) -> None:
    """Append a record every few milliseconds, so that each look at the log finds one."""
    for number in range(10**6):
        await pool.send(a_message(f"traffic.{number}", expires_at_millis=0))
        await asyncio.sleep(0.005)


class PoolClaimTests(PoolKit):
    """``Inbox.take``, ``Delivery.ack``, ``Delivery.nack`` and leases."""

    async def test_a_claimed_message_is_handed_to_nobody_else(self) -> None:
        async with self.opened("run.a", "run.b") as pool, AgentPool.open(pool.store, POOL) as other:
            await deliver(pool, 2)
            first = await pool.inbox("run.b").take()
            second = await other.inbox("run.b").take()
            assert attempts([first, second]) == [("message.1", 1), ("message.2", 1)]
            await nothing_comes(other.inbox("run.b").take(), pool)

    async def test_claiming_and_ending_a_claim_append_nothing(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await deliver(pool, 2)
            before = await payloads(pool.store)
            inbox = pool.inbox("run.b")
            await (await inbox.take()).nack(delay=0)
            await acked(inbox, 2)
            assert await payloads(pool.store) == before

    async def test_a_returned_message_comes_again_with_the_next_attempt(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await deliver(pool, 2)
            inbox = pool.inbox("run.b")
            for attempt in range(1, 5):
                delivery = await inbox.take()
                assert attempts([delivery]) == [("message.1", attempt)]
                await delivery.nack(delay=0)
            assert await acked(inbox, 2) == ["message.1", "message.2"]

    async def test_a_returned_message_stays_away_for_its_delay(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await deliver(pool, 2)
            inbox = pool.inbox("run.b")
            await (await inbox.take()).nack(delay=5)
            assert await peeked(inbox) == ["message.1", "message.2"]
            assert await acked(inbox, 1) == ["message.2"]
            clock.advance(4_999)
            await nothing_comes(pool.inbox("run.b").take(), pool)
            clock.advance(1)
            assert attempts([await inbox.take()]) == [("message.1", 2)]

    async def test_a_returned_message_wakes_who_waits_for_one(self) -> None:
        async with self.opened("run.a", "run.b", clock=wall_clock) as pool:
            await deliver(pool, 1)
            delivery = await pool.inbox("run.b").take()
            waiting = asyncio.ensure_future(pool.inbox("run.b").take())
            await asyncio.sleep(0)
            await delivery.nack(delay=0.01)
            assert attempts([await waiting]) == [("message.1", 2)]

    async def test_a_claim_that_ran_out_returns_the_message_with_the_next_attempt(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await deliver(pool, 2)
            # By command: a delivery would renew its claim for as long as this test holds it.
            claims = [await claimed(pool)]
            clock.advance(LEASE - 1)
            claims.append(await claimed(pool))
            clock.advance(1)
            claims.append(await claimed(pool))
            found = [(each.message.message_id, each.attempt) for each in claims]
            assert found == [("message.1", 1), ("message.2", 1), ("message.1", 2)]

    async def test_a_stale_claim_can_neither_acknowledge_nor_return(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await deliver(pool, 1)
            stale = await pool.inbox("run.b").take()
            clock.advance(LEASE)
            await refusal(ClaimLostError, stale.ack())
            await refusal(ClaimLostError, stale.nack())
            current = await pool.inbox("run.b").take()
            await refusal(ClaimLostError, stale.ack())
            await refusal(ClaimLostError, stale.nack())
            await nothing_comes(pool.inbox("run.b").take(), pool)
            await current.ack()
            assert await peeked(pool.inbox("run.b")) == []

    async def test_a_claim_is_ended_once(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await deliver(pool, 2)
            inbox = pool.inbox("run.b")
            done = await inbox.take()
            await done.ack()
            await refusal(ClaimLostError, done.ack())
            await refusal(ClaimLostError, done.nack())
            returned = await inbox.take()
            await returned.nack(delay=0)
            await refusal(ClaimLostError, returned.ack())
            await refusal(ClaimLostError, returned.nack())
            assert attempts([await inbox.take()]) == [("message.2", 2)]

    async def test_a_refused_end_of_a_claim_names_pool_and_record(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await deliver(pool, 1)
            delivery = await pool.inbox("run.b").take()
            await delivery.ack()
            error = await refusal(ClaimLostError, delivery.ack())
            assert error.pool_id == POOL
            assert error.seq == len(await payloads(pool.store))

    async def test_a_claim_that_runs_out_is_seen_in_a_pool_that_never_rests(self) -> None:
        async with self.opened("run.a", "run.b", clock=wall_clock) as pool:
            taker = asyncio.ensure_future(pool.inbox("run.b").take())
            traffic = asyncio.ensure_future(_never_rest(pool))
            await asyncio.wait([taker], timeout=0.02)
            _, claim = await asyncio.gather(pool.send(a_message()), claimed(pool, lease=200))
            assert claim.attempt == 1
            async with asyncio.timeout(PATIENCE):
                delivery = await taker
            traffic.cancel()
            await asyncio.wait([traffic])
            assert attempts([delivery]) == [("message.1", 2)]

    async def test_one_of_two_who_wait_gets_a_message_and_the_other_waits_on(self) -> None:
        async with self.opened("run.a", "run.b") as pool, AgentPool.open(pool.store, POOL) as other:
            takers = [asyncio.ensure_future(each.inbox("run.b").take()) for each in (pool, other)]
            await asyncio.wait(takers, timeout=0.02)
            for number in (1, 2):
                await pool.send(a_message(f"message.{number}"))
                async with asyncio.timeout(PATIENCE):
                    while sum(taker.done() for taker in takers) < number:
                        await asyncio.wait(
                            [each for each in takers if not each.done()],
                            return_when=asyncio.FIRST_COMPLETED,
                        )
                assert sum(taker.done() for taker in takers) == number
            deliveries = [taker.result() for taker in takers]
            assert sorted(attempts(deliveries)) == [("message.1", 1), ("message.2", 1)]

    async def test_waiting_for_a_message_in_vain_takes_no_write_transaction(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            executed: list[object] = []
            execute = pool.store.execute

            def counting(pool_id: str, command: Command[Any]) -> Awaitable[Any]:
                executed.append(command)
                return execute(pool_id, command)

            with patch.object(pool.store, "execute", counting):
                await nothing_comes(pool.inbox("run.b").take(), pool)
            assert [each for each in executed if isinstance(each, ClaimNext)] == []

    async def test_a_member_that_returns_finds_what_it_held_when_it_left(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", clock=clock) as pool:
            with suppress(ZeroDivisionError):
                async with pool.member(a_member("run.b"), claim_lease=1) as me:
                    await deliver(pool, 1)
                    async for delivery in me.inbox:
                        assert delivery.attempt == 1
                        raise ZeroDivisionError
            clock.advance(1_000)
            async with pool.member(a_member("run.b")) as back:
                assert attempts([await back.inbox.take()]) == [("message.1", 1)]

    async def test_a_message_cancelled_while_it_is_held_can_still_be_acknowledged(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await deliver(pool, 1)
            delivery = await pool.inbox("run.b").take()
            await pool.record_message_status(a_message("message.1"), MessageStatus.CANCELLED)
            await delivery.ack()
            assert await peeked(pool.inbox("run.b")) == []

    async def test_no_message_is_ever_with_two_consumers(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await deliver(pool, 20)
            held: set[str] = set()
            done: list[str] = []

            async def consume(number: int) -> None:
                inbox = pool.inbox("run.b", lease=5)
                while True:
                    delivery = await inbox.take()
                    name = delivery.message.message_id
                    assert name not in held
                    held.add(name)
                    await asyncio.sleep(0)
                    held.remove(name)
                    if (delivery.attempt + number) % 3 == 0:
                        await delivery.nack(delay=0)
                        continue
                    await delivery.ack()
                    done.append(name)

            consumers = [asyncio.ensure_future(consume(number)) for number in range(5)]
            while len(done) < 20:
                finished, _ = await asyncio.wait(consumers, timeout=0.01)
                for task in finished:
                    task.result()
            for task in consumers:
                task.cancel()
            await asyncio.wait(consumers)
            assert sorted(done) == sorted(set(done))
