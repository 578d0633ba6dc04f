"""Cancellation at every place of every call: the effect is whole or none, and nothing is lost."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Final, NamedTuple, TypeAlias

from agentpool.errors import ClaimLostError, NotAMemberError
from agentpool.inbox import Delivery
from agentpool.member import MemberHandle
from agentpool.pool import AgentPool
from agentpool.stores.base import AgentPoolStore
from agentpool.support.clock import wall_clock
from agentpool.testing.cancellation import Moment, cancel_at, tasks_left
from agentpool.testing.conformance.kit import (
    PATIENCE,
    POOL,
    Append,
    message_record,
    payloads,
    wake_record,
)
from agentpool.testing.conformance.pool_asking import a_question
from agentpool.testing.conformance.pool_kit import (
    ManualClock,
    PoolKit,
    a_reply,
    acked,
    an_event,
    carry_out_due,
    peeked,
)
from agentpool.testing.conformance.pool_wakes import DELIVERIES, a_wait
from agentpool.testing.values import a_member, a_message
from agentpool.wire.filters import EventFilter
from agentpool.wire.records import (
    AgentPoolStoreConfig,
    MemberJoined,
    MessageStatus,
    PoolCreated,
    PoolOpened,
    RunAddress,
    RunMessage,
    WakeRegistrationStatus,
)
from agentpool.wire.struct import include

__all__ = ("PoolCancellationTests",)

NEVER: Final = EventFilter(run_ids=include("run.nobody"))
TO_A, TO_B = RunAddress.run("run.a"), RunAddress.run("run.b")
HELD: Final = a_message("message.0", sender="run.b", to=TO_A)


class Furnished(NamedTuple):
    """A pool with an ended and a waiting wake, and messages for ``run.a``, the first claimed."""

    pool: AgentPool
    me: MemberHandle
    held: Delivery

    async def state(self) -> tuple[list[object], list[str], int]:
        """Say all that a call may change, but for the claims.

        A call that was cancelled may still be under way; what is asked to be written after it
        comes after it.
        """
        await carry_out_due(self.pool)
        return (
            await payloads(self.pool.store, self.pool.pool_id),
            await peeked(self.me.inbox),
            await self.pool.store.query(self.pool.pool_id, lambda view: view.event_sequence),
        )


Call: TypeAlias = Callable[[Furnished], Awaitable[object]]


async def _open_and_close(store: AgentPoolStore, pool_id: str) -> None:
    async with AgentPool.open(store, pool_id):
        pass


async def _first_event(it: Furnished) -> None:
    async with aclosing(it.pool.subscribe(EventFilter())) as events:
        await anext(events)


async def _first_record(it: Furnished) -> None:
    async with aclosing(it.pool.watch_pool()) as records:
        await anext(records)


CALLS: Final[dict[str, Call]] = {
    "open": lambda it: _open_and_close(it.pool.store, it.pool.pool_id),
    "join_run": lambda it: it.pool.join_run(a_member("run.new")),
    "leave_run": lambda it: it.pool.leave_run("run.b"),
    "members": lambda it: it.pool.members(),
    "snapshot": lambda it: it.pool.snapshot(),
    "watch_pool": _first_record,
    "send": lambda it: it.pool.send(a_message("new")),
    "send to nobody": lambda it: it.pool.send(a_message("new", to=RunAddress.run("run.x"))),
    "record_message_status": lambda it: it.pool.record_message_status(
        HELD, MessageStatus.CANCELLED
    ),
    "publish": lambda it: it.pool.publish(an_event()),
    "subscribe": _first_event,
    "scope_filter": lambda it: it.pool.scope_filter(EventFilter()),
    "compile_scoped_filter": lambda it: it.pool.compile_scoped_filter(EventFilter()),
    "suspend_until": lambda it: it.pool.suspend_until("run.a", a_wait("new")),
    "poll_wake": lambda it: it.pool.poll_wake("wake.waiting"),
    "cancel_wake": lambda it: it.pool.cancel_wake("wake.waiting"),
    "wait": lambda it: it.pool.wait("wake.ended"),
    "ask": lambda it: it.pool.ask(a_question(expected=0)),
    "peek": lambda it: it.me.inbox.peek(),
    "ack": lambda it: it.held.ack(),
    "nack": lambda it: it.held.nack(),
    "me.send": lambda it: it.me.send(TO_B, content_ref="content.1", message_id="new"),
    "me.ask": lambda it: it.me.ask(TO_B, content_ref="content.1", expected=0, message_id="new"),
    "me.reply": lambda it: it.me.reply(HELD, content_ref="content.1", idempotency_key="new"),
    "me.wait_until": lambda it: it.me.wait_until(DELIVERIES, idempotency_key="new"),
}
RANDOM_IDS: Final = frozenset({"me.reply"})


class PoolCancellationTests(PoolKit):
    """Cancelled calls of a pool, a member handle, an inbox and a delivery."""

    async def test_a_call_cancelled_as_it_waits_has_its_whole_effect_or_none(self) -> None:
        for name, call in CALLS.items():
            await self._interrupt(name, call, Moment.SUSPENDED)

    async def test_a_call_cancelled_as_it_resumes_has_its_whole_effect_or_none(self) -> None:
        for name, call in CALLS.items():
            await self._interrupt(name, call, Moment.RESUMING)

    async def test_a_call_cancelled_by_a_scope_has_its_whole_effect_or_none(self) -> None:
        for name, call in CALLS.items():
            await self._interrupt(name, call, Moment.IN_SCOPE)

    async def _interrupt(self, name: str, call: Call, moment: Moment) -> None:
        """Cancel a call at each place, in a pool of its own each time, all on one handle."""
        async with asyncio.timeout(PATIENCE), self.open_store(ManualClock()) as store:
            before = asyncio.all_tasks()
            undisturbed = await _furnish(store, "undisturbed")
            untouched = await undisturbed.state()
            await call(undisturbed)
            complete = await undisturbed.state()
            await undisturbed.pool.aclose()
            async for it in _each_place(store, call, moment):
                if name not in RANDOM_IDS:
                    assert await it.state() in (untouched, complete), name
                with suppress(NotAMemberError, ClaimLostError):
                    await call(it)
                assert _size(await it.state()) == _size(complete), name
                await it.pool.aclose()
                assert not await tasks_left(before), name

    async def test_a_cancelled_take_loses_no_message(self) -> None:
        for moment in Moment:
            clock = ManualClock()
            async with asyncio.timeout(PATIENCE), self.open_store(clock) as store:
                before = asyncio.all_tasks()
                async for it in _each_place(store, lambda it: it.me.inbox.take(), moment):
                    await it.held.ack()
                    assert await peeked(it.me.inbox) == ["message.1", "message.2"]
                    clock.advance(30_000)  # the last of them was given it, and let it go
                    assert await acked(it.me.inbox, 2) == ["message.1", "message.2"]
                    await it.pool.aclose()
                    assert not await tasks_left(before)

    async def test_a_cancelled_wait_for_a_message_leaves_it_for_the_next(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            taking = asyncio.ensure_future(pool.inbox("run.b").take())
            await asyncio.wait([taking], timeout=0.02)
            taking.cancel()
            await asyncio.wait([taking])
            await pool.send(a_message())
            assert await acked(pool.inbox("run.b"), 1) == ["message.1"]

    async def test_no_answer_is_lost_on_a_cancelled_ask(self) -> None:
        for moment in Moment:
            for suspension in itertools.count():
                clock = ManualClock()
                async with self.opened("run.a", "run.b", clock=clock) as pool:
                    reached, answers = await _ask_cancelled(pool, suspension, moment)
                    if not answers:
                        answers += await pool.ask(a_question())
                    clock.advance(60_000)
                    await carry_out_due(pool)
                    answers += await pool.inbox("run.a").peek()
                    senders = [each.sender for each in answers]
                    assert senders == ["run.b"], (moment, suspension)
                if not reached:
                    break

    async def test_a_cancelled_wait_until_leaves_no_wait_behind(self) -> None:
        for moment in Moment:
            async with self.opened("run.b") as pool, pool.member(a_member("run.a")) as me:
                for suspension in range(12):

                    async def wait() -> None:
                        async with asyncio.timeout(0.02):
                            await me.wait_until(NEVER)

                    with suppress(TimeoutError):
                        await cancel_at(suspension, wait, moment=moment)
                    wakes = (await pool.snapshot()).wakes
                    assert {each.registration.status for each in wakes} <= {"cancelled"}

    async def test_a_cancelled_member_block_leaves_no_member_that_lives_for_ever(self) -> None:
        for moment in Moment:
            for suspension in itertools.count():
                clock = ManualClock()
                async with self.opened("run.b", clock=clock) as pool:

                    async def be_a_member() -> None:
                        async with pool.member(a_member("run.a")):
                            await asyncio.sleep(0)

                    reached = await cancel_at(suspension, be_a_member, moment=moment)
                    clock.advance(30_000)
                    await carry_out_due(pool)
                    assert await pool.members() == (a_member("run.b"),)
                if not reached:
                    break

    async def test_a_cancelled_opening_or_closing_of_a_pool_leaves_nothing_behind(self) -> None:
        async with self.open_store(wall_clock) as store:
            for moment in Moment:
                for suspension in itertools.count():
                    before = asyncio.all_tasks()
                    reached = await cancel_at(
                        suspension, lambda: _open_and_close(store, POOL), moment=moment
                    )
                    assert not await tasks_left(before)
                    if not reached:
                        break
            async with AgentPool.open(store, POOL) as pool:
                assert await pool.members() == ()


async def _ask_cancelled(
    pool: AgentPool, suspension: int, moment: Moment
) -> tuple[bool, list[RunMessage]]:
    """Ask, be cancelled at some place, and say what was returned; the answer comes in any case."""
    answers: list[RunMessage] = []

    async def ask() -> None:
        answers.extend(await pool.ask(a_question()))

    async def answer() -> None:
        delivery = await pool.inbox("run.b").take()
        await pool.send(a_reply(delivery.message, "run.b"))
        await delivery.ack()

    answering = asyncio.ensure_future(answer())
    reached = await cancel_at(suspension, ask, moment=moment)
    if not await pool.store.message_receipt(POOL, "key.question"):
        await pool.send(a_question())
    await answering
    return reached, answers


async def _each_place(
    store: AgentPoolStore, call: Call, moment: Moment
) -> AsyncIterator[Furnished]:
    """Furnish pools, in each of which the call was cancelled one place later than before."""
    for suspension in itertools.count():
        it = await _furnish(store, f"pool.{suspension}")
        reached = await cancel_at(
            suspension,
            lambda: call(it),  # noqa: B023  # it is run before the next one
            moment=moment,
        )
        yield it
        if not reached:
            return


_BEFORE: Final = Append(
    PoolOpened(AgentPoolStoreConfig()),
    PoolCreated(),
    *(MemberJoined(a_member(run_id)) for run_id in ("run.a", "run.b")),
    wake_record(a_wait("wake.ended")),
    wake_record(a_wait("wake.ended"), WakeRegistrationStatus.TRIGGERED),
    wake_record(a_wait("wake.waiting", filter=NEVER)),
    *(
        message_record(each, MessageStatus.DELIVERED, delivered_to=["run.a"])
        for each in (
            HELD,
            *(a_message(f"message.{n}", sender="run.b", to=TO_A) for n in (1, 2)),
        )
    ),
)


async def _furnish(store: AgentPoolStore, pool_id: str) -> Furnished:
    await store.execute(pool_id, _BEFORE)
    pool = await AgentPool.open(store, pool_id)
    held = await pool.inbox("run.a").take()
    return Furnished(pool, pool.acting_as(a_member("run.a")), held)


def _size(state: tuple[list[object], list[str], int]) -> tuple[int, list[str], int]:
    log, inbox, events = state
    return len(log), inbox, events
