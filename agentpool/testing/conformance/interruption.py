"""Cancellation, at every place of every call: the effect is whole or none, the handle lives on."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Final, TypeAlias

import anyio

from agentpool.errors import NotAMemberError
from agentpool.rules.replay import replay
from agentpool.stores.base import AgentPoolStore
from agentpool.testing.cancellation import Moment, cancel_at, tasks_left
from agentpool.testing.conformance.kit import (
    ABOUT_OPENED_POOL,
    PATIENCE,
    POOL,
    StoreKit,
    as_stream,
    furnish,
    lengthen,
    payloads,
    record,
    record_wake,
    take,
)
from agentpool.testing.values import a_condition, a_config, a_member, a_message
from agentpool.wire.records import AgentPoolStoreCursor, MessageStatus, WakeRegistrationStatus

__all__ = ("InterruptionTests",)

Call: TypeAlias = Callable[[AgentPoolStore, str], Awaitable[object]]

CALLS: Final[dict[str, Call]] = {
    **ABOUT_OPENED_POOL,
    "open_pool again": lambda store, pool_id: store.open_pool(pool_id),
    "replace a member": lambda store, pool_id: store.join_member(pool_id, a_member(topics=["t"])),
    "deliver a message": lambda store, pool_id: record(
        store, a_message(), MessageStatus.DELIVERED, pool_id=pool_id
    ),
    "trigger a wake": lambda store, pool_id: record_wake(
        store, a_condition(), WakeRegistrationStatus.TRIGGERED, pool_id=pool_id
    ),
}


async def _again(call: Awaitable[object]) -> None:
    """Repeat a call; only one that left already is told that it did."""
    with suppress(NotAMemberError):
        await call


class InterruptionTests(StoreKit):
    """Cancelled calls."""

    async def test_a_cancelled_call_has_its_whole_effect_or_none_and_can_be_repeated(self) -> None:
        for moment in Moment:
            for name, call in CALLS.items():
                async with self.opened() as store:
                    await self._interrupt(store, name, call, moment)

    async def _interrupt(
        self, store: AgentPoolStore, name: str, call: Call, moment: Moment
    ) -> None:
        """Cancel a call at each place, in a pool of its own each time, all on one handle."""
        await furnish(store, "undisturbed")
        untouched = await payloads(store, "undisturbed")
        await call(store, "undisturbed")
        complete = await payloads(store, "undisturbed")
        before = asyncio.all_tasks()
        async for pool_id in _each_place(store, call, moment):
            assert not await tasks_left(before), name
            assert await payloads(store, pool_id) in (untouched, complete), name
            await _again(call(store, pool_id))
            assert await payloads(store, pool_id) == complete, name
            snapshot = await store.snapshot(pool_id)
            assert snapshot == await replay(as_stream(await store.read(pool_id)), pool_id=pool_id)

    async def test_a_cancelled_opening_of_a_pool_can_be_repeated(self) -> None:
        for moment in Moment:
            async with self.empty() as store:
                before = asyncio.all_tasks()
                for suspension in itertools.count():
                    pool_id = f"pool.{suspension}"
                    reached = await cancel_at(
                        suspension,
                        lambda: store.open_pool(pool_id, a_config()),  # noqa: B023  # run here
                        moment=moment,
                    )
                    assert not await tasks_left(before)
                    await store.open_pool(pool_id, a_config())
                    assert len(await payloads(store, pool_id)) == 1
                    if not reached:
                        break

    async def test_a_cancelled_call_never_has_another_given_its_event_number(self) -> None:
        async with self.empty() as store:
            given = []
            for moment in Moment:
                for suspension in itertools.count():
                    reached = await cancel_at(
                        suspension, lambda: store.next_event_sequence(POOL), moment=moment
                    )
                    given.append(await store.next_event_sequence(POOL))
                    if not reached:
                        break
            assert given == sorted(set(given))

    async def test_a_cancelled_snapshot_of_a_long_log_leaves_no_half_state(self) -> None:
        for moment in Moment:
            for suspension in itertools.count():
                async with self.opened() as store:
                    await lengthen(store, 2500)
                    reached = await cancel_at(
                        suspension,
                        lambda: store.snapshot(POOL),  # run here
                        moment=moment,
                    )
                    records = as_stream(await store.read(POOL))
                    assert await store.snapshot(POOL) == await replay(records, pool_id=POOL)
                if not reached:
                    break

    async def test_a_cancelled_watcher_can_go_on_from_what_it_saw(self) -> None:
        for moment in Moment:
            async with self.opened() as store:
                await lengthen(store, 600)
                records = await store.read(POOL)
                before = asyncio.all_tasks()
                for suspension in itertools.count():
                    seen: list[AgentPoolStoreCursor] = []
                    reached = await cancel_at(
                        suspension,
                        lambda: _watch_into(store, len(records), seen),  # noqa: B023  # run here
                        moment=moment,
                    )
                    assert not await tasks_left(before)
                    assert seen == [each.cursor for each in records[: len(seen)]]
                    async with aclosing(store.watch(POOL, seen[-1] if seen else None)) as watch:
                        rest = await take(watch, len(records) - len(seen))
                    assert rest == records[len(seen) :]
                    if not reached:
                        break

    async def test_a_cancelled_opening_of_a_store_leaves_nothing_behind(self) -> None:
        async def open_and_use() -> None:
            async with self.empty() as store:
                await furnish(store)

        before = asyncio.all_tasks()
        for moment in Moment:
            for suspension in itertools.count():
                reached = await cancel_at(suspension, open_and_use, moment=moment)
                assert not await tasks_left(before)
                if not reached:
                    break

    async def test_cancelled_calls_do_not_harm_those_beside_them(self) -> None:
        for turns in range(6):
            async with self.opened() as store:
                messages = [a_message(f"message.{number}") for number in range(40)]
                tasks = [asyncio.ensure_future(record(store, each)) for each in messages]
                for _ in range(turns):
                    await asyncio.sleep(0)
                for task in tasks[::2]:
                    task.cancel()
                await asyncio.wait(tasks)
                records = await payloads(store)
                assert len({task.result() for task in tasks[1::2]}) == 20
                assert 21 <= len(records) <= 41
                again = await asyncio.gather(*(record(store, each) for each in messages))
                assert [each.result() for each in tasks[1::2]] == again[1::2]
                assert len(await payloads(store)) == 41

    async def test_the_key_tells_what_became_of_a_cancelled_message(self) -> None:
        for moment in Moment:
            async with self.opened() as store:
                for suspension in itertools.count():
                    message = a_message(f"message.{suspension}")
                    before = len(await payloads(store))
                    reached = await cancel_at(
                        suspension,
                        lambda: record(store, message),  # noqa: B023  # run here
                        moment=moment,
                    )
                    known = await store.message_receipt(POOL, message.idempotency_key)
                    assert len(await payloads(store)) == before + (known is not None)
                    if not reached:
                        break

    async def test_a_call_in_a_cancelled_scope_leaves_the_handle_usable(self) -> None:
        async with self.opened() as store:
            await furnish(store)
            before = asyncio.all_tasks()
            for call in CALLS.values():
                with anyio.CancelScope() as scope:
                    scope.cancel()
                    await _again(call(store, POOL))
                assert not await tasks_left(before)
                await _again(call(store, POOL))
            await payloads(store)


async def _each_place(store: AgentPoolStore, call: Call, moment: Moment) -> AsyncIterator[str]:
    """Name one pool after another, in which the call was cancelled one place later each time."""
    for suspension in itertools.count():
        pool_id = f"pool.{suspension}"
        await furnish(store, pool_id)
        async with asyncio.timeout(PATIENCE):
            reached = await cancel_at(
                suspension,
                lambda: call(store, pool_id),  # noqa: B023  # it is run before the next one
                moment=moment,
            )
        yield pool_id
        if not reached:
            return


async def _watch_into(store: AgentPoolStore, count: int, seen: list[AgentPoolStoreCursor]) -> None:
    async with aclosing(store.watch(POOL)) as watch:
        async for each in watch:
            seen.append(each.cursor)
            if len(seen) == count:
                return
