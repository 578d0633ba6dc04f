"""Being a member for the length of a block, and what becomes of one that is gone."""

import asyncio
from contextlib import suppress
from typing import Final

from msgspec.structs import replace

from agentpool.errors import InvalidValueError, NotAMemberError
from agentpool.pool import AgentPool
from agentpool.rules.command import Command, Decision, PoolView
from agentpool.rules.consequences import CatchUp
from agentpool.rules.holding import lease_of
from agentpool.rules.membership import JoinRun
from agentpool.rules.rows import LEASE as OF_MEMBER
from agentpool.rules.rows import deadline_key, put
from agentpool.support.clock import wall_clock
from agentpool.testing.conformance.kit import POOL, payloads, refusal
from agentpool.testing.conformance.pool_kit import (
    ManualClock,
    PoolKit,
    carry_out_due,
    deliver,
    outlive,
    peeked,
    wake_log,
)
from agentpool.testing.conformance.pool_wakes import waiting
from agentpool.testing.values import a_member
from agentpool.wire.records import MemberJoined, MemberLeft, PoolCreated, RunAddress

__all__ = ("PoolPresenceTests", "run_out")

MEMBER: Final = a_member("run.a")
LEASE = 30_000
BEAT = LEASE // 3
AGES = 10**12


class StopError(Exception):
    """What ends a block."""


class PoolPresenceTests(PoolKit):
    """``member`` and leases."""

    async def test_a_member_joins_and_leaves_with_its_block(self) -> None:
        async with self.opened() as pool:
            async with pool.member(MEMBER) as me:
                assert (me.member, me.run_id) == (MEMBER, "run.a")
                assert await pool.members() == (MEMBER,)
            assert await pool.members() == ()
            log = (await payloads(pool.store))[1:]
            assert log == [PoolCreated(), MemberJoined(MEMBER), MemberLeft(MEMBER)]

    async def test_a_member_leaves_when_its_block_fails(self) -> None:
        async with self.opened() as pool:
            with suppress(StopError):
                async with pool.member(MEMBER):
                    raise StopError
            assert (await payloads(pool.store))[-1] == MemberLeft(MEMBER)
            assert await pool.members() == ()

    async def test_a_member_leaves_when_its_block_is_cancelled(self) -> None:
        async with self.opened() as pool:
            inside = asyncio.Event()

            async def be_a_member() -> None:
                async with pool.member(MEMBER):
                    inside.set()
                    await asyncio.Event().wait()

            task = asyncio.ensure_future(be_a_member())
            await inside.wait()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            assert await pool.members() == ()

    async def test_a_member_that_was_let_go_leaves_its_block_in_peace(self) -> None:
        async with self.opened() as pool:
            async with pool.member(MEMBER):
                await pool.leave_run("run.a")
            assert (await payloads(pool.store)).count(MemberLeft(MEMBER)) == 1

    async def test_a_handle_is_refused_once_its_run_is_no_member(self) -> None:
        async with self.opened("run.b") as pool:
            async with pool.member(MEMBER) as me:
                await me.send(RunAddress.run("run.b"), content_ref="content.1")
            sending = me.send(RunAddress.run("run.b"), content_ref="content.1")
            await refusal(NotAMemberError, sending)

    async def test_a_member_whose_lease_ran_out_is_recorded_as_left_by_any_pool(self) -> None:
        clock = ManualClock()
        async with (
            self.opened("run.b", clock=clock) as pool,
            AgentPool.open(pool.store, POOL) as other,
        ):
            await pool.store.execute(POOL, JoinRun(MEMBER, LEASE))
            clock.advance(LEASE - BEAT)
            await carry_out_due(other)
            clock.advance(BEAT - 1)
            await carry_out_due(other)
            assert MEMBER in await other.members()
            clock.advance(1)
            await carry_out_due(other)
            assert await other.members() == (a_member("run.b"),)
            assert (await payloads(pool.store))[-1] == MemberLeft(MEMBER)

    async def test_a_lost_member_receives_nothing_and_its_waits_fail(self) -> None:
        clock = ManualClock()
        async with self.opened("run.b", clock=clock) as pool:
            async with pool.member(MEMBER, lease=LEASE / 1000, rejoin=False):
                await waiting(pool)
                await run_out(pool)
                to_all = pool.member(a_member("run.c"), lease=None)
                async with to_all as you:
                    receipt = await you.send(RunAddress.pool(POOL), "content.1")
                    assert receipt.delivered_to == ("run.b",)
            assert await wake_log(pool) == ["registered", "failed"]
            assert (await payloads(pool.store)).count(MemberLeft(MEMBER)) == 1

    async def test_a_lost_member_finds_its_messages_when_it_comes_back(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", clock=clock) as pool:
            async with pool.member(a_member("run.b")):
                await deliver(pool, 2)
                await run_out(pool, "run.b")
            async with pool.member(a_member("run.b")) as back:
                assert await peeked(back.inbox) == ["message.1", "message.2"]

    async def test_a_heartbeat_keeps_a_member_and_appends_nothing(self) -> None:
        clock = ManualClock()
        async with self.opened(clock=clock) as pool, pool.member(MEMBER, lease=0.3):
            before = await payloads(pool.store)
            await outlive(pool, clock, 300, _end_of_lease)
            await pool.join_run(a_member("run.b"))
            assert (await payloads(pool.store))[: len(before)] == before
            assert [each.run_id for each in await pool.members()] == ["run.a", "run.b"]

    async def test_the_lease_of_a_member_without_heartbeat_runs_out_by_itself(self) -> None:
        async with self.opened("run.b", clock=wall_clock) as pool:
            await pool.store.execute(POOL, JoinRun(MEMBER, 50))
            watch = pool.watch_pool()
            async for record in watch:
                if record.payload == MemberLeft(MEMBER):
                    break
            await watch.aclose()
            assert await pool.members() == (a_member("run.b"),)

    async def test_a_member_without_a_lease_never_runs_out(self) -> None:
        clock = ManualClock()
        async with self.opened("run.b", clock=clock) as pool:
            await pool.store.join_member(POOL, a_member("run.c"))
            async with pool.member(MEMBER, lease=None):
                clock.advance(AGES)
                await carry_out_due(pool)
                assert [each.run_id for each in await pool.members()] == ["run.a", "run.b", "run.c"]

    async def test_joining_again_renews_a_lease(self) -> None:
        clock = ManualClock()
        async with self.opened("run.b", clock=clock) as pool:
            for _ in range(3):
                await pool.store.execute(POOL, JoinRun(MEMBER, LEASE))
                clock.advance(LEASE - BEAT - 1)
            await carry_out_due(pool)
            assert MEMBER in await pool.members()
            assert (await payloads(pool.store)).count(MemberJoined(MEMBER)) == 1

    async def test_a_lease_does_not_outlive_its_membership(self) -> None:
        clock = ManualClock()
        async with self.opened(clock=clock) as pool:
            async with pool.member(MEMBER):
                pass
            await pool.join_run(MEMBER)
            clock.advance(AGES)
            await carry_out_due(pool)
            assert await pool.members() == (MEMBER,)

    async def test_what_is_no_lease_is_refused(self) -> None:
        async with self.opened() as pool:
            for lease in (0, -1, float("nan"), float("inf")):
                await refusal(InvalidValueError, _enter(pool, lease))
            assert await pool.members() == ()


class _LastChance(Command[None]):
    """Let a lease be due for which no heartbeat is waited any more."""

    def __init__(self, run_id: str) -> None:
        self._key = deadline_key(OF_MEMBER, run_id)

    def decide(self, view: PoolView) -> Decision[None]:
        row = view.row(self._key)
        assert row is not None
        late = replace(lease_of(row), missed=AGES)
        return Decision(None, puts=(put(self._key, late, view.now),))


async def run_out(pool: AgentPool, run_id: str = "run.a") -> None:
    """Let a lease run out before a heartbeat can renew it."""
    store = pool.store
    await asyncio.gather(store.execute(POOL, _LastChance(run_id)), store.execute(POOL, CatchUp()))


def _end_of_lease(view: PoolView) -> int:
    row = view.row(deadline_key(OF_MEMBER, MEMBER.run_id))
    assert row is not None
    return row.due_at


async def _enter(pool: AgentPool, lease: float) -> None:
    async with pool.member(MEMBER, lease):
        pass
