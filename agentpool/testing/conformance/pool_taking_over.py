"""One block holds a run: what becomes of it when another takes it, or its lease runs out."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from agentpool.errors import ClaimLostError, MembershipLostError
from agentpool.inbox import Delivery
from agentpool.member import MemberHandle
from agentpool.support.clock import wall_clock
from agentpool.testing.conformance.kit import PATIENCE, payloads, refusal
from agentpool.testing.conformance.pool_kit import ManualClock, PoolKit, an_event, attempts
from agentpool.testing.conformance.pool_presence import run_out
from agentpool.testing.values import a_member, a_message
from agentpool.wire.event_kinds import EventKind
from agentpool.wire.filters import EventFilter
from agentpool.wire.records import MemberJoined, MemberLeft, RunAddress
from agentpool.wire.struct import include

__all__ = ("PoolTakingOverTests",)

MEMBER: Final = a_member("run.a")
OTHER: Final = RunAddress.run("run.b")
DONE: Final = EventFilter(kinds=include(EventKind.RUN_COMPLETED))

WAITS: Final[dict[str, Callable[[MemberHandle], Awaitable[object]]]] = {
    "take": lambda me: me.inbox.take(),
    "wait_until": lambda me: me.wait_until(DONE),
    "ask": lambda me: me.ask(OTHER, content_ref="content.question", timeout=1000),
}
ACTS: Final[dict[str, Callable[[MemberHandle], Awaitable[object]]]] = {
    "send": lambda me: me.send(OTHER, content_ref="content.1"),
    **WAITS,
}


async def _handled(delivery: Delivery) -> None:
    async with delivery:
        await asyncio.sleep(0)


ENDS: Final[dict[str, Callable[[MemberHandle, Delivery], Awaitable[object]]]] = {
    "ack": lambda _, held: held.ack(),
    "nack": lambda _, held: held.nack(),
    "the end of its block": lambda _, held: _handled(held),
    "ack_many": lambda me, held: me.inbox.ack_many([held]),
    "ack by its token": lambda me, held: me.inbox.ack(held.token),
}


class PoolTakingOverTests(PoolKit):
    """Blocks of one run, one after another and at the same time."""

    async def test_a_second_block_takes_the_run_over(self) -> None:
        async with self.opened("run.b", clock=wall_clock) as pool:
            async with pool.member(MEMBER) as first:
                async with pool.member(MEMBER) as second:
                    for act in ACTS.values():
                        error = await refusal(MembershipLostError, act(first))
                        assert "has taken it over" in str(error)
                    await second.send(OTHER, content_ref="content.1")
                assert await pool.members() == (a_member("run.b"),)
            log = await payloads(pool.store)
            assert log.count(MemberJoined(MEMBER)) == log.count(MemberLeft(MEMBER)) == 1

    async def test_what_the_first_block_had_in_hand_is_there_for_the_second_at_once(self) -> None:
        for end in ENDS.values():
            async with (
                self.opened("run.b", clock=ManualClock()) as pool,
                pool.member(MEMBER) as first,
            ):
                await pool.send(a_message(sender="run.b", to=RunAddress.run("run.a")))
                held = await first.inbox.take()
                async with pool.member(MEMBER) as second, asyncio.timeout(PATIENCE):
                    await refusal(MembershipLostError, end(first, held))
                    assert attempts([await second.inbox.take()]) == [("message.1", 1)]
                    await refusal(ClaimLostError, pool.inbox("run.a").ack(held.token))

    async def test_the_end_of_a_block_that_has_lost_its_run_lets_nobody_leave(self) -> None:
        async with self.opened("run.b") as pool:
            first, second = pool.member(MEMBER), pool.member(MEMBER, lease=None)
            await first.__aenter__()
            me = await second.__aenter__()
            await first.__aexit__(None, None, None)
            assert MEMBER in await pool.members()
            await me.send(OTHER, content_ref="content.1")
            await second.__aexit__(None, None, None)
            assert MEMBER not in await pool.members()

    async def test_whoever_waits_is_told_when_the_run_is_taken_over(self) -> None:
        for lease in (30.0, None):
            async with (
                self.opened("run.b", clock=wall_clock) as pool,
                pool.member(MEMBER, lease) as first,
            ):
                tasks = [asyncio.ensure_future(each(first)) for each in WAITS.values()]
                await asyncio.wait(tasks, timeout=0.05)
                async with pool.member(MEMBER), asyncio.timeout(PATIENCE):
                    for task in tasks:
                        await refusal(MembershipLostError, task)

    async def test_whoever_waits_is_told_when_the_run_is_let_go(self) -> None:
        async with self.opened("run.b", clock=wall_clock) as pool, pool.member(MEMBER) as me:
            taking = asyncio.ensure_future(me.inbox.take())
            await asyncio.wait([taking], timeout=0.05)
            await pool.leave_run("run.a")
            async with asyncio.timeout(PATIENCE):
                error = await refusal(MembershipLostError, taking)
            assert "let go" in str(error)
            await refusal(MembershipLostError, me.send(OTHER, content_ref="content.1"))
            assert MEMBER not in await pool.members()

    async def test_a_member_whose_lease_ran_out_comes_back_when_it_acts(self) -> None:
        for act in (ACTS["send"], lambda me: me.wait_until(DONE, timeout=0)):
            async with self.opened("run.b") as pool, pool.member(MEMBER) as me:
                await run_out(pool)
                assert (await payloads(pool.store)).count(MemberLeft(MEMBER)) == 1
                await act(me)
                assert MEMBER in await pool.members()

    async def test_a_member_whose_lease_ran_out_does_not_come_back_where_it_is_not_to(
        self,
    ) -> None:
        async with (
            self.opened("run.b", clock=wall_clock) as pool,
            pool.member(MEMBER, rejoin=False) as me,
        ):
            await run_out(pool)
            for act in ACTS.values():
                error = await refusal(MembershipLostError, act(me))
                assert "lease ran out" in str(error)
            assert MEMBER not in await pool.members()

    async def test_waits_in_flight_go_on_with_what_happened_while_the_run_was_away(self) -> None:
        async with self.opened("run.b", clock=wall_clock) as pool, pool.member(MEMBER) as me:
            waits = [
                asyncio.ensure_future(me.wait_until(DONE, timeout=1000)),
                asyncio.ensure_future(me.wait_until(DONE, timeout=1000, idempotency_key="key.1")),
            ]
            taking = asyncio.ensure_future(me.inbox.take())
            await asyncio.wait([*waits, taking], timeout=0.05)
            await run_out(pool)
            await pool.publish(an_event(run_id="run.b"))
            async with asyncio.timeout(PATIENCE):
                assert [(await each).triggered for each in waits] == [True, True]
            await pool.acting_as(a_member("run.b")).send(RunAddress.run("run.a"), "go on")
            async with asyncio.timeout(PATIENCE):
                assert await (await taking).text() == "go on"
