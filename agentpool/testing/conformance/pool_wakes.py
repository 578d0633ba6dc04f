"""Registering a wait: once per key, from the past or for the future, in one transaction."""

import asyncio
from typing import Any, Final

from msgspec.structs import replace

from agentpool.errors import IdempotencyConflictError, InvalidValueError, NotAMemberError
from agentpool.pool import AgentPool
from agentpool.rules.history import EventCursor
from agentpool.testing.conformance.kit import POOL, payloads, record, record_wake, refusal
from agentpool.testing.conformance.pool_kit import ManualClock, PoolKit, an_event, wake_log
from agentpool.testing.values import a_condition, a_member, a_message
from agentpool.wire.event_kinds import EventKind
from agentpool.wire.filters import EventFilter, PayloadAccessMode
from agentpool.wire.records import (
    START,
    AgentPoolStoreCursor,
    AgentPoolWakePolicy,
    MessageStatus,
    RunMessageRecorded,
    WakeCondition,
    WakeRecorded,
    WakeRegistration,
    WakeRegistrationStatus,
)
from agentpool.wire.refs import PolicyRef
from agentpool.wire.struct import Include, include

__all__ = ("DELIVERIES", "PoolWakeTests", "a_wait", "waiting")

REGISTERED = WakeRegistrationStatus.REGISTERED
TRIGGERED = WakeRegistrationStatus.TRIGGERED
DELIVERIES: Final = EventFilter(kinds=include(EventKind.RUN_MESSAGE_DELIVERED))
COMPLETIONS: Final = EventFilter(kinds=include(EventKind.RUN_COMPLETED))


def a_wait(condition_id: str = "wake.1", **fields: Any) -> WakeCondition:
    """Build the condition of a wait of ``run.a`` for a delivered message."""
    return a_condition(condition_id, **{"filter": DELIVERIES, **fields})


async def waiting(pool: AgentPool, condition_id: str = "wake.1", **fields: Any) -> WakeCondition:
    """Register a wait that nothing has ended yet."""
    condition = a_wait(condition_id, **fields)
    registration = await pool.suspend_until(condition.run_id, condition)
    assert registration.status is REGISTERED
    return condition


class PoolWakeTests(PoolKit):
    """``suspend_until``."""

    async def test_a_wait_for_what_has_not_happened_is_registered(self) -> None:
        async with self.opened("run.a") as pool:
            condition = a_wait()
            registration = await pool.suspend_until("run.a", condition)
            assert registration == WakeRegistration("wake.1", "run.a", REGISTERED)
            assert await pool.poll_wake("wake.1") == registration
            last = (await payloads(pool.store))[-1]
            assert isinstance(last, WakeRecorded)
            assert last.stored.condition == condition
            assert last.stored.registration == registration

    async def test_what_happened_before_triggers_at_once_in_one_record(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await pool.send(a_message())
            registration = await pool.suspend_until("run.a", a_wait())
            assert registration.status is TRIGGERED
            assert await wake_log(pool) == [TRIGGERED]

    async def test_what_happens_later_triggers_in_the_transaction_of_the_event(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await waiting(pool)
            others = (a_message(f"message.{number}") for number in range(10))
            await asyncio.gather(*(pool.send(each) for each in others))
            log = await payloads(pool.store)
            place = next(i for i, each in enumerate(log) if _is_wake(each, TRIGGERED))
            event = log[place - 1]
            assert isinstance(event, RunMessageRecorded)
            assert event.stored.receipt.status is MessageStatus.DELIVERED
            outcome = await pool.wait("wake.1")
            assert outcome.subject_ref is not None
            assert outcome.subject_ref.id == event.stored.message.message_id

    async def test_the_past_begins_where_the_cursor_says(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await pool.send(a_message())
            head = len(await payloads(pool.store))
            places: list[tuple[AgentPoolStoreCursor | None, WakeRegistrationStatus]] = [
                (None, TRIGGERED),
                (START, TRIGGERED),
                (AgentPoolStoreCursor(head - 1), TRIGGERED),
                (AgentPoolStoreCursor(head), REGISTERED),
                (EventCursor(head - 1, 0), TRIGGERED),
                (EventCursor(head, 0), REGISTERED),
            ]
            for number, (since, expected) in enumerate(places):
                condition = a_wait(f"wake.{number}")
                registration = await pool.suspend_until("run.a", condition, since=since)
                assert registration.status is expected, since

    async def test_the_past_of_host_events_begins_where_the_cursor_says(self) -> None:
        async with self.opened("run.a") as pool:
            head = len(await payloads(pool.store))
            await pool.publish(an_event("event.1"))
            places: list[tuple[AgentPoolStoreCursor | None, WakeRegistrationStatus]] = [
                (None, TRIGGERED),
                (AgentPoolStoreCursor(head), TRIGGERED),
                (EventCursor(head, 0), TRIGGERED),
                (EventCursor(head, 1), REGISTERED),
            ]
            for number, (since, expected) in enumerate(places):
                condition = a_wait(f"wake.{number}", filter=COMPLETIONS)
                registration = await pool.suspend_until("run.a", condition, since=since)
                assert registration.status is expected, since
                if expected is TRIGGERED:
                    assert (await pool.wait(f"wake.{number}")).event_id == "event.1"

    async def test_a_record_after_host_events_leaves_them_before_its_cursor(self) -> None:
        async with self.opened("run.a") as pool:
            await pool.publish(an_event("event.1"))
            await pool.join_run(a_member("run.b"))
            since = AgentPoolStoreCursor(len(await payloads(pool.store)))
            condition = a_wait(filter=COMPLETIONS)
            registration = await pool.suspend_until("run.a", condition, since=since)
            assert registration.status is REGISTERED

    async def test_the_first_match_is_the_one(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            for number in range(3):
                await pool.send(a_message(f"message.{number}"))
            await pool.suspend_until("run.a", a_wait())
            outcome = await pool.wait("wake.1")
            assert outcome.subject_ref is not None
            assert outcome.subject_ref.id == "message.0"

    async def test_a_long_past_is_searched_to_its_end(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await asyncio.gather(
                *(pool.publish(an_event(f"event.{number}")) for number in range(600))
            )
            await pool.send(a_message())
            assert (await pool.suspend_until("run.a", a_wait())).status is TRIGGERED
            last = a_wait("wake.2", filter=EventFilter(kinds=include(EventKind.RUN_FAILED)))
            assert (await pool.suspend_until("run.a", last)).status is REGISTERED

    async def test_what_another_implementation_records_triggers(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await waiting(pool)
            await record(pool.store, a_message(), MessageStatus.DELIVERED, delivered_to=["run.b"])
            assert (await pool.wait("wake.1")).registration.status is TRIGGERED

    async def test_another_implementation_looks_itself_at_what_was_before_its_wake(self) -> None:
        async with self.open_store(ManualClock()) as store:
            await store.open_pool(POOL)
            await store.join_member(POOL, a_member("run.a"))
            await record_wake(store, a_wait("wake.before"))
            await record(store, a_message(), MessageStatus.DELIVERED, delivered_to=["run.b"])
            await record_wake(store, a_wait("wake.after"))
            async with AgentPool.open(store, POOL) as pool:
                assert await wake_log(pool, "wake.before") == [REGISTERED, TRIGGERED]
                assert await wake_log(pool, "wake.after") == [REGISTERED]
                await record(store, a_message("message.2"), MessageStatus.DELIVERED)
                assert await wake_log(pool, "wake.after") == [REGISTERED, TRIGGERED]

    async def test_the_same_key_gives_the_same_registration(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            condition = await waiting(pool)
            again = replace(condition, condition_id="wake.2", timeout_millis=0)
            for each in (condition, again):
                registration = await pool.suspend_until("run.a", each)
                assert registration == WakeRegistration("wake.1", "run.a", REGISTERED)
            assert await wake_log(pool) == [REGISTERED]
            await pool.send(a_message())
            triggered = await pool.suspend_until("run.a", again)
            assert triggered == WakeRegistration("wake.1", "run.a", TRIGGERED)
            await pool.leave_run("run.a")
            assert await pool.suspend_until("run.a", condition) == triggered

    async def test_a_key_registered_by_many_at_once_is_registered_once(self) -> None:
        async with self.opened("run.a") as pool:
            conditions = [a_wait(f"wake.{number}", idempotency_key="key") for number in range(20)]
            registering = (pool.suspend_until("run.a", each) for each in conditions)
            assert len(set(await asyncio.gather(*registering))) == 1
            assert await wake_log(pool) == [REGISTERED]

    async def test_a_key_or_id_cannot_be_used_for_another_wait(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            condition = await waiting(pool)
            others = (
                replace(condition, run_id="run.b"),
                replace(condition, filter=COMPLETIONS),
                replace(condition, idempotency_key="key.2"),
            )
            for other in others:
                registering = pool.suspend_until(other.run_id, other)
                await refusal(IdempotencyConflictError, registering)
            assert await wake_log(pool) == [REGISTERED]

    async def test_only_a_member_can_wait_and_only_for_itself(self) -> None:
        async with self.opened("run.a") as pool:
            stranger = a_wait(run_id="run.x")
            await refusal(NotAMemberError, pool.suspend_until("run.x", stranger))
            await refusal(InvalidValueError, pool.suspend_until("run.b", a_wait()))
            assert await wake_log(pool) == []

    async def test_what_is_no_condition_or_cursor_is_refused(self) -> None:
        async with self.opened("run.a") as pool:
            nonsense: Any = "nonsense"
            await refusal(InvalidValueError, pool.suspend_until("run.a", nonsense))
            await refusal(InvalidValueError, pool.suspend_until("", a_wait()))
            registering = pool.suspend_until("run.a", a_wait(), since=nonsense)
            await refusal(InvalidValueError, registering)
            assert await wake_log(pool) == []

    async def test_an_unknown_condition_is_refused(self) -> None:
        async with self.opened("run.a") as pool:
            for call in (pool.poll_wake, pool.cancel_wake, pool.wait):
                error = await refusal(InvalidValueError, call("wake.unknown"))
                assert error.pool_id == POOL
                await refusal(InvalidValueError, call(""))

    async def test_what_becomes_of_a_wait_never_ends_a_wait(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            kinds = [each for each in EventKind if each.startswith("wake_condition_")]
            never = EventKind.RUN_FAILED
            conditions = (
                a_wait("wake.any", filter=EventFilter(agent_ids=include("agent.b"))),
                a_wait("wake.kinds", filter=EventFilter(kinds=include(*kinds, never))),
            )
            await pool.join_run(a_member("run.x", agent_id="agent.b"))
            head = AgentPoolStoreCursor(len(await payloads(pool.store)))
            for each in conditions:
                await pool.suspend_until("run.a", each, since=head)
            for number, timeout in enumerate((None, 0)):
                other = a_wait(f"other.{number}", run_id="run.x", timeout_millis=timeout)
                await pool.suspend_until("run.x", other)
            await pool.cancel_wake("other.0")
            for each in conditions:
                assert await wake_log(pool, each.condition_id) == [REGISTERED]
            await pool.publish(an_event(event_kind=kinds[0], agent_id="agent.b", run_id="run.x"))
            for each in conditions:
                assert await wake_log(pool, each.condition_id) == [REGISTERED]
            late = replace(conditions[1], condition_id="wake.late", idempotency_key="late")
            assert (await pool.suspend_until("run.a", late)).status is REGISTERED

    async def test_a_filter_that_nothing_could_match_is_refused(self) -> None:
        wakes = [each for each in EventKind if each.startswith("wake_condition_")]
        vain = (
            EventFilter(kinds=include(*wakes)),
            EventFilter(kinds=include(wakes[1]), tags=include("feature:agent_pool")),
            EventFilter(kinds=include(EventKind.RUN_STARTED), terminal_only=True),
            EventFilter(kinds=include(*wakes, EventKind.RUN_STARTED), terminal_only=True),
            EventFilter(kinds=Include(include=())),
            EventFilter(run_ids=Include(include=())),
            EventFilter(tags=Include(include=())),
        )
        async with self.opened("run.a") as pool:
            me = pool.acting_as(a_member("run.a"))
            before = await payloads(pool.store)
            for wanted in vain:
                condition = a_wait(filter=wanted)
                error = await refusal(InvalidValueError, pool.suspend_until("run.a", condition))
                assert "filter" in str(error)
                await refusal(InvalidValueError, me.wait_until(wanted))
            assert await payloads(pool.store) == before

    async def test_a_wait_sees_only_members_with_the_policies_of_the_pool(self) -> None:
        policy = PolicyRef(id="policy.1")
        members = (a_member("run.a", policy_refs=[policy]), a_member("run.b"))
        async with self.opened(*members, policy_refs=[policy]) as pool:
            await waiting(pool, filter=COMPLETIONS)
            await pool.publish(an_event("without policy", run_id="run.b"))
            assert await wake_log(pool) == [REGISTERED]
            late = await pool.suspend_until("run.a", a_wait("wake.2", filter=COMPLETIONS))
            assert late.status is REGISTERED
            await pool.publish(an_event("with policy", run_id="run.a"))
            for condition_id in ("wake.1", "wake.2"):
                assert (await pool.wait(condition_id)).event_id == "with policy"

    async def test_a_wake_policy_of_envelopes_only_narrows_the_filter(self) -> None:
        wanted = replace(DELIVERIES, payload_access=PayloadAccessMode.REDACTED_SUMMARY)
        for envelope_only, expected in (
            (True, PayloadAccessMode.ENVELOPE_ONLY),
            (False, PayloadAccessMode.REDACTED_SUMMARY),
        ):
            policy = AgentPoolWakePolicy(envelope_only=envelope_only)
            async with self.opened("run.a", wake_policy=policy) as pool:
                await waiting(pool, filter=wanted)
                stored = await pool.store.wake(POOL, "wake.1")
                assert stored is not None
                assert stored.compiled_filter.payload_access is expected
                assert stored.compiled_filter.criteria.payload_access is expected

    async def test_an_event_is_not_missed_because_its_sender_has_left(self) -> None:
        wanted = EventFilter(
            agent_ids=include("agent.b"), kinds=include(EventKind.RUN_MESSAGE_DELIVERED)
        )
        async with self.opened("run.a", a_member("run.b", agent_id="agent.b")) as pool:
            await pool.send(a_message(sender="run.b"))
            await pool.leave_run("run.b")
            assert (await pool.suspend_until("run.a", a_wait(filter=wanted))).status is TRIGGERED


def _is_wake(payload: object, status: WakeRegistrationStatus) -> bool:
    return isinstance(payload, WakeRecorded) and payload.stored.registration.status is status
