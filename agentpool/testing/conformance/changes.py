"""Turns at looking: whoever looks at each turn misses nothing."""

import asyncio
from contextlib import ExitStack

from agentpool.errors import NotAMemberError, StoreClosedError
from agentpool.rules.command import Decision
from agentpool.stores.turns import Turns
from agentpool.testing.cancellation import tasks_left
from agentpool.testing.conformance.executing import Ask
from agentpool.testing.conformance.kit import (
    POOL,
    StoreKit,
    a_turn,
    first_of,
    furnish,
    payloads,
    record,
    refusal,
)
from agentpool.testing.values import a_member, a_message

__all__ = ("ChangesTests",)


def waiting_for(turns: Turns) -> "asyncio.Task[None]":
    """Wait for the next turn in a task."""

    async def wait() -> None:
        await anext(turns)

    return asyncio.ensure_future(wait())


class ChangesTests(StoreKit):
    """``changes``."""

    async def test_the_first_turn_comes_at_once(self) -> None:
        async with self.opened() as store:
            await a_turn(store, POOL)

    async def test_a_turn_before_an_append_is_followed_by_one_after_it(self) -> None:
        async with self.opened() as store:
            with store.changes(POOL) as turns:
                await anext(turns)
                for number in range(5):
                    await record(store, a_message(f"message.{number}"))
                    await anext(turns)
                    assert len(await payloads(store)) == 2 + number

    async def test_a_waiting_task_is_woken_and_finds_the_change(self) -> None:
        async with self.opened() as store:
            with store.changes(POOL) as turns:
                await anext(turns)
                waiting = waiting_for(turns)
                await asyncio.sleep(0)
                await store.join_member(POOL, a_member())
                await waiting
                assert (await store.snapshot(POOL)).members == (a_member(),)

    async def test_a_pool_that_is_not_opened_yet_can_be_followed(self) -> None:
        async with self.opened() as store:
            with store.changes("pool.new") as turns:
                await anext(turns)
                await store.open_pool("pool.new")
                await anext(turns)

    async def test_a_change_of_another_pool_brings_no_turn(self) -> None:
        async with self.opened("pool.x", "pool.y") as store:
            with store.changes("pool.x") as turns:
                await anext(turns)
                waiting = waiting_for(turns)
                for number in range(5):
                    await store.join_member("pool.y", a_member(f"run.{number}"))
                await asyncio.sleep(0)
                # A store that hears of others' commits in passing may wake it once, for nothing.
                woken = waiting.done()
                if woken:
                    waiting = waiting_for(turns)
                    await store.join_member("pool.y", a_member("run.again"))
                    await asyncio.sleep(0)
                    assert not waiting.done()
                await store.join_member("pool.x", a_member())
                await waiting

    async def test_one_turn_is_followed_by_another(self) -> None:
        async with self.opened() as store:
            with store.changes(POOL) as turns:
                await anext(turns)
                await store.join_member(POOL, a_member())
                await anext(turns)
                waiting = waiting_for(turns)
                await record(store, a_message())
                await waiting

    async def test_an_announcement_brings_a_turn_though_nothing_was_appended(self) -> None:
        async with self.opened() as store:
            with store.changes(POOL) as turns:
                await anext(turns)
                await store.execute(POOL, Ask(lambda _: Decision(None, announce=True)))
                await anext(turns)
            assert len(await payloads(store)) == 1

    async def test_everybody_is_told(self) -> None:
        async with self.opened() as store:
            with ExitStack() as stack:
                everybody = [stack.enter_context(store.changes(POOL)) for _ in range(20)]
                for turns in everybody:
                    await anext(turns)
                waiting = [waiting_for(turns) for turns in everybody]
                await asyncio.sleep(0)
                await store.join_member(POOL, a_member())
                await asyncio.gather(*waiting)

    async def test_taking_turns_does_not_disturb_watchers_nor_they_it(self) -> None:
        async with self.empty() as store:
            await furnish(store)
            with store.changes(POOL) as turns:
                await anext(turns)
                for number in range(3):
                    await first_of(store, POOL)  # the last watcher leaves, this one stays
                    await store.join_member(POOL, a_member(f"run.{number}"))
                    await anext(turns)

    async def test_one_that_leaves_does_not_silence_the_others(self) -> None:
        async with self.opened() as store:
            with store.changes(POOL) as turns:
                with store.changes(POOL):
                    pass
                await anext(turns)
                await store.join_member(POOL, a_member())
                await anext(turns)

    async def test_a_block_that_fails_passes_its_error_on_and_stops_listening(self) -> None:
        before = asyncio.all_tasks()
        async with self.opened() as store:
            try:
                with store.changes(POOL):
                    await store.leave_member(POOL, "run.nobody")
            except NotAMemberError:
                pass
            else:
                raise AssertionError
        assert not await tasks_left(before)

    async def test_taking_turns_is_refused_after_closing(self) -> None:
        async with self.opened() as store:
            made_before = store.changes(POOL)
            await store.aclose()
            await refusal(StoreClosedError, a_turn(store, POOL))
            try:
                made_before.__enter__()
            except StoreClosedError:
                return
            raise AssertionError

    async def test_closing_ends_the_turns_so_that_nobody_waits_for_ever(self) -> None:
        before = asyncio.all_tasks()
        async with self.opened() as store:
            with store.changes(POOL) as turns:
                await anext(turns)
                waiting = waiting_for(turns)
                await asyncio.sleep(0)
                await store.aclose()
                await refusal(StoreClosedError, waiting)
        assert not await tasks_left(before)
