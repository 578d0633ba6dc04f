"""Two handles on one store: what one does the other sees, and of two only one can win."""

import asyncio
from collections.abc import Awaitable
from contextlib import aclosing
from typing import Final

from agentpool.errors import (
    ClaimLostError,
    IdempotencyConflictError,
    MembershipLostError,
    PoolConfigConflictError,
    StoreClosedError,
)
from agentpool.rules.claiming import ClaimNext
from agentpool.rules.claims import Acknowledge
from agentpool.rules.command import Decision
from agentpool.stores.turns import Turns
from agentpool.testing.conformance.executing import Ask
from agentpool.testing.conformance.kit import (
    BODY,
    POOL,
    append_many,
    furnish,
    outcome_of,
    payloads,
    pieces,
    record,
    refusal,
    take,
)
from agentpool.testing.conformance.pool_asking import a_question
from agentpool.testing.conformance.pool_deadlines import PAID, named, owe
from agentpool.testing.conformance.pool_kit import a_reply, acked, an_event, deliver, peeked
from agentpool.testing.conformance.shared_kit import SharedKit, begun, waiting_for_more
from agentpool.testing.values import a_config, a_member, a_message
from agentpool.wire.event_kinds import EventKind
from agentpool.wire.filters import EventFilter
from agentpool.wire.records import AgentPoolStoreConfig, AgentPoolStoreCursor
from agentpool.wire.struct import include

__all__ = (
    "COMPLETION",
    "SharedHandleTests",
)

AN_HOUR: Final = 3600.0
COMPLETION: Final = EventFilter(kinds=include(EventKind.RUN_COMPLETED))


async def next_turn(turns: Turns) -> None:
    """Wait for the next turn."""
    await anext(turns)


class SharedHandleTests(SharedKit):
    """A second handle on the same store."""

    # --- the log

    async def test_two_handles_number_their_records_together(self) -> None:
        async with self.handles() as (one, other):
            cursors = await asyncio.gather(
                append_many(one, 30, name="one"), append_many(other, 30, name="other")
            )
            numbers = sorted(each.sequence for some in cursors for each in some)
            assert numbers == list(range(2, 62))
            assert await payloads(one) == await payloads(other)

    async def test_what_one_has_committed_the_other_finds_at_once(self) -> None:
        async with self.handles() as (one, other):
            for number, (writer, reader) in enumerate([(one, other), (other, one)] * 5):
                message = a_message(f"message.{number}")
                await record(writer, message)
                receipt = await reader.message_receipt(POOL, message.idempotency_key)
                assert receipt is not None
                assert len(await payloads(reader)) == 2 + number
                assert await reader.snapshot(POOL) == await writer.snapshot(POOL)

    async def test_of_two_records_of_one_message_exactly_one_is_there(self) -> None:
        async with self.handles() as (one, other):
            for number in range(10):
                name = f"message.{number}"
                first, second = (a_message(f"{name}.{copy}", idempotency_key=name) for copy in "ab")
                places = await asyncio.gather(record(one, first), record(other, second))
                assert places[0] == places[1] == AgentPoolStoreCursor(2 + number)
            assert len(await payloads(one)) == 11
            assert await payloads(one) == await payloads(other)

    async def test_of_two_messages_under_one_key_exactly_one_is_recorded(self) -> None:
        async with self.handles() as (one, other):
            for number in range(10):
                name = f"message.{number}"
                first, second = (
                    a_message(f"{name}.{body}", idempotency_key=name, content_ref=body)
                    for body in "ab"
                )
                calls = (record(one, first), record(other, second))
                outcomes = await asyncio.gather(*(outcome_of(call) for call in calls))
                assert {type(each) for each in outcomes} == {
                    AgentPoolStoreCursor,
                    IdempotencyConflictError,
                }
            assert len(await payloads(one)) == 11

    async def test_of_two_configs_of_one_pool_exactly_one_is_recorded(self) -> None:
        async with self.handles() as (one, other):
            for number in range(10):
                pool_id = f"pool.{number}"
                calls = (
                    one.open_pool(pool_id, a_config()),
                    other.open_pool(pool_id, AgentPoolStoreConfig()),
                )
                outcomes = await asyncio.gather(*(outcome_of(call) for call in calls))
                refused = [each for each in outcomes if isinstance(each, Exception)]
                assert [type(each) for each in refused] == [PoolConfigConflictError]
                assert len(await payloads(one, pool_id)) == 1

    async def test_an_event_number_is_never_given_twice(self) -> None:
        async with self.handles() as (one, other):
            taking = [each.next_event_sequence(POOL) for each in (one, other) * 20]
            assert sorted(await asyncio.gather(*taking)) == list(range(1, 41))

    async def test_a_body_that_one_put_the_other_can_get(self) -> None:
        async with self.handles() as (one, other):
            for body in (BODY, BODY * 50_000):
                ref = await one.put_content(body)
                assert await other.get_content(ref) == b"".join(await pieces(other, ref)) == body
                assert await other.put_content(body) == ref

    async def test_two_put_the_same_body_at_once(self) -> None:
        async with self.handles() as (one, other):
            body = BODY * 50_000
            [ref, same] = await asyncio.gather(one.put_content(body), other.put_content(body))
            assert ref == same
            assert await one.get_content(ref) == await other.get_content(ref) == body

    # --- following

    async def test_a_watcher_of_one_sees_what_the_other_commits(self) -> None:
        async with self.handles() as (one, other), aclosing(other.watch(POOL)) as watch:
            await anext(watch)
            for number in range(5):
                waiting = await begun(other, take(watch, 1))
                cursor = await record(one, a_message(f"message.{number}"))
                assert [each.cursor for each in await waiting] == [cursor]
            await asyncio.gather(append_many(one, 20, name="one"), append_many(other, 20))
            assert [each.cursor.sequence for each in await take(watch, 40)] == list(range(7, 47))

    async def test_an_announcement_of_one_brings_a_turn_in_the_other(self) -> None:
        async with self.handles() as (one, other):
            with other.changes(POOL) as turns:
                await anext(turns)
                for _ in range(3):
                    waiting = await begun(other, next_turn(turns))
                    await one.execute(POOL, Ask(lambda _: Decision(None, announce=True)))
                    await waiting
            assert len(await payloads(other)) == 1

    async def test_following_can_begin_and_end_again_and_again(self) -> None:
        async with self.handles() as (one, other):
            for number in range(5):
                async with aclosing(other.watch(POOL, AgentPoolStoreCursor(1 + number))) as watch:
                    waiting = await begun(other, take(watch, 1))
                    cursor = await record(one, a_message(f"message.{number}"))
                    assert [each.cursor for each in await waiting] == [cursor]

    async def test_one_that_is_closed_leaves_the_other_at_work(self) -> None:
        async with self.handles() as (one, other), aclosing(other.watch(POOL)) as watch:
            await furnish(one)
            await take(watch, 5)
            await one.aclose()
            await refusal(StoreClosedError, record(one, a_message("late")))
            cursor = await other.join_member(POOL, a_member("run.c"))
            assert (await anext(watch)).cursor == cursor
            assert await other.get_content(await other.put_content(BODY)) == BODY

    # --- pools

    async def test_a_message_is_taken_through_one_of_the_handles(self) -> None:
        async with self.pools() as (one, other):
            sent = await deliver(one, 20)
            taken = await asyncio.gather(
                *(acked(pool.inbox("run.b"), 5) for pool in (one, other) * 2)
            )
            assert sorted(each for some in taken for each in some) == sorted(sent)
            assert await peeked(other.inbox("run.b")) == []

    async def test_a_message_that_one_sends_ends_the_waiting_of_a_consumer_of_the_other(
        self,
    ) -> None:
        async with self.pools() as (one, other):
            inbox = other.inbox("run.b")
            for number in range(3):
                waiting = await begun(other.store, acked(inbox, 1))
                await one.send(a_message(f"message.{number}"))
                assert await waiting == [f"message.{number}"]

    async def test_a_claim_of_one_that_ran_out_is_fenced_off_by_that_of_the_other(self) -> None:
        async with self.pools() as (one, other):
            await deliver(one, 1)
            lost = await one.store.execute(POOL, ClaimNext("run.b", "one", 1))
            assert lost is not None
            delivery = await other.inbox("run.b").take()
            assert (lost.attempt, delivery.attempt) == (1, 2)
            late: Awaitable[None] = one.store.execute(POOL, Acknowledge(lost))
            await refusal(ClaimLostError, late)
            await delivery.ack()
            assert await peeked(one.inbox("run.b")) == []

    async def test_a_consumer_of_one_hears_that_its_run_is_taken_over_in_the_other(self) -> None:
        """At once, and not when it renews its lease: nothing is recorded of it."""
        async with self.pools() as (one, other):
            held = a_member("run.held")
            async with one.member(held, AN_HOUR, stays=True) as former:
                waiting = await begun(one.store, former.inbox.take())
                before = await payloads(one.store)
                async with other.member(held, AN_HOUR, stays=True):
                    await refusal(MembershipLostError, waiting)
                    assert await payloads(one.store) == before

    async def test_members_that_join_through_one_are_waited_for_and_listed_in_the_other(
        self,
    ) -> None:
        async with self.pools() as (one, other):
            gathering = other.wait_for_members(agent="agent.new", count=2)
            waiting = await begun(other.store, gathering)
            await one.join_run(a_member("run.new.1", agent_id="agent.new"))
            await one.join_run(a_member("run.new.2", agent_id="agent.new"))
            assert [each.run_id for each in await waiting] == ["run.new.1", "run.new.2"]
            [listed] = await other.store.pools()
            assert (listed.pool_id, listed.members) == (POOL, len(await one.members()))

    async def test_a_wait_in_one_is_ended_by_an_event_of_the_other(self) -> None:
        async with self.pools() as (one, other):
            for number in range(3):
                name = f"wake.{number}"
                await waiting_for_more(one, name, filter=COMPLETION)
                outcome = await begun(one.store, one.wait(name))
                await other.publish(an_event(f"event.{number}"))
                assert (await outcome).registration.status == "triggered"

    async def test_a_subscription_of_one_sees_the_events_of_the_other(self) -> None:
        async with self.pools() as (one, other), aclosing(one.subscribe(COMPLETION)) as events:
            for number in range(3):
                coming = await begun(one.store, take(events, 1))
                await other.publish(an_event(f"event.{number}"))
                assert [each.event_id for each in await coming] == [f"event.{number}"]

    async def test_a_question_of_one_is_answered_through_the_other(self) -> None:
        async with self.pools() as (one, other):
            asking = await begun(one.store, one.ask(a_question(1, None)))
            delivery = await other.inbox("run.b").take()
            await other.send(a_reply(delivery.message, "run.b"))
            assert [each.content_ref for each in await asking] == ["answer"]

    async def test_the_deadlines_of_one_that_was_closed_are_carried_out_by_the_other(self) -> None:
        place = self.new_place()
        async with self.pool(place) as other, aclosing(other.watch_pool()) as watch:
            async with self.pool(place) as one:
                await owe(one, 100)
            waits = set(PAID)
            while waits:
                waits -= {named((await anext(watch)).payload)}  # type: ignore[arg-type]
            log = [named(each) for each in await payloads(other.store)]  # type: ignore[arg-type]
            assert sorted(each for each in log if each in PAID) == sorted(PAID)
