"""Many tasks on one handle: each call is decided on the state that it changes."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

from agentpool.errors import (
    AgentPoolError,
    IdempotencyConflictError,
    InvalidTransitionError,
    NotAMemberError,
    PoolConfigConflictError,
)
from agentpool.testing.conformance.kit import (
    POOL,
    StoreKit,
    append_many,
    furnish,
    payloads,
    record,
    record_wake,
)
from agentpool.testing.values import a_condition, a_config, a_member, a_message
from agentpool.wire.records import AgentPoolStoreConfig, MessageStatus, WakeRegistrationStatus

__all__ = ("ConcurrencyTests",)

T = TypeVar("T")

TASKS = 50


async def race(
    calls: Iterable[Awaitable[T]], refused_with: type[AgentPoolError]
) -> tuple[list[T], list[BaseException]]:
    """Start all calls at once, and give the results of the winners and the losers' errors."""
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    lost = [each for each in outcomes if isinstance(each, BaseException)]
    assert all(type(each) is refused_with for each in lost), lost
    return [each for each in outcomes if not isinstance(each, BaseException)], lost


class ConcurrencyTests(StoreKit):
    """Races of tasks."""

    async def test_racing_appends_leave_no_gap(self) -> None:
        async with self.opened() as store:
            cursors = await append_many(store, TASKS)
            assert sorted(cursor.sequence for cursor in cursors) == list(range(2, 2 + TASKS))
            assert len(await payloads(store)) == 1 + TASKS

    async def test_an_append_has_its_record_at_the_place_that_it_returns(self) -> None:
        async with self.opened() as store:
            cursors = await asyncio.gather(
                *(store.join_member(POOL, a_member(f"run.{n}")) for n in range(TASKS))
            )
            joined = (await payloads(store))[1:]
            for number, cursor in enumerate(cursors):
                member = getattr(joined[cursor.sequence - 2], "member", None)
                assert member == a_member(f"run.{number}")

    async def test_what_returned_stands_before_what_was_called_later(self) -> None:
        async with self.opened() as store:

            async def append_in_turn(name: str) -> list[int]:
                return [
                    (await record(store, a_message(f"{name}.{number}"))).sequence
                    for number in range(10)
                ]

            for places in await asyncio.gather(*(append_in_turn(f"task.{n}") for n in range(10))):
                assert places == sorted(places)

    async def test_one_key_is_recorded_once_however_many_tasks_send_it(self) -> None:
        async with self.opened() as store:
            cursors = await asyncio.gather(*(record(store, a_message()) for _ in range(TASKS)))
            assert len(set(cursors)) == 1
            assert len(await payloads(store)) == 2

    async def test_one_key_is_recorded_once_though_every_task_makes_its_own_id(self) -> None:
        async with self.opened() as store:
            messages = [a_message(f"message.{n}", idempotency_key="key") for n in range(TASKS)]
            cursors = await asyncio.gather(*(record(store, each) for each in messages))
            assert len(set(cursors)) == 1
            assert len(await payloads(store)) == 2

    async def test_calls_made_at_once_know_the_latest_status_of_each_message(self) -> None:
        async with self.opened() as store:
            messages = [a_message(f"message.{number}") for number in range(10)]
            for status in (MessageStatus.ACCEPTED, MessageStatus.DELIVERED):
                latest = await asyncio.gather(*(record(store, each, status) for each in messages))
            again = (record(store, each, MessageStatus.DELIVERED) for each in messages)
            assert await asyncio.gather(*again) == latest
            assert len(await payloads(store)) == 21

    async def test_calls_made_at_once_know_the_latest_status_of_each_wake(self) -> None:
        async with self.opened() as store:
            conditions = [a_condition(f"wake.{number}") for number in range(10)]
            for status in (WakeRegistrationStatus.REGISTERED, WakeRegistrationStatus.TRIGGERED):
                latest = await asyncio.gather(
                    *(record_wake(store, each, status) for each in conditions)
                )
            again = (record_wake(store, each, status) for each in conditions)
            assert await asyncio.gather(*again) == latest
            assert len(await payloads(store)) == 21

    async def test_of_different_contents_under_one_key_one_wins(self) -> None:
        async with self.opened() as store:
            calls = [record(store, a_message(content_ref=f"content.{n}")) for n in range(TASKS)]
            won, lost = await race(calls, IdempotencyConflictError)
            assert (len(won), len(lost)) == (1, TASKS - 1)
            assert len(await payloads(store)) == 2

    async def test_of_different_ends_of_a_message_one_wins(self) -> None:
        final = sorted(set(MessageStatus) - {MessageStatus.ACCEPTED, MessageStatus.DELIVERED})
        async with self.opened() as store:
            await record(store, a_message())
            calls = [record(store, a_message(), status) for status in final]
            won, lost = await race(calls, InvalidTransitionError)
            assert (len(won), len(lost)) == (1, len(final) - 1)
            assert len(await payloads(store)) == 3

    async def test_of_different_ends_of_a_wake_one_wins(self) -> None:
        final = sorted(set(WakeRegistrationStatus) - {WakeRegistrationStatus.REGISTERED})
        async with self.opened() as store:
            await record_wake(store, a_condition())
            calls = [record_wake(store, a_condition(), status) for status in final]
            won, lost = await race(calls, InvalidTransitionError)
            assert (len(won), len(lost)) == (1, len(final) - 1)
            assert len(await payloads(store)) == 3

    async def test_one_wake_is_registered_once_however_many_tasks_do_it(self) -> None:
        async with self.opened() as store:
            conditions = [a_condition(f"wake.{n}", idempotency_key="key") for n in range(TASKS)]
            cursors = await asyncio.gather(*(record_wake(store, each) for each in conditions))
            assert len(set(cursors)) == 1
            assert len((await store.snapshot(POOL)).wakes) == 1

    async def test_a_member_leaves_once(self) -> None:
        async with self.opened() as store:
            await store.join_member(POOL, a_member())
            calls = [store.leave_member(POOL, "run.a") for _ in range(TASKS)]
            won, lost = await race(calls, NotAMemberError)
            assert (len(won), len(lost)) == (1, TASKS - 1)
            assert len(await payloads(store)) == 3

    async def test_a_member_joins_once(self) -> None:
        async with self.opened() as store:
            calls = (store.join_member(POOL, a_member()) for _ in range(TASKS))
            assert len(set(await asyncio.gather(*calls))) == 1
            calls = (store.record_pool_created(POOL) for _ in range(TASKS))
            assert len(set(await asyncio.gather(*calls))) == 1
            assert len(await payloads(store)) == 3

    async def test_a_pool_is_opened_once(self) -> None:
        async with self.empty() as store:
            await asyncio.gather(*(store.open_pool(POOL) for _ in range(TASKS)))
            assert len(await payloads(store)) == 1

    async def test_of_different_configs_one_wins(self) -> None:
        configs = [a_config(), AgentPoolStoreConfig()] * (TASKS // 2)
        async with self.empty() as store:
            calls = [store.open_pool(POOL, config) for config in configs]
            won, lost = await race(calls, PoolConfigConflictError)
            assert (len(won), len(lost)) == (TASKS // 2, TASKS // 2)
            assert len({snapshot.message_policy for snapshot in won}) == 1
            assert len(await payloads(store)) == 1

    async def test_a_refused_call_fails_alone(self) -> None:
        async with self.empty() as store:
            await furnish(store)
            clash = a_message(content_ref="other")
            calls = [
                record(store, clash if number % 2 else a_message(f"good.{number}"))
                for number in range(TASKS)
            ]
            won, lost = await race(calls, IdempotencyConflictError)
            assert (len(won), len(lost)) == (TASKS // 2, TASKS // 2)
            assert len(await payloads(store)) == 5 + TASKS // 2

    async def test_pools_fill_side_by_side(self) -> None:
        pool_ids = [f"pool.{number}" for number in range(5)]
        async with self.opened(*pool_ids) as store:
            await asyncio.gather(*(append_many(store, 20, pool_id=each) for each in pool_ids))
            for pool_id in pool_ids:
                assert len(await payloads(store, pool_id)) == 21

    async def test_reading_while_others_append_sees_a_prefix(self) -> None:
        async with self.opened() as store:
            appending = asyncio.ensure_future(append_many(store, 200))
            reads = []
            while not appending.done():
                reads.append(await store.read(POOL))
                snapshot = await store.snapshot(POOL)
                assert snapshot.cursor is not None
                assert len(snapshot.messages) == snapshot.cursor.sequence - 1
            await appending
            records = await store.read(POOL)
            assert all(each == records[: len(each)] for each in reads)
