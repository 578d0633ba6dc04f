"""The event that each record is: the same one for everybody, with the right refs."""

import asyncio
from contextlib import aclosing
from typing import Final

from agentpool.pool import AgentPool
from agentpool.support.clock import wall_clock
from agentpool.testing.conformance.kit import POOL, outcome_of, record, record_wake
from agentpool.testing.conformance.pool_kit import ManualClock, PoolKit, events_of, nothing_comes
from agentpool.testing.conformance.pool_wakes import a_wait
from agentpool.testing.values import a_condition, a_member, a_message
from agentpool.wire.event_kinds import EventFamily, EventKind
from agentpool.wire.events import ContentCaptureMode, EventDeliverySemantics, EventEnvelope
from agentpool.wire.filters import EventFilter
from agentpool.wire.records import (
    AgentPoolStoreCursor,
    AgentPoolStoreRecordPayload,
    MemberJoined,
    MemberLeft,
    MessageStatus,
    PoolCreated,
    RunAddress,
    RunMessageRecorded,
    WakeRecorded,
    WakeRegistrationStatus,
)
from agentpool.wire.refs import (
    CorrelationEntry,
    DestinationKind,
    DestinationRef,
    EntityKind,
    EntityRef,
    EventCorrelation,
    PolicyRef,
    PrivacyClass,
    SourceKind,
)
from agentpool.wire.struct import include

__all__ = ("PoolEventTests",)

P1 = PolicyRef(id="policy.1")
CORRELATION: Final = EventCorrelation((CorrelationEntry("job", "1"),))
MEMBERS: Final = (
    a_member("run.a", agent_id="agent.1"),
    a_member("run.b", agent_id="agent.2", policy_refs=[P1]),
    a_member("run.c", agent_id="agent.2", policy_refs=[P1]),
)


class PoolEventTests(PoolKit):
    """The events of records."""

    async def test_every_record_but_the_opening_is_an_event_of_its_kind(self) -> None:
        async with self.opened(*MEMBERS) as pool:
            await _make_every_kind(pool)
            records = (await pool.store.read(POOL))[1:]
            events = await events_of(pool, len(records))
            expected = [_kind(each.payload) for each in records]  # type: ignore[arg-type]
            assert [each.event_kind for each in events] == expected
            assert [each.event_seq for each in events] == [r.cursor.sequence for r in records]
            of_records = {kind for kind in EventKind if kind.startswith(_PREFIXES)}
            assert set(expected) == of_records

    async def test_all_events_of_records_have_the_same_frame(self) -> None:
        async with self.opened(*MEMBERS) as pool:
            await _make_every_kind(pool)
            count = len(await pool.store.read(POOL)) - 1
            for event in await events_of(pool, count):
                assert (event.schema_version, event.payload_schema_version) == (1, 1)
                assert event.event_family is EventFamily.AGENT_POOL
                assert event.source.kind is SourceKind.SDK
                assert event.delivery_semantics is EventDeliverySemantics.JOURNAL_BACKED
                assert event.privacy is PrivacyClass.CONTENT_REFS_ONLY
                assert event.content_capture is ContentCaptureMode.OFF
                assert event.tags == ("feature:agent_pool",)

    async def test_a_record_has_the_same_event_for_everybody(self) -> None:
        async with self.opened(*MEMBERS, clock=wall_clock) as pool:
            await _make_every_kind(pool)
            count = len(await pool.store.read(POOL)) - 1
            events = await events_of(pool, count)
            assert len({each.event_id for each in events}) == count
            async with AgentPool.open(pool.store, POOL) as other:
                assert await events_of(other, count) == events

    async def test_events_of_two_pools_have_different_ids(self) -> None:
        async with self.opened(*MEMBERS) as pool, AgentPool.open(pool.store, "other") as other:
            await other.join_run(MEMBERS[0])
            ours = {each.event_id for each in await events_of(pool, 4)}
            theirs = {each.event_id for each in await events_of(other, 2)}
            assert not ours & theirs

    async def test_the_event_of_a_message_refers_to_all_it_concerns(self) -> None:
        to = RunAddress.agent("agent.2")
        message = a_message(to=to, correlation=CORRELATION, policy_refs=[P1])
        async with self.opened(*MEMBERS) as pool:
            await pool.send(message)
            events = await events_of(pool, 2, await _before(pool, 2))
            for event in events:
                assert (event.run_id, event.agent_id) == ("run.a", "agent.1")
                assert event.message_id == "message.1"
                assert event.subject_ref == _subject(event, EntityKind.MESSAGE, "message.1")
                assert event.destination == to.destination_ref
                assert event.policy_refs == (P1,)
                assert event.correlation == CORRELATION
            assert set(events[1].related_refs) == {*to.related_refs, *_runs("run.b", "run.c")}

    async def test_related_refs_come_sorted_and_each_once(self) -> None:
        async with self.opened(*MEMBERS) as pool:
            await pool.send(a_message(to=RunAddress.run("run.b")))
            [_, direct] = await events_of(pool, 2, await _before(pool, 2))
            assert direct.related_refs == _runs("run.b")
            message = a_message("message.2", to=RunAddress.agent("agent.2"))
            status = MessageStatus.DELIVERED
            await pool.record_message_status(message, status, ["run.c", "run.b", "run.c"])
            [recorded] = await events_of(pool, 1, await _before(pool, 1))
            runs = [each for each in recorded.related_refs if each.kind is EntityKind.RUN]
            assert runs == [*_runs("run.b", "run.c")]

    async def test_the_event_of_a_wait_refers_to_the_run_and_the_condition(self) -> None:
        condition = a_condition(run_id="run.b", policy_refs=[P1], filter=a_wait().filter)
        async with self.opened(*MEMBERS) as pool:
            await pool.suspend_until("run.b", condition)
            await pool.cancel_wake("wake.1")
            for event in await events_of(pool, 2, await _before(pool, 2)):
                assert (event.run_id, event.agent_id) == ("run.b", "agent.2")
                assert event.subject_ref == _subject(event, EntityKind.WAKE_CONDITION, "wake.1")
                assert set(event.related_refs) == {*_runs("run.b"), event.subject_ref}
                assert event.destination == DestinationRef(DestinationKind.AGENT, "run.b")

    async def test_an_event_has_the_journal_cursor_of_its_record(self) -> None:
        async with self.opened(*MEMBERS) as pool:
            await record(pool.store, a_message(), journal_cursor="journal.1")
            await record_wake(pool.store, a_condition(), journal_cursor="journal.2")
            events = await events_of(pool, 2, await _before(pool, 2))
            assert [event.journal_cursor for event in events] == ["journal.1", "journal.2"]

    async def test_the_event_of_a_membership_refers_to_the_run(self) -> None:
        async with self.opened(*MEMBERS) as pool:
            await pool.leave_run("run.b")
            await pool.join_run(MEMBERS[1])
            for event in await events_of(pool, 2, await _before(pool, 2)):
                assert (event.run_id, event.agent_id) == ("run.b", "agent.2")
                assert event.subject_ref == _subject(event, EntityKind.RUN, "run.b")
                assert event.destination is not None
                assert event.destination.id == "run.b"

    async def test_an_event_is_the_same_after_its_sender_has_left(self) -> None:
        async with self.opened(*MEMBERS) as pool:
            await pool.send(a_message())
            before = await events_of(pool, 6)
            await pool.leave_run("run.a")
            assert await events_of(pool, 6) == before

    async def test_the_kind_of_a_record_in_words_is_its_summary(self) -> None:
        async with self.opened(*MEMBERS) as pool:
            await _make_every_kind(pool)
            count = len(await pool.store.read(POOL)) - 1
            summaries = [each.subject_ref.redacted_summary for each in await events_of(pool, count)]
            assert summaries[:2] == ["agent pool created", "agent pool run joined"]
            assert {"run message timed out", "wake condition failed"} <= {*summaries}

    async def test_a_pool_comes_to_life_for_its_first_member(self) -> None:
        async with self.opened(*MEMBERS) as pool:
            [created] = await events_of(pool, 1, kinds=include(EventKind.AGENT_POOL_CREATED))
            assert (created.run_id, created.agent_id) == ("run.a", "agent.1")
            assert created.subject_ref == _subject(created, EntityKind.AGENT_POOL, POOL)
            assert await events_of(pool, 1, run_ids=include("run.a")) == [created]
            await pool.leave_run("run.a")
            assert await events_of(pool, 1) == [created]

    async def test_a_pool_that_came_to_life_for_nobody_is_told_of_with_the_next_record(
        self,
    ) -> None:
        async with self.opened() as pool:
            await pool.store.record_pool_created(POOL)
            async with aclosing(pool.subscribe(EventFilter())) as events:
                first = asyncio.ensure_future(anext(events))
                await nothing_comes(asyncio.shield(first), pool)
                await pool.join_run(MEMBERS[1])
                assert (await first).run_id == "run.b"

    async def test_policies_hide_that_a_pool_came_to_life_for_one_without(self) -> None:
        for refs, first in (([P1], "agent_pool_created"), ([], "agent_pool_run_joined")):
            members = (a_member("run.x", policy_refs=refs), MEMBERS[1])
            async with self.opened(*members, policy_refs=[P1]) as pool:
                assert (await events_of(pool, 1))[0].event_kind == first

    async def test_an_event_says_when_its_record_was_appended(self) -> None:
        clock = ManualClock(1_893_456_000_123)
        async with self.opened("run.a", clock=clock) as pool:
            clock.advance(1_000)
            await pool.join_run(a_member("run.b"))
            created, _, joined = await events_of(pool, 3)
            assert created.timestamp == created.recorded_at == "2030-01-01T00:00:00.123Z"
            assert joined.recorded_at == "2030-01-01T00:00:01.123Z"


_PREFIXES: Final = ("agent_pool_", "run_message_", "wake_condition_")


async def _make_every_kind(pool: AgentPool) -> None:
    """Append records of every kind and status, all of members that stay or come back."""
    for status in MessageStatus:
        await pool.record_message_status(a_message(f"message.{status}"), status, ["run.b"])
    for wake_status in WakeRegistrationStatus:
        condition = a_wait(f"wake.{wake_status}")
        await record_wake(pool.store, condition, wake_status)
    await outcome_of(pool.cancel_wake("wake.registered"))
    await pool.leave_run("run.c")
    await pool.join_run(MEMBERS[2])


def _kind(payload: AgentPoolStoreRecordPayload) -> EventKind:
    match payload:
        case PoolCreated():
            return EventKind.AGENT_POOL_CREATED
        case MemberJoined():
            return EventKind.AGENT_POOL_RUN_JOINED
        case MemberLeft():
            return EventKind.AGENT_POOL_RUN_LEFT
        case RunMessageRecorded(stored):
            return EventKind(f"run_message_{stored.receipt.status}")
        case WakeRecorded(stored_wake):
            return EventKind(f"wake_condition_{stored_wake.registration.status}")
    raise AssertionError(payload)


def _subject(event: EventEnvelope, kind: EntityKind, name: str) -> EntityRef:
    return EntityRef(kind, name, redacted_summary=event.event_kind.replace("_", " "))


def _runs(*run_ids: str) -> tuple[EntityRef, ...]:
    return tuple(EntityRef(EntityKind.RUN, run_id) for run_id in run_ids)


async def _before(pool: AgentPool, count: int) -> AgentPoolStoreCursor:
    """Give the cursor before the last records."""
    return AgentPoolStoreCursor(len(await pool.store.read(POOL)) - count)
