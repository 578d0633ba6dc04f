"""Events of an agent's own: published under a name, with a body, found by that name."""

import asyncio
from typing import Any

from agentpool.errors import (
    ContentNotFoundError,
    IdempotencyConflictError,
    InvalidValueError,
    NotAMemberError,
)
from agentpool.member import MemberHandle
from agentpool.pool import AgentPool
from agentpool.testing.cancellation import Moment, cancel_at
from agentpool.testing.conformance.kit import POOL, refusal
from agentpool.testing.conformance.pool_kit import ManualClock, PoolKit, an_event, events_of
from agentpool.testing.values import a_member
from agentpool.wire.codec import encode
from agentpool.wire.content import PIECE, content_ref
from agentpool.wire.event_kinds import EventFamily, EventKind
from agentpool.wire.filters import EventFilter
from agentpool.wire.records import ResumeInputPolicy
from agentpool.wire.refs import EntityKind, EntityRef, PolicyRef
from agentpool.wire.struct import include

__all__ = ("PoolOwnEventTests",)

ADA = a_member("run.a", agent_id="agent.ada", policy_refs=[PolicyRef(id="policy.1")])
DONE = EventFilter.named("build.done")
ARTIFACT = EntityRef(EntityKind.ARTIFACT, "artifact.1")


def ada(pool: AgentPool) -> MemberHandle:
    """Act for a member."""
    return pool.acting_as(ADA)


class PoolOwnEventTests(PoolKit):
    """``publish`` of a member, and the builders of filters."""

    async def test_nobody_speaks_for_the_pool(self) -> None:
        async with self.opened(ADA) as pool:
            for kind in EventKind:
                if kind.startswith(("agent_pool_", "run_message_", "wake_condition_")):
                    await refusal(InvalidValueError, ada(pool).publish("name", kind=kind))
            assert await pool.store.next_event_sequence(pool.pool_id) == 1

    async def test_what_need_not_be_said_has_its_default(self) -> None:
        async with self.opened(ADA, clock=ManualClock(1_893_456_000_123)) as pool:
            assert await ada(pool).publish("build.done") == 1
            [event] = await events_of(pool, 1, tags=include("build.done"))
            assert (event.run_id, event.agent_id) == ("run.a", "agent.ada")
            assert (event.event_seq, event.event_family) == (1, EventFamily.RUN)
            assert event.event_kind is EventKind.RUN_CHECKPOINTED
            assert event.tags == ("build.done",)
            assert event.timestamp == event.recorded_at == "2030-01-01T00:00:00.123Z"
            about = EntityRef(EntityKind.RUN, "run.a", redacted_summary="build.done")
            assert event.subject_ref == about
            assert (event.related_refs, event.policy_refs) == ((), ADA.policy_refs)
            assert event.content_ref is None

    async def test_what_is_said_is_in_the_event(self) -> None:
        async with self.opened(ADA) as pool:
            await ada(pool).publish(
                "build.done",
                kind=EventKind.TOOL_COMPLETED,
                tags=["nightly", "build.done"],
                related=[ARTIFACT],
                summary="all is well",
            )
            [event] = await events_of(pool, 1, tags=include("nightly"))
            assert event.event_kind is EventKind.TOOL_COMPLETED
            assert event.event_family is EventFamily.TOOL
            assert event.tags == ("build.done", "nightly")
            assert event.related_refs == (ARTIFACT,)
            assert event.subject_ref.redacted_summary == "all is well"

    async def test_a_body_is_kept_and_the_event_has_its_ref_alone(self) -> None:
        bodies: list[tuple[object, bytes]] = [
            ("text äöü", "text äöü".encode()),
            (b"\0bytes", b"\0bytes"),
            (bytearray(b"more"), b"more"),
            ({"ok": True, "size": 3}, b'{"ok":true,"size":3}'),
            ([], b"[]"),
            (0, b"0"),
            ("", b""),
        ]
        async with self.opened(ADA) as pool:
            for body, _ in bodies:
                await ada(pool).publish("build.done", body, related=[ARTIFACT])
            for (_, expected), event in zip(
                bodies, await events_of(pool, 7, tags=include("build.done")), strict=True
            ):
                assert event.content_ref is not None
                assert await pool.body(event).bytes() == expected
                assert event.related_refs[0] == ARTIFACT
                written = encode(event).decode()
                assert event.content_ref in written
                assert not body or str(body) not in written

    async def test_a_body_that_is_not_there_is_not_read(self) -> None:
        async with self.opened(ADA) as pool:
            me = ada(pool)
            await me.publish("build.done")
            [event] = await events_of(pool, 1, tags=include("build.done"))
            ended = await me.wait_until(DONE)
            timed_out = await me.wait_until(EventFilter.named("build.failed"), timeout=0)
            for each, named in (
                (event, event.event_id),
                (ended, ended.registration.condition_id),
                (timed_out, timed_out.registration.condition_id),
            ):
                assert each.content_ref is None
                error = await refusal(InvalidValueError, me.read(each))
                assert named in str(error)

    async def test_an_event_that_is_refused_keeps_no_body(self) -> None:
        async with self.opened(ADA) as pool:
            stranger = pool.acting_as(a_member("run.x"))
            await refusal(NotAMemberError, stranger.publish("build.done", "refused"))
            await ada(pool).publish("build.done", "kept", idempotency_key="key.1")
            again = ada(pool).publish("build.done", "refused", idempotency_key="key.1")
            await refusal(IdempotencyConflictError, again)
            kept = pool.store.get_content(content_ref(b"refused"))
            await refusal(ContentNotFoundError, kept)

    async def test_what_was_written_ahead_is_published_in_place_of_the_body(self) -> None:
        async with self.opened(ADA) as pool:
            kept = await ada(pool).write("ahead")
            await ada(pool).publish("build.done", kept)
            await ada(pool).publish("build.done", bytes(PIECE + 1))
            small, large = await events_of(pool, 2, tags=include("build.done"))
            assert await pool.body(small).text() == "ahead"
            assert await pool.body(large).bytes() == bytes(PIECE + 1)

    async def test_a_cancelled_publish_has_kept_both_or_neither(self) -> None:
        for moment in Moment:
            async with self.opened(ADA) as pool:
                suspension, reached = 0, True
                while reached:
                    body, key = f"body {suspension}", f"key.{suspension}"
                    reached = await cancel_at(
                        suspension,
                        lambda: ada(pool).publish("n", body, idempotency_key=key),  # noqa: B023
                        moment=moment,
                    )
                    number = await pool.store.query(POOL, lambda view: view.event_sequence)
                    if number == suspension:
                        ref = content_ref(body.encode())
                        await refusal(ContentNotFoundError, pool.store.get_content(ref))
                    await ada(pool).publish("n", body, idempotency_key=key)
                    suspension += 1
                events = await events_of(pool, suspension, tags=include("n"))
                assert [await pool.body(each).text() for each in events] == [
                    f"body {number}" for number in range(suspension)
                ]

    async def test_it_ends_the_wait_of_another_which_gets_its_body_and_summary(self) -> None:
        async with self.opened(ADA, "run.b") as pool, AgentPool.open(pool.store, POOL) as other:
            me = other.acting_as(a_member("run.b"))
            waits = [
                asyncio.create_task(me.wait_until(DONE, resume_with=each))
                for each in (
                    ResumeInputPolicy.MATCHING_EVENT_REFS,
                    ResumeInputPolicy.REDACTED_SUMMARY,
                )
            ]
            await ada(pool).publish("build.failed")
            await ada(pool).publish("build.done", {"size": 3}, summary="all is well")
            refs, summary = await asyncio.gather(*waits)
            assert refs.content_ref is not None
            assert await me.body(refs).json() == {"size": 3}
            assert await me.read(refs) == '{"size":3}'
            assert summary.redacted_summary == "all is well"

    async def test_it_is_published_once_under_its_key_at_whatever_time(self) -> None:
        clock = ManualClock()
        async with self.opened(ADA, "run.b", clock=clock) as pool:
            first = await ada(pool).publish("build.done", "body", idempotency_key="key.1")
            clock.advance(5_000)
            again = await ada(pool).publish("build.done", "body", idempotency_key="key.1")
            assert first == again
            of_b = pool.acting_as(a_member("run.b"))
            assert await of_b.publish("build.done", "body", idempotency_key="key.1") == first + 1
            other = ada(pool).publish("build.done", "another", idempotency_key="key.1")
            await refusal(IdempotencyConflictError, other)
            assert await ada(pool).publish("build.done", "body") == first + 2

    async def test_who_is_no_member_publishes_nothing(self) -> None:
        async with self.opened(ADA) as pool:
            stranger = pool.acting_as(a_member("run.x"))
            error = await refusal(NotAMemberError, stranger.publish("build.done"))
            assert error.pool_id == POOL
            await refusal(NotAMemberError, pool.publish(an_event(run_id="run.x")))
            number = await pool.publish(an_event())
            await pool.leave_run("run.a")
            await refusal(NotAMemberError, ada(pool).publish("build.done"))
            assert await pool.publish(an_event()) == number
            assert await pool.store.next_event_sequence(POOL) == number + 1

    async def test_what_cannot_be_published_is_refused_by_its_name(self) -> None:
        cases: list[tuple[str, dict[str, Any]]] = [
            ("name", {"name": ""}),
            ("name", {"name": 7}),
            ("body", {"body": object()}),
            ("body", {"body": "\udcff"}),
            ("body", {"body": {"a": object()}}),
            ("kind", {"kind": "build"}),
            ("tags", {"tags": "nightly"}),
            ("related", {"related": ["artifact.1"]}),
            ("summary", {"summary": b"all is well"}),
        ]
        async with self.opened(ADA) as pool:
            for named, arguments in cases:
                call = ada(pool).publish(**{"name": "build.done", **arguments})
                assert named in str(await refusal(InvalidValueError, call))
            assert await pool.store.next_event_sequence(POOL) == 1

    async def test_a_block_publishes_for_its_run(self) -> None:
        async with self.opened("run.b") as pool:
            async with pool.member(ADA) as me:
                await me.publish("build.done")
            await refusal(NotAMemberError, me.publish("build.done"))
            [event] = await events_of(pool, 1, tags=include("build.done"))
            assert event.run_id == "run.a"
