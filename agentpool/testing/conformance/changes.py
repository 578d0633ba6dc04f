"""Signals of change: whoever takes one, looks, and then waits for it, misses nothing."""

import asyncio
from contextlib import ExitStack

from agentpool.errors import NotAMemberError, StoreClosedError
from agentpool.rules.command import Decision
from agentpool.testing.cancellation import tasks_left
from agentpool.testing.conformance.executing import Ask
from agentpool.testing.conformance.kit import (
    POOL,
    StoreKit,
    first_of,
    furnish,
    payloads,
    record,
    refusal,
    signal_of,
)
from agentpool.testing.values import a_member, a_message

__all__ = ("ChangesTests",)


class ChangesTests(StoreKit):
    """``changes``."""

    async def test_a_signal_taken_before_an_append_fires_after_it(self) -> None:
        async with self.opened() as store:
            with store.changes() as current:
                for number in range(5):
                    signal = current()
                    await record(store, a_message(f"message.{number}"))
                    await signal.wait()
                    assert len(await payloads(store)) == 2 + number

    async def test_a_waiting_task_is_woken_and_finds_the_change(self) -> None:
        async with self.opened() as store:
            with store.changes() as current:
                waiting = asyncio.ensure_future(current().wait())
                await asyncio.sleep(0)
                await store.join_member(POOL, a_member())
                await waiting
                assert (await store.snapshot(POOL)).members == (a_member(),)

    async def test_a_change_of_any_pool_fires(self) -> None:
        async with self.opened("pool.x", "pool.y") as store:
            with store.changes() as current:
                for pool_id in ("pool.x", "pool.y"):
                    signal = current()
                    await store.join_member(pool_id, a_member())
                    await signal.wait()
                signal = current()
                await store.open_pool("pool.new")
                await signal.wait()

    async def test_a_signal_that_fired_is_followed_by_a_new_one(self) -> None:
        async with self.opened() as store:
            with store.changes() as current:
                first = current()
                await store.join_member(POOL, a_member())
                await first.wait()
                second = current()
                assert second is not first
                assert first.fired
                await record(store, a_message())
                await second.wait()

    async def test_an_announcement_fires_though_nothing_was_appended(self) -> None:
        async with self.opened() as store:
            with store.changes() as current:
                signal = current()
                await store.execute(POOL, Ask(lambda _: Decision(None, announce=True)))
                await signal.wait()
            assert len(await payloads(store)) == 1

    async def test_every_listener_is_told(self) -> None:
        async with self.opened() as store, asyncio.TaskGroup() as tasks:
            with ExitStack() as stack:
                listeners = [stack.enter_context(store.changes()) for _ in range(20)]
                waiting = [tasks.create_task(current().wait()) for current in listeners]
                await asyncio.sleep(0)
                await store.join_member(POOL, a_member())
                await asyncio.gather(*waiting)

    async def test_listening_does_not_disturb_watchers_nor_they_it(self) -> None:
        async with self.empty() as store:
            await furnish(store)
            with store.changes() as current:
                for number in range(3):
                    await first_of(store, POOL)  # the last watcher leaves, the listener stays
                    signal = current()
                    await store.join_member(POOL, a_member(f"run.{number}"))
                    await signal.wait()

    async def test_one_listener_that_leaves_does_not_silence_the_others(self) -> None:
        async with self.opened() as store:
            with store.changes() as current:
                with store.changes():
                    pass
                signal = current()
                await store.join_member(POOL, a_member())
                await signal.wait()

    async def test_a_block_that_fails_passes_its_error_on_and_stops_listening(self) -> None:
        before = asyncio.all_tasks()
        async with self.opened() as store:
            try:
                with store.changes():
                    await store.leave_member(POOL, "run.nobody")
            except NotAMemberError:
                pass
            else:
                raise AssertionError
        assert not await tasks_left(before)

    async def test_listening_is_refused_after_closing(self) -> None:
        async with self.opened() as store:
            made_before = store.changes()
            await store.aclose()
            await refusal(StoreClosedError, signal_of(store))
            try:
                made_before.__enter__()
            except StoreClosedError:
                return
            raise AssertionError

    async def test_closing_fires_so_that_nobody_waits_for_ever(self) -> None:
        before = asyncio.all_tasks()
        async with self.opened() as store:
            with store.changes() as current:
                waiting = asyncio.ensure_future(current().wait())
                await asyncio.sleep(0)
                await store.aclose()
                await waiting
        assert not await tasks_left(before)
