"""A member without a block, as in a notebook: ``me = await pool.member(...)``, ``me.aclose()``."""

import asyncio

from agentpool.errors import MembershipLostError, NotAMemberError
from agentpool.pool import AgentPool
from agentpool.testing.conformance.kit import POOL, refusal
from agentpool.testing.conformance.pool_kit import PoolKit, deliver, nothing_comes, peeked
from agentpool.testing.values import a_member
from agentpool.wire.records import RunAddress

__all__ = ("PoolEnteringTests",)

TO_ME = RunAddress.run("run.b")


class PoolEnteringTests(PoolKit):
    """``await pool.member(...)`` and ``aclose`` of what it gives."""

    async def test_a_member_that_is_awaited_is_one_until_it_is_closed(self) -> None:
        async with self.opened("run.a") as pool:
            me = await pool.member(a_member("run.b"))
            assert a_member("run.b") in await pool.members()
            receipt = await me.send(RunAddress.run("run.a"), "content.1")
            assert receipt.delivered_to == ("run.a",)
            await me.aclose()
            assert await pool.members() == (a_member("run.a"),)
            await refusal(NotAMemberError, me.send(RunAddress.run("run.a"), "content.1"))

    async def test_closing_it_twice_or_from_many_tasks_is_once(self) -> None:
        async with self.opened("run.a") as pool:
            me = await pool.member(a_member("run.b"), lease=None)
            await asyncio.gather(*(me.aclose() for _ in range(5)))
            await me.aclose()
            await pool.join_run(a_member("run.b"))
            await me.aclose()
            assert len(await pool.members()) == 2

    async def test_closing_it_returns_what_it_has_claimed_and_ends_what_it_waits_for(self) -> None:
        async with self.opened("run.a") as pool:
            me = await pool.member(a_member("run.b"))
            [message_id] = await deliver(pool, 1)
            delivery = await me.inbox.take()
            waiting = asyncio.create_task(me.inbox.take())
            await nothing_comes(asyncio.shield(waiting), pool)
            await me.aclose()
            await refusal(NotAMemberError, waiting)
            assert await peeked(pool.inbox("run.b")) == [message_id]
            assert (await pool.inbox("run.b").take()).message == delivery.message

    async def test_closing_it_within_its_block_is_the_end_of_its_membership(self) -> None:
        async with self.opened("run.a") as pool:
            async with pool.member(a_member("run.b")) as me:
                await me.aclose()
                await pool.join_run(a_member("run.b"))
            assert len(await pool.members()) == 2

    async def test_a_cancelled_close_closes_all_the_same(self) -> None:
        async with self.opened("run.a") as pool:
            me = await pool.member(a_member("run.b"), lease=None)
            closing = asyncio.create_task(me.aclose())
            await asyncio.sleep(0)
            closing.cancel()
            await asyncio.wait([closing])
            await me.aclose()
            assert await pool.members() == (a_member("run.a"),)

    async def test_closing_the_pool_lets_those_leave_that_have_no_block(self) -> None:
        async with self.opened("run.a") as pool:
            other = await AgentPool.open(pool.store, POOL)
            for number in range(3):
                await other.member(a_member(f"run.{number}"), lease=None)
            await other.aclose()
            assert await pool.members() == (a_member("run.a"),)

    async def test_closing_one_that_was_taken_over_lets_nobody_leave(self) -> None:
        async with self.opened("run.a") as pool:
            first = await pool.member(a_member("run.b"))
            second = await pool.member(a_member("run.b"))
            await refusal(MembershipLostError, first.send(TO_ME, "content.1"))
            await first.aclose()
            assert (await second.send(TO_ME, "content.1")).delivered_to == ("run.b",)
            await second.aclose()
            assert await pool.members() == (a_member("run.a"),)

    async def test_closing_a_run_that_is_acted_for_leaves_it_a_member(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            me = pool.acting_as(a_member("run.b"))
            await deliver(pool, 1)
            await me.inbox.take()
            await me.aclose()
            assert len(await pool.members()) == 2
            assert len(await peeked(pool.inbox("run.b"))) == 1
