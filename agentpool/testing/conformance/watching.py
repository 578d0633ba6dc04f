"""Watching the log: what is there, then what comes, for every watcher once and in order."""

import asyncio
from contextlib import aclosing

from agentpool.stores.base import AgentPoolStore
from agentpool.testing.cancellation import tasks_left
from agentpool.testing.conformance.kit import (
    POOL,
    StoreKit,
    append_many,
    first_of,
    furnish,
    lengthen,
    payloads,
    record,
    take,
)
from agentpool.testing.values import a_member, a_message
from agentpool.wire.records import START, AgentPoolStoreCursor, AgentPoolStoreRecord

__all__ = ("WatchingTests",)


async def collect(
    store: AgentPoolStore, count: int, cursor: AgentPoolStoreCursor | None = None
) -> list[AgentPoolStoreRecord]:
    """Watch for some records."""
    async with aclosing(store.watch(POOL, cursor)) as watch:
        return await take(watch, count)


class WatchingTests(StoreKit):
    """``watch``."""

    async def test_a_watcher_sees_what_is_there_and_then_what_comes(self) -> None:
        async with self.empty() as store:
            await furnish(store)
            async with aclosing(store.watch(POOL)) as watch:
                seen = await take(watch, 5)
                for number in range(3):
                    await record(store, a_message(f"live.{number}"))
                    seen.append(await anext(watch))
            assert seen == await store.read(POOL)

    async def test_a_waiting_watcher_is_woken(self) -> None:
        async with self.opened() as store, aclosing(store.watch(POOL)) as watch:
            await anext(watch)
            waiting = asyncio.ensure_future(anext(watch))
            for _ in range(10):
                await asyncio.sleep(0)
            assert not waiting.done()
            cursor = await store.join_member(POOL, a_member())
            assert (await waiting).cursor == cursor

    async def test_a_record_is_seen_however_far_a_watcher_was_when_it_came(self) -> None:
        async with self.opened() as store:
            for turns in range(10):
                place = (await store.read(POOL))[-1].cursor
                task = asyncio.ensure_future(first_of(store, POOL, place))
                for _ in range(turns):
                    await asyncio.sleep(0)
                cursor = await record(store, a_message(f"message.{turns}"))
                assert (await task).cursor == cursor

    async def test_a_watcher_begins_after_its_cursor(self) -> None:
        async with self.empty() as store:
            await furnish(store)
            records = await store.read(POOL)
            for cursor in (None, START, *(each.cursor for each in records[:-1])):
                after = records if cursor is None else records[cursor.sequence :]
                assert await collect(store, len(after), cursor) == after

    async def test_a_watcher_at_the_end_sees_only_what_comes(self) -> None:
        async with self.empty() as store:
            await furnish(store)
            async with aclosing(store.watch(POOL, AgentPoolStoreCursor(5))) as watch:
                cursor = await store.join_member(POOL, a_member("run.c"))
                assert (await anext(watch)).cursor == cursor

    async def test_a_watcher_beyond_the_end_waits_for_the_very_record_after_it(self) -> None:
        async with self.opened() as store, aclosing(store.watch(POOL)) as witness:
            waiting = asyncio.ensure_future(first_of(store, POOL, AgentPoolStoreCursor(4)))
            for number in range(3):
                await record(store, a_message(f"message.{number}"))
                await anext(witness)
            await record(store, a_message("message.3"))
            assert (await waiting).cursor == AgentPoolStoreCursor(5)

    async def test_watching_can_go_on_from_the_last_record_seen(self) -> None:
        async with self.opened() as store:
            seen: list[AgentPoolStoreRecord] = []
            for number in range(6):
                await record(store, a_message(f"message.{number}"))
                seen.append(await first_of(store, POOL, seen[-1].cursor if seen else None))
            assert seen == (await store.read(POOL))[:6]

    async def test_watchers_at_different_places_see_each_what_is_theirs(self) -> None:
        async with self.empty() as store:
            await furnish(store)
            tasks = [
                asyncio.ensure_future(collect(store, 25 - place, AgentPoolStoreCursor(place)))
                for place in range(10)
            ]
            await append_many(store, 20)
            records = await store.read(POOL)
            for place, seen in enumerate(await asyncio.gather(*tasks)):
                assert seen == records[place:]

    async def test_a_hundred_watchers_see_the_same(self) -> None:
        async with self.opened() as store:
            tasks = [asyncio.ensure_future(collect(store, 41)) for _ in range(100)]
            for burst in range(4):
                await append_many(store, 10, name=f"burst.{burst}")
            records = await store.read(POOL)
            assert all(seen == records for seen in await asyncio.gather(*tasks))

    async def test_a_long_history_is_seen_whole(self) -> None:
        async with self.opened() as store:
            await lengthen(store, 1203)
            async with aclosing(store.watch(POOL)) as watch:
                assert await take(watch, 1204) == await store.read(POOL)
                cursor = await store.join_member(POOL, a_member())
                assert (await anext(watch)).cursor == cursor

    async def test_a_paused_watcher_holds_up_nobody_and_misses_nothing(self) -> None:
        async with self.opened() as store, aclosing(store.watch(POOL)) as paused:
            seen = [await anext(paused)]
            await lengthen(store, 1203)
            await store.snapshot(POOL)
            assert len(await collect(store, 1204)) == 1204
            seen += await take(paused, 1203)
            assert seen == await store.read(POOL)

    async def test_a_watcher_sees_its_own_pool_only(self) -> None:
        async with self.opened() as store, aclosing(store.watch(POOL)) as watch:
            await anext(watch)
            await furnish(store, "pool.other")
            await record(store, a_message("own"))
            own = await anext(watch)
            assert (own.pool_id, own.cursor) == (POOL, AgentPoolStoreCursor(2))

    async def test_appending_while_watching_sees_the_own_records(self) -> None:
        async with self.opened() as store, aclosing(store.watch(POOL)) as watch:
            async for each in watch:
                if each.cursor.sequence == 20:
                    break
                await record(store, a_message(f"after.{each.cursor.sequence}"))
            assert len(await payloads(store)) == 20

    async def test_a_watcher_may_break_off(self) -> None:
        before = asyncio.all_tasks()
        async with self.empty() as store:
            await furnish(store)
            async for each in store.watch(POOL):
                if each.cursor.sequence == 2:
                    break
            await store.join_member(POOL, a_member("run.c"))
            assert len(await collect(store, 6)) == 6
        assert not await tasks_left(before)

    async def test_a_watch_can_be_closed_at_any_step(self) -> None:
        before = asyncio.all_tasks()
        async with self.empty() as store:
            await furnish(store)
            for steps in range(5):
                watch = store.watch(POOL)
                await take(watch, steps)
                await watch.aclose()
                await watch.aclose()
                assert [each async for each in watch] == []
            assert len(await collect(store, 5)) == 5
        assert not await tasks_left(before)

    async def test_a_cancelled_watcher_leaves_the_others_alone(self) -> None:
        async with self.opened() as store:
            tasks = [asyncio.ensure_future(collect(store, 11)) for _ in range(10)]
            await record(store, a_message("first"))
            for task in tasks[::2]:
                task.cancel()
            await append_many(store, 9)
            await asyncio.wait(tasks)
            records = await store.read(POOL)
            assert all(task.cancelled() for task in tasks[::2])
            assert all(task.result() == records for task in tasks[1::2])

    async def test_no_task_is_left_when_the_last_watcher_has_gone(self) -> None:
        async with self.opened() as store:
            before = asyncio.all_tasks()
            for _ in range(3):
                await asyncio.gather(*(collect(store, 1) for _ in range(5)))
                assert not await tasks_left(before)

    async def test_a_watcher_that_keeps_what_is_unknown_sees_the_same_where_all_is_known(
        self,
    ) -> None:
        async with self.empty() as store:
            await furnish(store)
            async with aclosing(store.watch(POOL, keep_unknown=True)) as watch:
                assert await take(watch, 5) == await store.read(POOL)
