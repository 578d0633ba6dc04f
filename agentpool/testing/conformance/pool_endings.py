"""How a wait ends: match, time, cancelling and leaving compete, and the first one is final."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final, TypeAlias

from agentpool.errors import InvalidTransitionError
from agentpool.pool import AgentPool
from agentpool.rules.waits import WakeOutcome
from agentpool.support.clock import wall_clock
from agentpool.testing.conformance.kit import POOL, outcome_of, payloads, refusal
from agentpool.testing.conformance.pool_kit import (
    ManualClock,
    PoolKit,
    an_event,
    carry_out_due,
    nothing_comes,
    wake_log,
)
from agentpool.testing.conformance.pool_wakes import a_wait, waiting
from agentpool.testing.values import a_member, a_message
from agentpool.wire.event_kinds import EventKind
from agentpool.wire.filters import EventFilter
from agentpool.wire.records import (
    MemberLeft,
    ResumeInputPolicy,
    RunAddress,
    WakeRecorded,
    WakeRegistration,
)
from agentpool.wire.records import WakeRegistrationStatus as Status
from agentpool.wire.refs import EntityKind, EntityRef
from agentpool.wire.struct import include

__all__ = ("PoolEndingTests",)

TIMEOUT = 1_000
Ending: TypeAlias = Callable[[AgentPool, ManualClock], Awaitable[object]]


async def _time_out(pool: AgentPool, clock: ManualClock) -> None:
    clock.advance(TIMEOUT)
    await carry_out_due(pool)


async def _leave_and_return(pool: AgentPool, _clock: ManualClock) -> None:
    await pool.leave_run("run.a")
    await pool.join_run(a_member("run.a"))


ENDINGS: Final[dict[Status, Ending]] = {
    Status.TRIGGERED: lambda pool, _: pool.send(a_message()),
    Status.TIMED_OUT: _time_out,
    Status.CANCELLED: lambda pool, _: outcome_of(pool.cancel_wake("wake.1")),
    Status.FAILED: _leave_and_return,
}


class PoolEndingTests(PoolKit):
    """``wait``, ``poll_wake``, ``cancel_wake`` and ``WakeOutcome``."""

    async def test_the_first_end_is_final(self) -> None:
        for status, ending in ENDINGS.items():
            clock = ManualClock()
            async with self.opened("run.a", "run.b", clock=clock) as pool:
                await waiting(pool, timeout_millis=TIMEOUT)
                for each in (ending, *ENDINGS.values()):
                    await each(pool, clock)
                assert await wake_log(pool) == [Status.REGISTERED, status]
                registration = WakeRegistration("wake.1", "run.a", status)
                assert await pool.poll_wake("wake.1") == registration
                assert (await pool.wait("wake.1")).registration == registration

    async def test_every_end_wakes_who_waits_for_it(self) -> None:
        for status, ending in ENDINGS.items():
            clock = ManualClock()
            async with (
                self.opened("run.a", "run.b", clock=clock) as pool,
                AgentPool.open(pool.store, POOL) as other,
            ):
                await waiting(pool, timeout_millis=TIMEOUT)
                waits = [asyncio.ensure_future(each.wait("wake.1")) for each in (pool, other) * 5]
                await asyncio.wait(waits, timeout=0.02)
                await ending(pool, clock)
                outcomes = set(await asyncio.gather(*waits))
                assert [each.registration.status for each in outcomes] == [status]
                assert all(each.triggered == (status is Status.TRIGGERED) for each in outcomes)

    async def test_a_wait_goes_on_while_nothing_ends_it(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await waiting(pool)
            await pool.publish(an_event())
            await pool.leave_run("run.b")
            await nothing_comes(pool.wait("wake.1"), pool)
            assert await wake_log(pool) == [Status.REGISTERED]

    async def test_waiting_ends_only_its_own_wake(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await waiting(pool, "wake.1")
            await waiting(pool, "wake.2")
            assert (await pool.cancel_wake("wake.2")).status is Status.CANCELLED
            await nothing_comes(pool.wait("wake.1"), pool)

    async def test_one_event_ends_all_waits_that_it_matches(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            for run_id in ("run.a", "run.b"):
                for number in range(5):
                    await waiting(pool, f"wake.{run_id}.{number}", run_id=run_id)
            await waiting(pool, "other", filter=EventFilter(kinds=include(EventKind.RUN_FAILED)))
            before = len(await payloads(pool.store))
            await pool.send(a_message())
            assert len(await payloads(pool.store)) == before + 2 + 10
            assert await wake_log(pool, "other") == [Status.REGISTERED]

    async def test_no_time_times_out_at_once_when_nothing_matches(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            registration = await pool.suspend_until("run.a", a_wait(timeout_millis=0))
            assert registration == WakeRegistration("wake.1", "run.a", Status.TIMED_OUT)
            assert await wake_log(pool) == [Status.TIMED_OUT]
            await pool.send(a_message())
            assert await pool.wait("wake.1") == WakeOutcome(registration)
            matched = await pool.suspend_until("run.a", a_wait("wake.2", timeout_millis=0))
            assert matched.status is Status.TRIGGERED

    async def test_time_runs_from_the_registration(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await waiting(pool, timeout_millis=TIMEOUT)
            clock.advance(TIMEOUT - 1)
            assert (await pool.poll_wake("wake.1")).status is Status.REGISTERED
            await pool.suspend_until("run.a", a_wait(timeout_millis=TIMEOUT))
            clock.advance(1)
            assert (await pool.poll_wake("wake.1")).status is Status.TIMED_OUT

    async def test_a_timeout_does_not_end_the_membership(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", clock=clock) as pool:
            await waiting(pool, timeout_millis=TIMEOUT)
            await _time_out(pool, clock)
            assert await pool.members() == (a_member("run.a"),)

    async def test_an_event_after_the_time_is_up_comes_too_late(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await waiting(pool, timeout_millis=TIMEOUT)
            clock.advance(TIMEOUT)
            await pool.send(a_message())
            assert await wake_log(pool) == [Status.REGISTERED, Status.TIMED_OUT]

    async def test_cancelling_twice_gives_the_same_registration(self) -> None:
        async with self.opened("run.a") as pool:
            await waiting(pool)
            first = await pool.cancel_wake("wake.1")
            assert first == WakeRegistration("wake.1", "run.a", Status.CANCELLED)
            assert await pool.cancel_wake("wake.1") == first
            assert await wake_log(pool) == [Status.REGISTERED, Status.CANCELLED]

    async def test_what_has_ended_otherwise_cannot_be_cancelled(self) -> None:
        for status, ending in ENDINGS.items():
            if status is Status.CANCELLED:
                continue
            clock = ManualClock()
            async with self.opened("run.a", "run.b", clock=clock) as pool:
                await waiting(pool, timeout_millis=TIMEOUT)
                await ending(pool, clock)
                await refusal(InvalidTransitionError, pool.cancel_wake("wake.1"))
                assert await wake_log(pool) == [Status.REGISTERED, status]

    async def test_leaving_fails_the_waits_of_the_run_right_after_its_record(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await waiting(pool, "wake.1")
            await waiting(pool, "wake.2")
            await waiting(pool, "wake.3", run_id="run.b")
            await pool.leave_run("run.a")
            assert isinstance((await payloads(pool.store))[-3], MemberLeft)
            for condition_id in ("wake.1", "wake.2"):
                assert (await wake_log(pool, condition_id))[-1] == Status.FAILED
            assert await wake_log(pool, "wake.3") == [Status.REGISTERED]

    async def test_an_outcome_has_what_the_wait_asked_for(self) -> None:
        event = an_event()
        expected = {
            ResumeInputPolicy.MATCHING_EVENT_REFS: {
                "event_id": event.event_id,
                "event_kind": event.event_kind,
                "subject_ref": event.subject_ref,
                "related_refs": event.related_refs,
            },
            ResumeInputPolicy.REDACTED_SUMMARY: {"redacted_summary": "a run ended"},
            ResumeInputPolicy.NONE: {},
        }
        wanted = EventFilter(kinds=include(EventKind.RUN_COMPLETED))
        async with self.opened("run.a") as pool:
            for policy in expected:
                await waiting(pool, f"live.{policy}", resume_with=policy, filter=wanted)
            await pool.publish(event)
            for policy, fields in expected.items():
                late = a_wait(f"late.{policy}", resume_with=policy, filter=wanted)
                await pool.suspend_until("run.a", late)
                for when in ("live", "late"):
                    outcome = await pool.wait(f"{when}.{policy}")
                    registration = WakeRegistration(f"{when}.{policy}", "run.a", Status.TRIGGERED)
                    assert outcome == WakeOutcome(registration, **fields)  # type: ignore[arg-type]

    async def test_an_outcome_of_a_message_refers_to_it(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await waiting(pool)
            await pool.send(a_message())
            outcome = await pool.wait("wake.1")
            assert outcome.event_kind is EventKind.RUN_MESSAGE_DELIVERED
            summary = "run message delivered"
            assert outcome.subject_ref == EntityRef(
                EntityKind.MESSAGE, "message.1", redacted_summary=summary
            )
            assert outcome.related_refs == (EntityRef(EntityKind.RUN, "run.b"),)

    async def test_an_outcome_is_kept_for_whoever_comes_later(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await waiting(pool)
            await pool.send(a_message())
            outcome = await pool.wait("wake.1")
            await pool.leave_run("run.a")
            await pool.aclose()
            async with AgentPool.open(pool.store, POOL) as later:
                assert await later.wait("wake.1") == outcome
                assert await later.wait("wake.1") == outcome

    async def test_an_end_without_an_event_has_only_the_registration(self) -> None:
        async with self.opened("run.a") as pool:
            await waiting(pool)
            registration = await pool.cancel_wake("wake.1")
            assert await pool.wait("wake.1") == WakeOutcome(registration)

    async def test_a_member_waits_in_one_call(self) -> None:
        wanted = a_wait().filter
        async with (
            self.opened("run.b", clock=wall_clock) as pool,
            pool.member(a_member("run.a")) as me,
        ):
            late = await me.wait_until(wanted, timeout=0.02, idempotency_key="late")
            assert late.registration.status is Status.TIMED_OUT
            waits = asyncio.ensure_future(me.wait_until(wanted, idempotency_key="key"))
            await asyncio.wait([waits], timeout=0.02)
            await me.send(RunAddress.run("run.b"), content_ref="content.1")
            outcome = await waits
            assert outcome.triggered
            assert await me.wait_until(wanted, idempotency_key="key") == outcome

    async def test_a_cancelled_wait_stays_registered_only_under_a_key_of_its_own(self) -> None:
        async with self.opened("run.b") as pool, pool.member(a_member("run.a"), None) as me:
            for key, expected in ((None, Status.CANCELLED), ("key", Status.REGISTERED)):
                waits = asyncio.ensure_future(me.wait_until(a_wait().filter, idempotency_key=key))
                await _registered(pool, 1 if key is None else 2)
                waits.cancel()
                await asyncio.wait([waits])
                assert (await wake_log(pool))[-1] == expected


async def _registered(pool: AgentPool, count: int) -> None:
    """Wait until so many waits were registered."""
    async with aclosing(pool.watch_pool()) as watch:
        async for record in watch:
            count -= isinstance(record.payload, WakeRecorded) and (
                record.payload.stored.registration.status is Status.REGISTERED
            )
            if not count:
                return
