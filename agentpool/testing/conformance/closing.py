"""Closing: what is being done comes to an end, everything after it is refused."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import anyio

from agentpool.errors import StoreClosedError
from agentpool.stores.base import AgentPoolStore
from agentpool.testing.cancellation import Moment, cancel_at, interrupt_at, tasks_left
from agentpool.testing.conformance.kit import (
    EVERY_CALL,
    POOL,
    StoreKit,
    first_of,
    furnish,
    lengthen,
    outcome_of,
    record,
    refusal,
    take,
)
from agentpool.testing.values import a_message
from agentpool.wire.records import AgentPoolStoreCursor

__all__ = ("ClosingTests",)


READING = ("read", "snapshot")


async def assert_closed(store: AgentPoolStore) -> None:
    """Check that every method refuses to do anything."""
    for name, call in EVERY_CALL.items():
        error = await refusal(StoreClosedError, call(store, POOL))
        assert error.retry == "not_retryable", name


class ClosingTests(StoreKit):
    """``aclose``."""

    async def test_every_method_is_refused_after_closing(self) -> None:
        async with self.empty() as store:
            await furnish(store)
            await store.aclose()
            await assert_closed(store)

    async def test_leaving_the_context_closes(self) -> None:
        async with self.opened() as store:
            async with store as entered:
                assert entered is store
            await assert_closed(store)

    async def test_closing_twice_is_closing_once(self) -> None:
        async with self.opened() as store:
            await store.aclose()
            await store.aclose()
            await assert_closed(store)

    async def test_two_tasks_may_close_at_once(self) -> None:
        async with self.opened() as store:
            await asyncio.gather(*(store.aclose() for _ in range(5)))
            await assert_closed(store)

    async def test_closing_an_unused_store_leaves_nothing_behind(self) -> None:
        before = asyncio.all_tasks()
        async with self.empty() as store:
            await store.aclose()
        assert not await tasks_left(before)

    async def test_closing_ends_every_waiting_watcher(self) -> None:
        before = asyncio.all_tasks()
        places = [None, AgentPoolStoreCursor(1), AgentPoolStoreCursor(9)]
        async with self.opened() as store:
            watches = [store.watch(POOL, place) for place in places]
            await anext(watches[0])
            waiting = [asyncio.ensure_future(anext(watch)) for watch in watches]
            await _give_way(10)
            await store.aclose()
            for task in waiting:
                await refusal(StoreClosedError, task)
        assert not await tasks_left(before)

    async def test_closing_ends_a_watcher_at_the_last_place_there_is(self) -> None:
        async with self.opened() as store:
            last = AgentPoolStoreCursor(2**64 - 1)
            waiting = asyncio.ensure_future(first_of(store, POOL, last))
            await _give_way(10)
            await store.aclose()
            await refusal(StoreClosedError, waiting)

    async def test_closing_ends_a_paused_watcher_at_its_next_step(self) -> None:
        async with self.empty() as store:
            await furnish(store)
            async with aclosing(store.watch(POOL)) as watch:
                await take(watch, 2)
                await store.aclose()
                await refusal(StoreClosedError, anext(watch))

    async def test_a_watch_that_has_not_begun_is_refused_after_closing(self) -> None:
        async with self.opened() as store:
            watch = store.watch(POOL)
            await store.aclose()
            await refusal(StoreClosedError, anext(watch))

    async def test_a_paused_watch_can_be_closed_after_the_store(self) -> None:
        before = asyncio.all_tasks()
        async with self.empty() as store:
            await furnish(store)
            watch = store.watch(POOL)
            await anext(watch)
            await store.aclose()
            await watch.aclose()
        assert not await tasks_left(before)

    async def test_appends_in_flight_have_their_record_or_are_refused(self) -> None:
        for turns, more_turns in itertools.product(range(5), range(2)):
            async with self.opened() as store:
                tasks = _start_appends(store, "first")
                await _give_way(turns)
                tasks += _start_appends(store, "then")
                await _give_way(more_turns)
                await store.aclose()
                outcomes = [await outcome_of(task) for task in tasks]
            done = [each for each in outcomes if isinstance(each, AgentPoolStoreCursor)]
            refused = [type(each) for each in outcomes if isinstance(each, Exception)]
            assert sorted(each.sequence for each in done) == list(range(2, 2 + len(done)))
            assert refused == [StoreClosedError] * (len(outcomes) - len(done))

    async def test_whatever_is_in_flight_comes_to_its_end_or_is_refused(self) -> None:
        for name, call in EVERY_CALL.items():
            await self._close_during(name, call)

    async def test_reading_a_long_log_comes_to_its_end_or_is_refused(self) -> None:
        for name in READING:
            await self._close_during(name, EVERY_CALL[name], records=2500)

    async def _close_during(
        self, name: str, call: Callable[[AgentPoolStore, str], Awaitable[object]], records: int = 0
    ) -> None:
        """Close the store at each suspension of a call."""
        before = asyncio.all_tasks()
        for suspension in itertools.count():
            async with self.empty() as store:
                await furnish(store)
                if records:
                    await lengthen(store, records)
                expected = await outcome_of(call(store, POOL)) if name in READING else None
                outcome, reached = await _closed_at(suspension, store, call)
                if isinstance(outcome, Exception):
                    assert type(outcome) is StoreClosedError, f"{name}: {outcome!r}"
                    assert reached
                elif expected is not None:
                    assert outcome == expected, name
            assert not await tasks_left(before), name
            if not reached:
                return

    async def test_a_cancelled_close_closes_all_the_same(self) -> None:
        for moment in Moment:
            for suspension in itertools.count():
                before = asyncio.all_tasks()
                async with self.opened() as store:
                    watch = store.watch(POOL)
                    await anext(watch)
                    waiting = asyncio.ensure_future(anext(watch))
                    await asyncio.sleep(0)
                    reached = await cancel_at(suspension, store.aclose, moment=moment)
                    await assert_closed(store)
                    await refusal(StoreClosedError, waiting)
                    await store.aclose()
                assert not await tasks_left(before)
                if not reached:
                    break

    async def test_closing_in_a_cancelled_scope_closes_all_the_same(self) -> None:
        before = asyncio.all_tasks()
        async with self.opened() as store:
            with anyio.CancelScope() as scope:
                scope.cancel()
                await store.aclose()
            await assert_closed(store)
        assert not await tasks_left(before)

    async def test_a_store_can_be_closed_while_appends_are_being_cancelled(self) -> None:
        before = asyncio.all_tasks()
        for turns in range(3):
            async with self.opened() as store:
                tasks = _start_appends(store, "cancelled")
                await _give_way(turns)
                told = [task.cancel() for task in tasks[::2]]  # but those that have ended
                await store.aclose()
                await asyncio.wait(tasks)
                assert [task.cancelled() for task in tasks[::2]] == told
                for task in tasks[1::2]:
                    outcome = await outcome_of(task)
                    assert isinstance(outcome, AgentPoolStoreCursor | StoreClosedError)
        assert not await tasks_left(before)


async def _give_way(turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


def _start_appends(store: AgentPoolStore, name: str) -> list[asyncio.Task[AgentPoolStoreCursor]]:
    return [
        asyncio.ensure_future(record(store, a_message(f"message.{name}.{number}")))
        for number in range(20)
    ]


async def _closed_at(
    suspension: int,
    store: AgentPoolStore,
    call: Callable[[AgentPoolStore, str], Awaitable[object]],
) -> tuple[object, bool]:
    """Close a store at one suspension of a call; give the call's outcome, and whether it did."""
    outcomes: list[object] = []
    closing: list[asyncio.Task[None]] = []

    async def run() -> None:
        outcomes.append(await outcome_of(call(store, POOL)))

    reached = await interrupt_at(
        suspension, run, lambda _: closing.append(asyncio.ensure_future(store.aclose()))
    )
    await asyncio.gather(*closing)
    [outcome] = outcomes
    return outcome, reached
