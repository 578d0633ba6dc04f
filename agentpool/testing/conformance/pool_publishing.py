"""Host events, and who sees which event: publishing, subscribing, scoping."""

import asyncio
from contextlib import aclosing
from typing import Any

from msgspec.structs import replace

from agentpool.errors import IdempotencyConflictError, InvalidValueError, StoreError
from agentpool.pool import AgentPool
from agentpool.rules.history import EventCursor
from agentpool.testing.conformance.kit import POOL, payloads, refusal
from agentpool.testing.conformance.pool_kit import PoolKit, an_event, events_of, nothing_comes
from agentpool.testing.values import a_member, a_message
from agentpool.wire.event_kinds import EventKind
from agentpool.wire.events import EventEnvelope
from agentpool.wire.filters import EventFilter, PayloadAccessMode
from agentpool.wire.records import START, AgentPoolStoreCursor, AgentPoolWakePolicy, RunAddress
from agentpool.wire.refs import PolicyRef
from agentpool.wire.struct import Include, include

__all__ = ("PoolPublishingTests",)

HOSTS = include(EventKind.RUN_COMPLETED)
EVERYTHING = EventFilter()


class PoolPublishingTests(PoolKit):
    """``publish``, ``subscribe`` and ``scope_filter``."""

    async def test_a_host_event_gets_the_next_number_and_keeps_the_rest(self) -> None:
        async with self.opened("run.a") as pool:
            assert await pool.store.next_event_sequence(POOL) == 1
            assert await pool.publish(an_event(event_seq=77)) == 2
            assert await pool.store.next_event_sequence(POOL) == 3
            assert await pool.publish(an_event("event.2")) == 4
            events = await events_of(pool, 2, kinds=HOSTS)
            assert events == [an_event(event_seq=2), an_event("event.2", event_seq=4)]

    async def test_a_host_event_is_no_record(self) -> None:
        async with self.opened("run.a") as pool:
            before = await payloads(pool.store)
            await pool.publish(an_event())
            assert await payloads(pool.store) == before

    async def test_the_same_event_again_keeps_its_number_and_comes_once(self) -> None:
        async with self.opened("run.a") as pool:
            number = await pool.publish(an_event())
            assert await pool.publish(an_event()) == number
            assert await pool.publish(an_event(event_seq=99)) == number
            await pool.publish(an_event("event.2"))
            events = await events_of(pool, 2, kinds=HOSTS)
            assert [each.event_id for each in events] == ["event.1", "event.2"]

    async def test_an_event_published_by_many_at_once_is_published_once(self) -> None:
        async with self.opened("run.a") as pool:
            numbers = await asyncio.gather(*(pool.publish(an_event()) for _ in range(20)))
            assert set(numbers) == {1}
            assert await pool.publish(an_event("event.2")) == 2

    async def test_an_event_id_cannot_be_used_for_another_event(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await pool.publish(an_event())
            for fields in ({"run_id": "run.b"}, {"event_kind": EventKind.RUN_FAILED}):
                await refusal(IdempotencyConflictError, pool.publish(an_event(**fields)))
            assert await pool.publish(an_event("event.2")) == 2

    async def test_what_is_no_event_filter_or_cursor_is_refused(self) -> None:
        nonsense: Any = "nonsense"
        async with self.opened("run.a") as pool:
            await refusal(InvalidValueError, pool.publish(nonsense))
            await refusal(InvalidValueError, pool.publish(replace(an_event(), run_id="")))
            await refusal(InvalidValueError, pool.scope_filter(nonsense))
            await refusal(InvalidValueError, anext(pool.subscribe(nonsense)))
            await refusal(InvalidValueError, anext(pool.subscribe(EVERYTHING, nonsense)))

    async def test_a_subscription_yields_past_and_live_events_in_order(self) -> None:
        async with self.opened("run.a", "run.b") as pool, AgentPool.open(pool.store, POOL) as other:
            await _mix(pool, "past")
            async with aclosing(pool.subscribe(EVERYTHING)) as events:
                seen = [_name(await anext(events)) for _ in range(3 + 8)]
                await _mix(other, "live")
                seen += [_name(await anext(events)) for _ in range(8)]
            mixed = [
                "{0}.1 accepted", "{0}.1 delivered", "{0}.host.1", "{0}.host.2",
                "{0}.2 accepted", "{0}.2 delivered", "{0}.3 expired", "{0}.host.3",
            ]  # fmt: skip
            expected = [each.format(when) for when in ("past", "live") for each in mixed]
            assert seen[3:] == expected

    async def test_a_subscription_goes_on_after_a_record_without_loss_or_repetition(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await _mix(pool, "past")
            await _mix(pool, "live")
            events = await events_of(pool, 19)
            for place, event in enumerate(events):
                if not event.tags:
                    continue
                since = AgentPoolStoreCursor(event.event_seq)
                rest = events[place + 1 :]
                assert await events_of(pool, len(rest), since) == rest
                async with aclosing(pool.subscribe(EVERYTHING, since)) as going_on:
                    assert [await anext(going_on) for _ in rest] == rest
                    await nothing_comes(anext(going_on), pool)

    async def test_a_subscription_goes_on_after_any_event_without_loss_or_repetition(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await _mix(pool, "past")
            await _mix(pool, "live")
            events = await events_of(pool, 19)
            place = EventCursor(0, 0)
            for number, event in enumerate(events, 1):
                place = place.past(POOL, event)
                rest = events[number:]
                assert await events_of(pool, len(rest), place) == rest

    async def test_a_cursor_after_host_events_that_are_lost_is_refused(self) -> None:
        async with self.opened("run.a") as pool:
            await pool.publish(an_event("host.1"))
            lost = EventCursor(0, 2)
            error = await refusal(StoreError, anext(pool.subscribe(EVERYTHING, lost)))
            assert error.pool_id == POOL

    async def test_an_event_copied_from_another_pool_is_no_record_of_this_one(self) -> None:
        """Not even if its number as a host event is the one that it had there."""
        async with (
            self.opened("run.a") as pool,
            AgentPool.open(pool.store, "pool.other") as other,
        ):
            await other.join_run(a_member("run.a"))
            [copied] = await events_of(other, 1, kinds=include(EventKind.AGENT_POOL_RUN_JOINED))
            for number in range(1, copied.event_seq):
                await pool.publish(an_event(f"host.{number}"))
            assert await pool.publish(copied) == copied.event_seq
            assert EventCursor(0, 0).past(POOL, copied) == EventCursor(0, copied.event_seq)

    async def test_a_subscription_is_whole_however_long_the_past_is(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            names = []
            count = 780  # two thirds of them of hosts, the rest two records each: over 500 of both
            for number in range(count):
                if number % 3:
                    await pool.publish(an_event(f"host.{number}"))
                    names.append(f"host.{number}")
                else:
                    await pool.send(a_message(f"{number}", expires_at_millis=0))
                    names.append(f"{number} expired")
            events = await events_of(pool, 3 + count)
            assert [_name(each) for each in events[3:]] == names
            middle = EventCursor(0, 0)
            for event in events[:600]:
                middle = middle.past(POOL, event)
            assert await events_of(pool, len(events) - 600, middle) == events[600:]

    async def test_a_subscription_is_whole_when_the_past_is_of_records_or_hosts_alone(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await asyncio.gather(*(pool.send(a_message(f"{number}")) for number in range(510)))
            of_records = await events_of(pool, 3 + 1_020)
            assert [each.event_seq for each in of_records] == list(range(2, 1_025))
        async with self.opened("run.a") as pool:
            await asyncio.gather(
                *(pool.publish(an_event(f"host.{number}")) for number in range(510))
            )
            of_hosts = await events_of(pool, 510, kinds=include(EventKind.RUN_COMPLETED))
            assert [each.event_seq for each in of_hosts] == list(range(1, 511))

    async def test_a_subscription_yields_only_what_matches(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await _mix(pool, "past")
            kinds = include(EventKind.RUN_MESSAGE_EXPIRED, EventKind.RUN_COMPLETED)
            names = [_name(each) for each in await events_of(pool, 4, kinds=kinds)]
            assert names == ["past.host.1", "past.host.2", "past.3 expired", "past.host.3"]
            [joined] = await events_of(pool, 1, run_ids=include("run.b"))
            assert joined.event_kind is EventKind.AGENT_POOL_RUN_JOINED

    async def test_a_subscription_sees_only_members_with_the_policies_of_the_pool(self) -> None:
        policy = PolicyRef(id="policy.1")
        members = (a_member("run.a", policy_refs=[policy]), a_member("run.b"))
        async with self.opened(*members, policy_refs=[policy]) as pool:
            await pool.publish(an_event("of a stranger", run_id="run.x"))
            await pool.publish(an_event("without policy", run_id="run.b"))
            await pool.send(a_message("hidden", sender="run.b", to=RunAddress.run("run.a")))
            await pool.publish(an_event("with policy", run_id="run.a"))
            async with aclosing(pool.subscribe(EVERYTHING)) as events:
                seen = [await anext(events) for _ in range(2)]
                await nothing_comes(anext(events), pool)
            assert {each.run_id for each in seen} == {"run.a"}
            assert _name(seen[1]) == "with policy"

    async def test_policies_count_from_the_record_on_that_a_run_joins_with_them(self) -> None:
        policy = PolicyRef(id="policy.1")
        async with self.opened("run.a", policy_refs=[policy]) as pool:
            await pool.send(a_message("before", to=RunAddress.run("run.a")))
            await pool.join_run(a_member("run.a", policy_refs=[policy]))
            await pool.send(a_message("after", expires_at_millis=0))
            seen = await events_of(pool, 2, run_ids=include("run.a"))
            assert seen[0].event_kind is EventKind.AGENT_POOL_RUN_JOINED
            assert _name(seen[1]) == "after expired"

    async def test_many_subscribers_see_the_same(self) -> None:
        async with self.opened("run.a", "run.b") as pool, AgentPool.open(pool.store, POOL) as other:
            subscribers = [
                asyncio.ensure_future(events_of(each, 11, START)) for each in (pool, other) * 4
            ]
            await asyncio.wait(subscribers, timeout=0.02)
            await _mix(pool, "live")
            seen = await asyncio.gather(*subscribers)
            assert all(each == seen[0] for each in seen)

    async def test_a_filter_is_narrowed_to_members_with_the_policies_of_the_pool(self) -> None:
        policy = PolicyRef(id="policy.1")
        members = (
            a_member("run.a", policy_refs=[policy]),
            a_member("run.b"),
            a_member("run.c", policy_refs=[PolicyRef(id="policy.2"), policy]),
        )
        async with self.opened(*members, policy_refs=[policy]) as pool:
            cases: list[tuple[Any, list[str]]] = [
                ("any", ["run.a", "run.c"]),
                (include("run.a", "run.b"), ["run.a"]),
                (include("run.x"), []),
                (Include(include=()), []),
            ]
            for run_ids, expected in cases:
                narrowed = await pool.scope_filter(EventFilter(run_ids=run_ids))
                assert narrowed.run_ids == Include(include=tuple(expected))

    async def test_a_filter_keeps_all_else_that_it_asks_for(self) -> None:
        wanted = EventFilter(kinds=include(EventKind.RUN_FAILED), terminal_only=True)
        async with self.opened("run.a") as pool:
            narrowed = await pool.scope_filter(wanted)
            assert replace(narrowed, run_ids="any") == wanted
            assert await pool.scope_filter(narrowed) == narrowed

    async def test_a_filter_sees_no_more_than_the_wake_policy_allows(self) -> None:
        full = EventFilter(payload_access=PayloadAccessMode.FULL_PAYLOAD_IF_POLICY_ALLOWS)
        for envelope_only, expected in (
            (True, PayloadAccessMode.ENVELOPE_ONLY),
            (False, full.payload_access),
        ):
            policy = AgentPoolWakePolicy(envelope_only=envelope_only)
            async with self.opened("run.a", wake_policy=policy) as pool:
                assert (await pool.scope_filter(full)).payload_access is expected

    async def test_a_narrowed_filter_never_sees_more(self) -> None:
        wanted = EventFilter(run_ids=include("run.a", "run.x"))
        async with self.opened("run.a", "run.b") as pool:
            narrowed = (await pool.scope_filter(wanted)).compile()
            for run_id in ("run.a", "run.b", "run.x", "run.y"):
                event = an_event(run_id=run_id)
                allowed = wanted.compile().matches_envelope(event)
                assert narrowed.matches_envelope(event) <= allowed


async def _mix(pool: AgentPool, when: str) -> None:
    """Append eight events, of records and hosts."""
    await pool.send(a_message(f"{when}.1"))
    await pool.publish(an_event(f"{when}.host.1"))
    await pool.publish(an_event(f"{when}.host.2"))
    await pool.send(a_message(f"{when}.2"))
    await pool.send(a_message(f"{when}.3", expires_at_millis=0))
    await pool.publish(an_event(f"{when}.host.3"))


def _name(event: EventEnvelope) -> str:
    return f"{event.message_id} {event.state_after}" if event.message_id else event.event_id
