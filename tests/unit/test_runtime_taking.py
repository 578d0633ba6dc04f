"""Taking from an inbox: how often the store is asked, and when one looks again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import pytest
from recording_store import RecordingStore
from virtual_time import loop_clock, settled, virtual_time

from agentpool import AgentPool, Delivery, Inbox, RunAddress
from agentpool.rules.claiming import ClaimNext
from agentpool.rules.claims import ClaimTerms
from agentpool.rules.consequences import CatchUp
from agentpool.rules.redelivery import ReturnMessage
from agentpool.rules.sending import Send
from agentpool.rules.topics import ANY, SOME
from agentpool.runtime import upkeep
from agentpool.runtime.opened import OpenedPool
from agentpool.support.clock import Clock
from agentpool.testing import a_member, a_message
from agentpool.testing.conformance.pool_kit import ManualClock

POOL: Final = "pool.test"
LEASE: Final = 30_000


class Taking:
    """A pool without upkeep, in a store that remembers its calls."""

    def __init__(self, store: RecordingStore) -> None:
        self.store = store
        self.opened = OpenedPool(store, POOL)
        self._sent = 0

    async def open(self) -> None:
        await self.store.open_pool(POOL)
        await self.store.execute(POOL, CatchUp())  # from now on there are inboxes
        for run_id in ("run.a", "run.b", "run.c"):
            await self.store.join_member(POOL, a_member(run_id))
        self.store.calls.clear()

    def inbox(self, run_id: str = "run.b") -> Inbox:
        return Inbox(self.opened, run_id, ClaimTerms(LEASE))

    async def send(self, run_id: str = "run.b") -> str:
        """Send a message to a run, and give its id."""
        self._sent += 1
        message = a_message(f"message.{self._sent}", to=RunAddress.run(run_id))
        await self.store.execute(POOL, Send(message))
        return message.message_id

    async def put_off(self, seconds: float, run_id: str = "run.b") -> None:
        """Claim the next message of a run and return it, to be taken again later."""
        claim = await self.store.execute(POOL, ClaimNext(run_id, "test", LEASE))
        assert claim is not None
        await self.store.execute(POOL, ReturnMessage(claim, round(seconds * 1000)))

    async def taking(self, run_id: str = "run.b") -> "asyncio.Task[Delivery]":
        """Take in a task, of which it is clear that it does not end by itself."""
        task = asyncio.create_task(self.inbox(run_id).take())
        await settled()
        assert not task.done()
        return task

    def asked(self) -> list[str]:
        """Say what was asked since the last time."""
        found = [call.what for call in self.store.calls]
        self.store.calls.clear()
        return found


async def taken(task: "asyncio.Task[Delivery]") -> str:
    return (await task).message.message_id


async def cancel(*tasks: "asyncio.Task[Delivery]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@asynccontextmanager
async def a_pool(clock: Clock = loop_clock) -> AsyncIterator[Taking]:
    async with RecordingStore(clock=clock) as store:
        made = Taking(store)
        await made.open()
        yield made
        made.opened.ending.close()


def now() -> float:
    return asyncio.get_running_loop().time()


@virtual_time
async def test_what_is_there_is_asked_for_and_claimed_and_while_it_flows_claimed_only() -> None:
    async with a_pool() as it:
        inbox = it.inbox()
        for _ in range(4):
            await it.send()
        it.asked()
        for expected in (["query", "ClaimNext"], ["ClaimNext"], ["ClaimNext"]):
            await (await inbox.take()).ack()
            assert it.asked() == [*expected, "Acknowledge"]


@virtual_time
async def test_a_flow_that_stopped_has_to_begin_again() -> None:
    async with a_pool() as it:
        inbox = it.inbox()
        await it.send()
        await inbox.take()
        it.asked()
        task = asyncio.create_task(inbox.take())
        await settled()
        asked = it.asked()
        assert asked[:2] == ["ClaimNext", "query"], "hopeful, in vain, and then as any wait"
        assert asked.count("ClaimNext") == 1
        await it.send()
        await task
        await it.send()
        it.asked()
        await inbox.take()
        assert it.asked() == ["query", "ClaimNext"], "the last one was not there at once"


@virtual_time
async def test_a_wait_in_vain_takes_no_claim_until_it_is_touched() -> None:
    async with a_pool() as it:
        task = await it.taking()
        assert "ClaimNext" not in it.asked()
        await it.send("run.c")
        await settled()
        assert "ClaimNext" not in it.asked()
        await it.send()
        await task
        asked = it.asked()
        assert asked == ["Send", "ClaimNext"], "taken without asking first"


@virtual_time
async def test_who_comes_too_late_for_a_message_only_asks_from_then_on() -> None:
    async with a_pool() as it:
        tasks = [await it.taking() for _ in range(2)]
        it.asked()
        first = await it.send()
        done, [waits] = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await settled()
        assert not waits.done()
        assert it.store.count("ClaimNext") == 1, "for one message one of them is woken"
        assert [await taken(each) for each in done] == [first]
        second = await it.send()
        assert await taken(waits) == second


@virtual_time
async def test_a_message_that_was_put_off_is_taken_to_the_moment() -> None:
    """Also where that is farther away than the bound after which one looks again anyway."""
    for seconds in (0.03, 0.5, 2.345, 7.0):
        async with a_pool() as it:
            message = await it.send()
            begun = now()
            await it.put_off(seconds)
            task = await it.taking()
            assert await taken(task) == message
            assert now() - begun == pytest.approx(seconds, abs=0.0011)


@virtual_time
async def test_the_earliest_of_all_inboxes_counts_whoever_came_last() -> None:
    for order in (("run.b", "run.c"), ("run.c", "run.b")):
        async with a_pool() as it:
            begun = now()
            sent = {}
            for run_id, seconds in (("run.b", 0.3), ("run.c", 0.7)):
                sent[run_id] = await it.send(run_id)
                await it.put_off(seconds, run_id)
            tasks = {run_id: await it.taking(run_id) for run_id in order}
            for run_id, seconds in (("run.b", 0.3), ("run.c", 0.7)):
                assert await taken(tasks[run_id]) == sent[run_id]
                assert now() - begun == pytest.approx(seconds, abs=0.0011)


@virtual_time
async def test_a_message_that_is_put_off_while_somebody_waits_is_taken_to_the_moment() -> None:
    async with a_pool() as it:
        message = await it.send()
        claim = await it.store.execute(POOL, ClaimNext("run.b", "test", LEASE))
        assert claim is not None
        task = await it.taking()
        begun = now()
        await it.store.execute(POOL, ReturnMessage(claim, 456))
        assert await taken(task) == message
        assert now() - begun == pytest.approx(0.456, abs=0.0011)


@virtual_time
async def test_a_message_that_comes_back_at_once_is_taken_at_once() -> None:
    async with a_pool() as it:
        message = await it.send()
        claim = await it.store.execute(POOL, ClaimNext("run.b", "test", LEASE))
        assert claim is not None
        task = await it.taking()
        await asyncio.sleep(10)
        begun = now()
        await it.store.execute(POOL, ReturnMessage(claim, 0))
        assert await taken(task) == message
        assert now() - begun == 0


@virtual_time
async def test_a_clock_that_jumps_is_noticed_within_a_second() -> None:
    """As after the machine slept; nothing else tells that a claim has run out."""
    clock = ManualClock()
    async with a_pool(clock) as it:
        message = await it.send()
        assert await it.store.execute(POOL, ClaimNext("run.b", "test", LEASE))
        task = await it.taking()
        await asyncio.sleep(10)
        clock.advance(LEASE)
        begun = now()
        assert await taken(task) == message
        assert now() - begun <= 1


@virtual_time
async def test_a_log_that_never_rests_neither_wakes_who_waits_at_an_inbox_nor_hides_it() -> None:
    async with a_pool() as it:
        message = await it.send()
        claim = await it.store.execute(POOL, ClaimNext("run.b", "test", LEASE))
        assert claim is not None
        task = await it.taking()

        async def traffic() -> None:
            while True:
                await it.send("run.c")
                await asyncio.sleep(0.001)

        busy = asyncio.create_task(traffic())
        await asyncio.sleep(1)
        it.asked()
        await asyncio.sleep(1)
        assert set(it.asked()) == {"Send"}, "what is for others wakes nobody here"
        begun = now()
        await it.store.execute(POOL, ReturnMessage(claim, 0))
        assert await taken(task) == message
        assert now() == begun
        busy.cancel()
        await asyncio.wait([busy])


@virtual_time
async def test_who_waits_in_a_hundred_pools_is_not_troubled_by_what_happens_in_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upkeep, "_LOOK_AT_ALL_EVERY", 10_000.0)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(RecordingStore())
        tasks = []
        for number in range(100):
            pool = await stack.enter_async_context(AgentPool.open(store, f"pool.{number}"))
            await pool.join_run(a_member("run.a"))
            tasks.append(asyncio.create_task(pool.inbox("run.a").take()))
        await settled()
        await asyncio.sleep(0.1)
        await store.open_pool("pool.other")
        await store.join_member("pool.other", a_member("run.a"))
        store.calls.clear()
        await store.execute("pool.other", Send(a_message(to=RunAddress.run("run.a"))))
        await asyncio.sleep(0.5)
        assert [(call.what, call.about) for call in store.calls] == [("Send", ("pool.other",))]
        await cancel(*tasks)


@virtual_time
async def test_a_delivery_that_flowed_is_found_by_others_too() -> None:
    """Hope is for one inbox object: what it hopes for in vain, it then waits for."""
    async with a_pool() as it:
        inbox, other = it.inbox(), it.inbox()
        await it.send()
        await inbox.take()
        tasks = [asyncio.create_task(each.take()) for each in (inbox, other)]
        await settled()
        assert not any(task.done() for task in tasks)
        sent = {await it.send(), await it.send()}
        assert {await taken(task) for task in tasks} == sent


@virtual_time
async def test_a_message_wakes_one_of_many_who_wait_and_costs_what_it_costs_with_one() -> None:
    asked = []
    for consumers in (1, 50):
        async with a_pool() as it:
            tasks = [await it.taking() for _ in range(consumers)]
            it.asked()
            sent = await it.send()
            done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            await settled()
            assert [await taken(each) for each in done] == [sent]
            assert not any(task.done() for task in waiting)
            asked.append(it.asked())
            if waiting:
                await cancel(*waiting)
    assert asked == [["Send", "ClaimNext"]] * 2


@virtual_time
async def test_who_comes_while_others_sleep_asks_nothing_and_comes_after_them() -> None:
    async with a_pool() as it:
        first = await it.taking()
        inbox = it.inbox()
        await it.send()
        assert await taken(first)
        await it.send()
        await inbox.take()  # so it is hopeful from now on
        sleeping = await it.taking()
        it.asked()
        coming = asyncio.create_task(inbox.take())
        await settled()
        assert it.asked() == [], "there is nothing, or somebody would be awake"
        for task in (sleeping, coming):
            sent = await it.send()
            assert await taken(task) == sent
            assert it.asked() == ["Send", "ClaimNext"]


@virtual_time
async def test_who_comes_after_one_that_is_cancelled_misses_nothing() -> None:
    for steps in range(4):
        async with a_pool() as it:
            sleeping = await it.taking()
            coming = asyncio.create_task(it.inbox().take())
            for _ in range(steps):
                await asyncio.sleep(0)
            sleeping.cancel()
            sent = await it.send()
            assert await taken(coming) == sent
            assert sleeping.cancelled()


@virtual_time
async def test_as_many_are_woken_as_there_are_messages_however_they_were_told_of() -> None:
    async with a_pool() as it:
        tasks = [await it.taking() for _ in range(5)]
        sent = {await it.send() for _ in range(3)}
        await settled()
        assert {await taken(task) for task in tasks if task.done()} == sent
        rest = [task for task in tasks if not task.done()]
        await cancel(*rest)
    for telling in ({POOL: {"inbox run.b": SOME}}, {POOL: {ANY: 1}}):
        async with a_pool() as it:
            tasks = [await it.taking() for _ in range(5)]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(it.store.tail, "touch", lambda _touched: None)
                sent = {await it.send() for _ in range(3)}
            it.store.tail.touch(telling)
            await settled()
            assert {await taken(task) for task in tasks if task.done()} == sent
            await cancel(*(task for task in tasks if not task.done()))


@virtual_time
async def test_who_is_cancelled_as_it_was_woken_leaves_the_message_to_the_next() -> None:
    for steps in range(4):
        async with a_pool() as it:
            first, *others = [await it.taking() for _ in range(3)]
            sent = await it.send()
            for _ in range(steps):
                await asyncio.sleep(0)
            if first.cancel():
                await asyncio.wait([first])
                await settled()
                takers = [task for task in others if task.done()]
                claimed = await it.store.execute(POOL, ClaimNext("run.b", "test", LEASE))
                assert claimed is None, "it is with one of them, or was claimed just before"
                assert [await taken(task) for task in takers] in ([sent], [])
            await cancel(*(task for task in others if not task.done()))


@virtual_time
async def test_all_that_is_held_is_let_go_at_once() -> None:
    async with a_pool() as it:
        inbox = it.inbox()
        sent = [await it.send() for _ in range(5)]
        held = await inbox.take_many(4)
        await inbox.let_go()
        assert it.store.count("Unclaim") == 1
        again = await it.inbox().take_many(5)
        assert [each.message.message_id for each in again] == sent
        assert [each.attempt for each in again] == [1] * 5
        await inbox.let_go()
        assert it.store.count("Unclaim") == 1
        assert len(held) == 4
