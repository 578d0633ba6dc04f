"""Letting go of a pool, and closing the store below it: nobody hangs, nothing runs on."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final, TypeAlias

from agentpool.errors import StoreClosedError
from agentpool.member import MemberHandle
from agentpool.pool import AgentPool
from agentpool.support.clock import wall_clock
from agentpool.testing.cancellation import tasks_left
from agentpool.testing.conformance.kit import PATIENCE, POOL, payloads, refusal, refusals
from agentpool.testing.conformance.pool_asking import a_question
from agentpool.testing.conformance.pool_kit import PoolKit, an_event, attempts, deliver, events_of
from agentpool.testing.conformance.pool_wakes import a_wait, waiting
from agentpool.testing.values import a_member, a_message
from agentpool.wire.filters import EventFilter
from agentpool.wire.records import MessageStatus, RunAddress
from agentpool.wire.struct import include

__all__ = ("PoolClosingTests",)

Call: TypeAlias = Callable[[AgentPool], Awaitable[object]]


async def _enter(pool: AgentPool) -> None:
    async with pool.member(a_member("run.new")):
        pass


def _acting(pool: AgentPool) -> MemberHandle:
    return pool.acting_as(a_member("run.a"))


async def _iterate(pool: AgentPool) -> None:
    async for _ in pool.inbox("run.a"):
        pass


async def _subscribe(pool: AgentPool) -> None:
    async with aclosing(pool.subscribe(EventFilter())) as events:
        async for _ in events:
            pass


async def _watch(pool: AgentPool) -> None:
    async with aclosing(pool.watch_pool()) as records:
        async for _ in records:
            pass


# Calls that go on for ever in a pool with a registered wake and nothing for run.a.
ENDLESS: Final[dict[str, Call]] = {
    "wait": lambda pool: pool.wait("wake.1"),
    "take": lambda pool: pool.inbox("run.a").take(),
    "iterate": _iterate,
    "ask": lambda pool: pool.ask(a_question(timeout_millis=None)),
    "wait_for_members": lambda pool: pool.wait_for_members(count=100),
    "subscribe": _subscribe,
    "watch_pool": _watch,
}
EVERY_CALL: Final[dict[str, Call]] = {
    **ENDLESS,
    "open": lambda pool: AgentPool.open(pool.store, POOL),
    "join_run": lambda pool: pool.join_run(a_member("run.new")),
    "leave_run": lambda pool: pool.leave_run("run.a"),
    "members": lambda pool: pool.members(),
    "explain": lambda pool: pool.explain("run.a"),
    "member": _enter,
    "snapshot": lambda pool: pool.snapshot(),
    "send": lambda pool: pool.send(a_message("new")),
    "record_message_status": lambda pool: pool.record_message_status(
        a_message("new"), MessageStatus.ACCEPTED
    ),
    "publish": lambda pool: pool.publish(an_event()),
    "scope_filter": lambda pool: pool.scope_filter(EventFilter()),
    "compile_scoped_filter": lambda pool: pool.compile_scoped_filter(EventFilter()),
    "suspend_until": lambda pool: pool.suspend_until("run.a", a_wait("new")),
    "poll_wake": lambda pool: pool.poll_wake("wake.1"),
    "cancel_wake": lambda pool: pool.cancel_wake("wake.1"),
    "peek": lambda pool: pool.inbox("run.a").peek(),
    "me.send": lambda pool: _acting(pool).send(RunAddress.run("run.b"), "content.1"),
    "me.ask": lambda pool: _acting(pool).ask(RunAddress.run("run.b"), "content.1"),
    "me.reply": lambda pool: _acting(pool).reply(a_message(), "content.1"),
    "me.wait_until": lambda pool: _acting(pool).wait_until(EventFilter()),
    "me.publish": lambda pool: _acting(pool).publish("build.done", {"size": 3}),
    "me.write": lambda pool: _acting(pool).write("a body"),
    "me.read": lambda pool: _acting(pool).read(a_message()),
    "me.inbox": lambda pool: _acting(pool).inbox.take(),
}


class PoolClosingTests(PoolKit):
    """``aclose`` of pools and stores."""

    async def test_a_member_that_is_closed_in_another_event_loop_says_so_and_ends_nothing(
        self,
    ) -> None:
        for lease in (30.0, None):
            async with self.opened("run.a") as pool:
                await deliver(pool, 1, to=RunAddress.run("run.a"))
                me = await pool.member(a_member("run.b"), lease=lease)
                handle = pool.acting_as(a_member("run.a"))
                held = await handle.inbox.take()
                for each in (me, handle):
                    closing = asyncio.to_thread(asyncio.run, each.aclose())
                    await refusal(StoreClosedError, closing)
                await held.ack()
                assert a_member("run.b") in await pool.members()
                await me.aclose()
                assert a_member("run.b") not in await pool.members()

    async def test_closing_the_store_ends_every_endless_call(self) -> None:
        async with self.opened("run.a", "run.b", clock=wall_clock) as pool:
            await waiting(pool, filter=EventFilter(run_ids=include("run.nobody")))
            tasks = [asyncio.ensure_future(call(pool)) for call in ENDLESS.values()]
            await asyncio.wait(tasks, timeout=0.05)
            await pool.store.aclose()
            async with asyncio.timeout(PATIENCE):
                await refusals(StoreClosedError, tasks)

    async def test_everything_is_refused_once_the_store_is_closed(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await pool.store.aclose()
            await refusals(StoreClosedError, (call(pool) for call in EVERY_CALL.values()))

    async def test_closing_a_pool_ends_every_endless_call_of_it(self) -> None:
        async with self.opened("run.a", "run.b", clock=wall_clock) as pool:
            await waiting(pool, filter=EventFilter(run_ids=include("run.nobody")))
            tasks = [asyncio.ensure_future(call(pool)) for call in ENDLESS.values()]
            await asyncio.wait(tasks, timeout=0.05)
            await pool.aclose()
            async with asyncio.timeout(PATIENCE):
                errors = await refusals(StoreClosedError, tasks)
            assert {error.pool_id for error in errors} == {POOL}

    async def test_everything_is_refused_once_the_pool_is_closed_and_changes_nothing(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            other = await AgentPool.open(pool.store, POOL)
            await deliver(pool, 1)
            delivery = await pool.inbox("run.b").take()
            log = await payloads(pool.store)
            await pool.aclose()
            calls = [call(pool) for name, call in EVERY_CALL.items() if name != "open"]
            await refusals(StoreClosedError, [*calls, delivery.ack(), delivery.nack()])
            assert await payloads(pool.store) == log
            assert await other.members() == (a_member("run.a"), a_member("run.b"))
            await other.aclose()

    async def test_closing_a_pool_between_two_events_or_records_ends_their_reader(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await deliver(pool, 2)
            async with (
                aclosing(pool.subscribe(EventFilter())) as events,
                aclosing(pool.watch_pool()) as records,
            ):
                await anext(events)
                await anext(records)
                await pool.aclose()
                await refusals(StoreClosedError, (anext(events), anext(records)))

    async def test_closing_one_object_of_a_pool_leaves_those_who_wait_in_another(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            other = await AgentPool.open(pool.store, POOL)
            taking = asyncio.ensure_future(other.inbox("run.b").take())
            await asyncio.sleep(0)
            await pool.inbox("run.b").peek()
            await pool.aclose()
            await other.send(a_message(to=RunAddress.run("run.b")))
            assert (await taking).message == a_message(to=RunAddress.run("run.b"))
            await other.aclose()

    async def test_what_a_block_had_in_hand_at_its_end_wakes_who_waits_for_it(self) -> None:
        async with self.opened("run.a") as pool, AgentPool.open(pool.store, POOL) as other:
            async with pool.member(a_member("run.b"), stays=True) as me:
                await deliver(pool, 1)
                _held = await me.inbox.take()
                taking = asyncio.ensure_future(other.inbox("run.b").take())
                await other.inbox("run.b").peek()
            assert attempts([await taking]) == [("message.1", 1)]

    async def test_a_member_leaves_its_block_in_peace_when_the_pool_was_closed(self) -> None:
        async with self.opened("run.b") as pool:
            other = await AgentPool.open(pool.store, POOL)
            async with pool.member(a_member("run.a")):
                await pool.aclose()
            assert await other.members() == (a_member("run.b"),)
            await other.aclose()

    async def test_a_claim_cannot_be_ended_once_the_store_is_closed(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await deliver(pool, 1)
            delivery = await pool.inbox("run.b").take()
            await pool.store.aclose()
            await refusals(StoreClosedError, (delivery.ack(), delivery.nack()))

    async def test_a_member_leaves_its_block_in_peace_when_the_store_was_closed(self) -> None:
        async with self.opened() as pool, pool.member(a_member("run.a")):
            await pool.store.aclose()

    async def test_nothing_runs_on_after_pool_and_store_were_closed(self) -> None:
        before = asyncio.all_tasks()
        async with self.opened("run.a", "run.b", clock=wall_clock) as pool:
            await waiting(pool, timeout_millis=10)
            async with pool.member(a_member("run.c")) as me:
                await me.wait_until(a_wait().filter, timeout=0.01)
                await deliver(pool, 1)
                delivery = await pool.inbox("run.b").take()
                await delivery.ack()
                await events_of(pool, 4)
            tasks = [asyncio.ensure_future(call(pool)) for call in ENDLESS.values()]
            await asyncio.wait(tasks, timeout=0.02)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        assert not await tasks_left(before)

    async def test_nothing_runs_on_after_the_last_pool_object_was_closed(self) -> None:
        async with self.opened("run.a", "run.b", clock=wall_clock) as pool:
            other = await AgentPool.open(pool.store, POOL)
            ending = asyncio.ensure_future(pool.inbox("run.a").take())
            await asyncio.wait([ending], timeout=0.02)
            ending.cancel()
            await asyncio.wait([ending])
            running = {each for each in asyncio.all_tasks() if each is not asyncio.current_task()}
            await other.aclose()
            await pool.aclose()
            assert not await tasks_left(asyncio.all_tasks() - running)

    async def test_closing_a_pool_twice_or_from_many_tasks_is_once(self) -> None:
        async with self.opened("run.a") as pool:
            other = await AgentPool.open(pool.store, POOL)
            await asyncio.gather(*(other.aclose() for _ in range(5)))
            await other.aclose()
            assert await pool.members() == (a_member("run.a"),)

    async def test_a_pool_can_be_opened_again_after_the_last_was_closed(self) -> None:
        async with self.opened("run.a", "run.b", clock=wall_clock) as pool:
            await pool.aclose()
            async with AgentPool.open(pool.store, POOL) as again:
                await waiting(again, timeout_millis=20)
                assert (await again.wait("wake.1")).registration.status == "timed_out"
