"""Renewing claims: for as long as somebody holds a delivery that has not ended, and no longer."""

import asyncio
import gc
from typing import Any
from unittest.mock import patch

from agentpool.errors import StoreBusyError
from agentpool.inbox import Delivery
from agentpool.rules.claims import Acknowledge
from agentpool.rules.command import Command
from agentpool.support.clock import wall_clock
from agentpool.testing.conformance.kit import payloads, refusal
from agentpool.testing.conformance.pool_claims import end_of_claim
from agentpool.testing.conformance.pool_kit import (
    ManualClock,
    PoolKit,
    attempts,
    deliver,
    outlive,
    peeked,
)

__all__ = ("PoolRenewingTests",)


class PoolRenewingTests(PoolKit):
    """What renews the claim of a `Delivery`, and what ends that."""

    async def test_a_claim_is_renewed_while_it_is_held(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await deliver(pool, 1)
            before = await payloads(pool.store)
            delivery = await pool.inbox("run.b", lease=0.3).take()
            other = asyncio.ensure_future(pool.inbox("run.b").take())
            await outlive(pool, clock, 300, end_of_claim)
            assert not other.done()
            await delivery.ack()
            await deliver(pool, 2)
            assert attempts([await other]) == [("message.2", 1)]
            assert (await payloads(pool.store))[: len(before)] == before

    async def test_a_claim_that_nobody_holds_any_more_runs_out(self) -> None:
        async with self.opened("run.a", "run.b", clock=wall_clock) as pool:
            await deliver(pool, 1)
            await pool.inbox("run.b", lease=0.1).take()
            gc.collect()
            assert attempts([await pool.inbox("run.b").take()]) == [("message.1", 2)]

    async def test_a_claim_is_renewed_in_whatever_task_it_is_held(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await deliver(pool, 1)
            held, done = asyncio.Event(), asyncio.Event()

            async def handle(delivery: Delivery) -> None:
                held.set()
                await done.wait()
                await delivery.ack()

            async def consume(handlers: "list[asyncio.Task[None]]") -> None:
                async for delivery in pool.inbox("run.b", lease=0.3):
                    handlers.append(asyncio.create_task(handle(delivery)))
                    del delivery  # nothing but the handler holds it

            handlers: list[asyncio.Task[None]] = []
            consumer = asyncio.create_task(consume(handlers))
            await held.wait()
            await outlive(pool, clock, 300, end_of_claim)
            consumer.cancel()
            await asyncio.wait([consumer])
            await outlive(pool, clock, 300, end_of_claim)
            done.set()
            await asyncio.gather(*handlers)
            assert await peeked(pool.inbox("run.b")) == []

    async def test_a_claim_is_renewed_for_as_long_as_its_limit_says(self) -> None:
        async with self.opened("run.a", "run.b", clock=wall_clock) as pool:
            await deliver(pool, 1)
            held = await pool.inbox("run.b", lease=0.05, claim_limit=0.1).take()
            assert attempts([await pool.inbox("run.b").take()]) == [("message.1", 2)]
            assert attempts([held]) == [("message.1", 1)]

    async def test_a_claim_whose_end_failed_is_renewed_until_that_succeeds(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await deliver(pool, 1)
            delivery = await pool.inbox("run.b", lease=0.3).take()
            execute = pool.store.execute

            async def busy(pool_id: str, command: Command[Any]) -> Any:
                if isinstance(command, Acknowledge):
                    msg = "somebody else writes"
                    raise StoreBusyError(msg)
                return await execute(pool_id, command)

            with patch.object(pool.store, "execute", busy):
                await refusal(StoreBusyError, delivery.ack())
            await outlive(pool, clock, 300, end_of_claim)
            await delivery.ack()
            assert await peeked(pool.inbox("run.b")) == []
