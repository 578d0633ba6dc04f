"""An existing store: all that was there when it was closed is there when it is opened again."""

import asyncio
from collections.abc import Awaitable
from contextlib import aclosing
from typing import Any, Final

from agentpool.errors import (
    ClaimLostError,
    IdempotencyConflictError,
    NotAMemberError,
    PoolConfigConflictError,
)
from agentpool.rules.claiming import ClaimNext
from agentpool.rules.claims import Acknowledge
from agentpool.rules.history import EventCursor
from agentpool.stores.base import AgentPoolStore
from agentpool.testing.conformance.kit import (
    BODY,
    POOL,
    append_many,
    furnish,
    lengthen,
    payloads,
    record,
    record_wake,
    refusal,
)
from agentpool.testing.conformance.pool_asking import a_question
from agentpool.testing.conformance.pool_deadlines import PAID, named, owe
from agentpool.testing.conformance.pool_kit import (
    a_reply,
    acked,
    an_event,
    deliver,
    message_log,
    peeked,
)
from agentpool.testing.conformance.shared_handles import COMPLETION
from agentpool.testing.conformance.shared_kit import SharedKit, waiting_for_more
from agentpool.testing.values import a_condition, a_config, a_member, a_message
from agentpool.wire.content import content_ref
from agentpool.wire.records import (
    AgentPoolStoreCursor,
    MessageStatus,
    WakeRegistrationStatus,
)

__all__ = ("SharedReopeningTests",)

AN_HOUR: Final = 3_600_000


async def facts(store: AgentPoolStore) -> dict[str, Any]:
    """Ask a store everything about a furnished pool."""
    asking: dict[str, Awaitable[Any]] = {
        "snapshot": store.snapshot(POOL),
        "log": store.read(POOL),
        "receipt": store.message_receipt(POOL, "key.message.1"),
        "no receipt": store.message_receipt(POOL, "key.unknown"),
        "registration": store.wake_registration(POOL, "key.wake.1"),
        "wake": store.wake(POOL, "wake.1"),
        "body": store.get_content(content_ref(BODY)),
    }
    return {name: await each for name, each in asking.items()}


class SharedReopeningTests(SharedKit):
    """Closing a store and opening it again."""

    # --- what a store keeps

    async def test_everything_is_as_it_was(self) -> None:
        place = self.new_place()
        async with self.opened(place) as store:
            await furnish(store)
            before = [await facts(store)]
        async with self.opened(place) as store:
            assert await facts(store) == before[0]
            await store.leave_member(POOL, "run.a")
            await record(store, a_message(), MessageStatus.DELIVERED)
            await record_wake(store, a_condition(), WakeRegistrationStatus.TRIGGERED)
            await store.record_pool_created(POOL)
            before.append(await facts(store))
        async with self.opened(place) as store:
            assert await facts(store) == before[1]

    async def test_numbers_go_on_after_the_last_one(self) -> None:
        place = self.new_place()
        for round_ in range(4):
            async with self.opened(place) as store:
                assert await store.next_event_sequence(POOL) == 1 + round_
                cursors = await append_many(store, 10, name=f"round.{round_}")
                first = 2 + 10 * round_
                assert [each.sequence for each in cursors] == list(range(first, first + 10))
                assert len(await payloads(store)) == first + 9

    async def test_a_retry_finds_what_was_recorded_before(self) -> None:
        place = self.new_place()
        async with self.opened(place) as store:
            await furnish(store)
        async with self.opened(place) as store:
            again = a_message("again", idempotency_key="key.message.1")
            for message in (a_message(), again):
                assert await record(store, message) == AgentPoolStoreCursor(4)
            assert await record_wake(store, a_condition()) == AgentPoolStoreCursor(5)
            assert await store.join_member(POOL, a_member("run.b")) == AgentPoolStoreCursor(3)
            other = a_message(idempotency_key="key.message.1", content_ref="other")
            await refusal(IdempotencyConflictError, record(store, other))
            await refusal(PoolConfigConflictError, store.open_pool(POOL, a_config()))
            await refusal(NotAMemberError, store.leave_member(POOL, "run.c"))
            assert len(await payloads(store)) == 5

    async def test_a_watch_goes_on_from_a_cursor_that_was_kept(self) -> None:
        place = self.new_place()
        async with self.opened(place) as store:
            await furnish(store)
            cursor = (await store.read(POOL))[2].cursor
        async with (
            self.opened(place) as store,
            aclosing(store.watch(POOL, cursor)) as watch,
        ):
            await record(store, a_message("new"))
            assert [(await anext(watch)).cursor.sequence for _ in range(3)] == [4, 5, 6]

    async def test_pools_stay_apart(self) -> None:
        place = self.new_place()
        async with self.opened(place) as store:
            await furnish(store, "pool.other")
        async with self.opened(place) as store:
            assert len(await payloads(store)) == 1
            assert len(await payloads(store, "pool.other")) == 5

    async def test_a_long_log_is_there_whole(self) -> None:
        place = self.new_place()
        async with self.opened(place) as store:
            await lengthen(store, 1203)
            log = await store.read(POOL)
        async with self.opened(place) as store:
            assert await store.read(POOL) == log
            assert len((await store.snapshot(POOL)).messages) == 1203

    async def test_many_may_open_it_at_once(self) -> None:
        place = self.new_place()
        async with self.opened(place) as store:
            await furnish(store)
            before = await facts(store)

        async def look() -> dict[str, Any]:
            async with self.opened(place) as store:
                return await facts(store)

        assert await asyncio.gather(*(look() for _ in range(4))) == [before] * 4

    # --- what pools go on with

    async def test_an_inbox_goes_on_where_it_was(self) -> None:
        place = self.new_place()
        async with self.pool(place) as pool:
            sent = await deliver(pool, 4)
            assert await acked(pool.inbox("run.b"), 2) == sent[:2]
        async with self.pool(place) as pool:
            assert await peeked(pool.inbox("run.b")) == sent[2:]
            assert await acked(pool.inbox("run.b"), 2) == sent[2:]
        async with self.pool(place) as pool:
            assert await peeked(pool.inbox("run.b")) == []

    async def test_a_claim_is_still_held(self) -> None:
        place = self.new_place()
        async with self.pool(place) as pool:
            await deliver(pool, 2)
            held = await pool.store.execute(POOL, ClaimNext("run.b", "run.b", AN_HOUR))
            assert held is not None
        async with self.pool(place) as pool:
            delivery = await pool.inbox("run.b").take()
            assert (delivery.message.message_id, delivery.attempt) == ("message.2", 1)
            await pool.store.execute(POOL, Acknowledge(held))
            assert await peeked(pool.inbox("run.b")) == ["message.2"]

    async def test_a_claim_that_ran_out_meanwhile_is_lost(self) -> None:
        place = self.new_place()
        async with self.pool(place) as pool:
            await deliver(pool, 1)
            lost = await pool.store.execute(POOL, ClaimNext("run.b", "run.b", 1))
            assert lost is not None
        async with self.pool(place) as pool:
            delivery = await pool.inbox("run.b").take()
            assert delivery.attempt == 2
            late: Awaitable[None] = pool.store.execute(POOL, Acknowledge(lost))
            await refusal(ClaimLostError, late)
            await delivery.ack()

    async def test_a_wait_goes_on(self) -> None:
        place = self.new_place()
        async with self.pool(place) as pool:
            await waiting_for_more(pool, "wake.1", filter=COMPLETION)
        async with self.pool(place) as pool:
            assert (await pool.poll_wake("wake.1")).status == "registered"
            await pool.publish(an_event())
        async with self.pool(place) as pool:
            outcome = await pool.wait("wake.1")
            assert outcome.registration.status == "triggered"
            assert outcome.event_id == "event.1"

    async def test_a_question_goes_on(self) -> None:
        place = self.new_place()
        async with self.pool(place) as pool:
            await pool.send(a_question(1, None))
        async with self.pool(place) as pool:
            delivery = await pool.inbox("run.b").take()
            await pool.send(a_reply(delivery.message, "run.b"))
        async with self.pool(place) as pool:
            assert (await message_log(pool, "question"))[-1] is MessageStatus.RESPONDED
            assert await acked(pool.inbox("run.a"), 1) == ["reply.question.run.b.1"]

    async def test_what_fell_due_meanwhile_is_carried_out_once(self) -> None:
        place = self.new_place()
        async with self.pool(place) as pool:
            await owe(pool, 50)
        async with self.pool(place) as pool, aclosing(pool.watch_pool()) as watch:
            waits = set(PAID)
            while waits:
                waits -= {named((await anext(watch)).payload)}  # type: ignore[arg-type]
        async with self.pool(place) as pool:
            log = [named(each) for each in await payloads(pool.store)]  # type: ignore[arg-type]
            assert sorted(each for each in log if each in PAID) == sorted(PAID)

    async def test_a_subscription_goes_on_from_a_cursor_that_was_kept(self) -> None:
        place = self.new_place()
        cursor = EventCursor(0, 0)
        seen = []
        for number in range(4):
            async with self.pool(place) as pool:
                await pool.publish(an_event(f"event.{number}"))
                async with aclosing(pool.subscribe(COMPLETION, cursor)) as events:
                    event = await anext(events)
                cursor = cursor.past(POOL, event)
                seen.append((event.event_id, event.event_seq))
        assert seen == [(f"event.{number}", 1 + number) for number in range(4)]

    async def test_an_event_published_again_is_the_one_that_is_there(self) -> None:
        place = self.new_place()
        async with self.pool(place) as pool:
            number = await pool.publish(an_event())
        async with self.pool(place) as pool:
            assert await pool.publish(an_event()) == number
            other = an_event(trace_id="trace.other")
            await refusal(IdempotencyConflictError, pool.publish(other))
