"""Deadlines: whoever has the pool open carries out what is due; else the next that opens it."""

import asyncio
from contextlib import aclosing
from typing import Final

from agentpool.pool import AgentPool
from agentpool.support.clock import wall_clock
from agentpool.testing.conformance.kit import POOL, payloads, record_wake
from agentpool.testing.conformance.pool_kit import (
    ManualClock,
    PoolKit,
    attempts,
    carry_out_due,
    deliver,
    wake_log,
)
from agentpool.testing.conformance.pool_wakes import a_wait, waiting
from agentpool.testing.values import a_condition, a_message
from agentpool.wire.event_kinds import EventKind
from agentpool.wire.filters import EventFilter
from agentpool.wire.records import (
    AgentPoolStoreRecordPayload,
    MemberLeft,
    MessageResponseContract,
    RunMessageRecorded,
    WakeRecorded,
)
from agentpool.wire.struct import include

__all__ = ("PAID", "PoolDeadlineTests", "named", "owe")

DUE = 1_000
NEVER: Final = EventFilter(kinds=include(EventKind.RUN_FAILED))

# What is recorded when all that `owe` promises has become due.
PAID: Final = {"wake.1 timed_out", "question timed_out", "perishable expired"}


class PoolDeadlineTests(PoolKit):
    """What happens in time, in one process or another."""

    async def test_nothing_is_carried_out_before_it_is_due(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await owe(pool, DUE)
            before = await payloads(pool.store)
            clock.advance(DUE - 1)
            await carry_out_due(pool)
            assert await payloads(pool.store) == before

    async def test_any_open_pool_carries_out_what_is_due(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            async with AgentPool.open(pool.store, POOL) as other:
                await owe(other, DUE)
            clock.advance(DUE)
            await carry_out_due(pool)
            assert await _paid(pool) == PAID

    async def test_what_fell_due_while_nothing_was_open_is_carried_out_at_open(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await owe(pool, DUE)
            before = await payloads(pool.store)
            await pool.aclose()
            clock.advance(DUE)
            assert await payloads(pool.store) == before
            async with AgentPool.open(pool.store, POOL) as later:
                assert await _paid(later) == PAID

    async def test_what_is_due_is_carried_out_without_anybody_asking(self) -> None:
        async with self.opened("run.a", "run.b", clock=wall_clock) as pool:
            await owe(pool, 40)
            waits = set(PAID)
            async with aclosing(pool.watch_pool()) as watch:
                while waits:
                    waits -= {named((await anext(watch)).payload)}  # type: ignore[arg-type]

    async def test_closing_one_pool_object_leaves_the_others_at_work(self) -> None:
        async with self.opened("run.a", "run.b", clock=wall_clock) as pool:
            async with AgentPool.open(pool.store, POOL):
                await waiting(pool, timeout_millis=60)
            assert (await pool.wait("wake.1")).registration.status == "timed_out"

    async def test_what_is_due_is_carried_out_once(self) -> None:
        clock = ManualClock()
        async with (
            self.opened("run.a", "run.b", clock=clock) as pool,
            AgentPool.open(pool.store, POOL) as other,
        ):
            await owe(pool, DUE)
            before = len(await payloads(pool.store))
            clock.advance(DUE)
            await asyncio.gather(*(carry_out_due(each) for each in (pool, other) * 5))
            assert await _paid(pool) == PAID
            assert len(await payloads(pool.store)) == before + len(PAID)

    async def test_what_is_due_is_carried_out_in_the_order_of_its_times(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            for timeout in (300, 100, 200):
                await waiting(pool, f"wake.{timeout}", timeout_millis=timeout)
            clock.advance(DUE)
            await carry_out_due(pool)
            ended = [named(each) for each in (await payloads(pool.store))[-3:]]  # type: ignore[arg-type]
            assert ended == [f"wake.{timeout} timed_out" for timeout in (100, 200, 300)]

    async def test_a_deadline_ends_with_what_it_was_for(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await waiting(pool, timeout_millis=DUE)
            await pool.cancel_wake("wake.1")
            clock.advance(DUE)
            await carry_out_due(pool)
            assert await wake_log(pool) == ["registered", "cancelled"]

    async def test_the_latest_deadline_there_can_be_is_kept(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await waiting(pool, timeout_millis=2**64 - 1)
            contract = MessageResponseContract(1, 2**64 - 1)
            message = a_message(expires_at_millis=2**64 - 1, response_contract=contract)
            await pool.send(message)
            before = await payloads(pool.store)
            clock.advance(10**12)
            await carry_out_due(pool)
            assert await payloads(pool.store) == before

    async def test_a_claim_of_a_closed_pool_runs_out(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await deliver(pool, 1)
            held = await pool.inbox("run.b").take()
            await pool.aclose()
            clock.advance(30_000)
            async with AgentPool.open(pool.store, POOL) as later:
                again = await later.inbox("run.b").take()
            assert attempts([held, again]) == [("message.1", 1), ("message.1", 2)]

    async def test_a_wait_of_another_implementation_has_its_deadline_too(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", clock=clock) as pool:
            from_elsewhere = a_condition(timeout_millis=DUE, filter=a_wait().filter)
            await record_wake(pool.store, from_elsewhere)
            clock.advance(DUE)
            await carry_out_due(pool)
            assert await wake_log(pool) == ["registered", "timed_out"]


async def owe(pool: AgentPool, millis: int) -> None:
    """Make one thing of each kind due after some time."""
    await waiting(pool, timeout_millis=millis, filter=NEVER)
    contract = MessageResponseContract(1, millis)
    await pool.send(a_message("question", response_contract=contract))
    expires_at = pool.store.clock() + millis
    await pool.send(a_message("perishable", expires_at_millis=expires_at))


async def _paid(pool: AgentPool) -> set[str]:
    return PAID & {named(each) for each in await payloads(pool.store)}  # type: ignore[arg-type]


def named(payload: AgentPoolStoreRecordPayload) -> str:
    """Say what a record tells, as `PAID` does."""
    match payload:
        case RunMessageRecorded(stored):
            return f"{stored.message.message_id} {stored.receipt.status}"
        case WakeRecorded(stored_wake):
            return f"{stored_wake.condition.condition_id} {stored_wake.registration.status}"
        case MemberLeft(member):
            return f"{member.run_id} left"
    return ""
