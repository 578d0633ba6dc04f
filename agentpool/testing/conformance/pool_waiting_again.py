"""Waits that are taken up again under their key, by a run that left and came back."""

import asyncio
from contextlib import aclosing

from agentpool.errors import IdempotencyConflictError, NotAMemberError
from agentpool.pool import AgentPool
from agentpool.testing.conformance.kit import refusal
from agentpool.testing.conformance.pool_kit import ManualClock, PoolKit, an_event, wake_log
from agentpool.testing.conformance.pool_presence import run_out
from agentpool.testing.values import a_member
from agentpool.wire.event_kinds import EventKind
from agentpool.wire.filters import EventFilter
from agentpool.wire.records import WakeRecorded, WakeRegistrationStatus
from agentpool.wire.struct import include

__all__ = ("PoolWaitingAgainTests",)

Status = WakeRegistrationStatus
MEMBER = a_member("run.a")
DONE = EventFilter(kinds=include(EventKind.RUN_COMPLETED))
FAILED = EventFilter(kinds=include(EventKind.RUN_FAILED))


class PoolWaitingAgainTests(PoolKit):
    """``me.wait_until(..., idempotency_key=...)`` after its run has left."""

    async def test_a_wait_goes_on_with_what_happened_while_the_run_was_away(self) -> None:
        async with self.opened("run.b") as pool:
            await _left_waiting(pool)
            await pool.publish(an_event(run_id="run.b"))
            async with pool.member(MEMBER) as me:
                outcome = await me.wait_until(DONE, idempotency_key="key.1")
                assert outcome.event_id == an_event(run_id="run.b").event_id
                assert await me.wait_until(DONE, idempotency_key="key.1") == outcome

    async def test_it_is_registered_again_until_the_event_comes(self) -> None:
        async with self.opened("run.b") as pool:
            for _ in range(3):
                await _left_waiting(pool)
            async with pool.member(MEMBER) as me:
                waits = asyncio.ensure_future(me.wait_until(DONE, idempotency_key="key.1"))
                await pool.publish(an_event(run_id="run.b"))
                assert (await waits).triggered
                await refusal(
                    IdempotencyConflictError, me.wait_until(FAILED, idempotency_key="key.1")
                )
            log = await wake_log(pool)
            assert log.count(Status.FAILED) == 3
            assert log.count(Status.TRIGGERED) == 1

    async def test_also_for_who_acts_for_a_run(self) -> None:
        async with self.opened("run.b") as pool:
            await _left_waiting(pool)
            acting = pool.acting_as(MEMBER)
            await refusal(NotAMemberError, acting.wait_until(DONE, idempotency_key="key.1"))
            await pool.join_run(MEMBER)
            await pool.publish(an_event(run_id="run.b"))
            assert (await acting.wait_until(DONE, idempotency_key="key.1")).triggered

    async def test_it_waits_for_the_rest_of_its_time(self) -> None:
        clock = ManualClock()
        async with self.opened("run.b", clock=clock) as pool:
            await _left_waiting(pool, seconds=10.0)
            clock.advance(10_000)
            async with pool.member(MEMBER) as me:
                for _ in range(2):
                    late = await me.wait_until(DONE, timeout=10.0, idempotency_key="key.1")
                    assert late.registration.status is Status.TIMED_OUT

    async def test_what_it_ended_with_after_a_lease_ran_out_is_what_it_gives_again(self) -> None:
        async with self.opened("run.b") as pool, pool.member(MEMBER) as me:
            waits = asyncio.ensure_future(me.wait_until(DONE, idempotency_key="key.1"))
            await _registered(pool)
            await run_out(pool)
            await pool.publish(an_event(run_id="run.b"))
            outcome = await waits
            assert outcome.triggered
            assert await me.wait_until(DONE, idempotency_key="key.1") == outcome


async def _left_waiting(pool: AgentPool, seconds: float | None = None) -> None:
    """Let a run leave that waits, without a word from the wait."""
    async with pool.member(MEMBER) as me:
        before = len(await wake_log(pool))
        waits = asyncio.ensure_future(me.wait_until(DONE, timeout=seconds, idempotency_key="key.1"))
        await _registered(pool, before)
        waits.cancel()
        await asyncio.wait([waits])


async def _registered(pool: AgentPool, before: int = 0) -> None:
    """Wait until a wait was registered after so many records of waits."""
    async with aclosing(pool.watch_pool()) as watch:
        async for record in watch:
            before -= isinstance(record.payload, WakeRecorded)
            if before < 0:
                return
