"""Staying a member when the block ends, for agents that are restarted."""

import asyncio

from agentpool.errors import AskOutcome, MembershipLostError, NotAMemberError
from agentpool.testing.conformance.kit import payloads, refusal
from agentpool.testing.conformance.pool_asking import a_question, asked
from agentpool.testing.conformance.pool_kit import PoolKit, nothing_comes
from agentpool.testing.conformance.pool_presence import run_out
from agentpool.testing.values import a_member
from agentpool.wire.records import MemberJoined, MemberLeft, MessageStatus, RunAddress

__all__ = ("PoolStayingTests",)

MEMBER = a_member("run.a")
TO_MEMBER = RunAddress.run("run.a")


class PoolStayingTests(PoolKit):
    """``member(..., stays=True)``."""

    async def test_a_run_that_stays_is_a_member_after_its_block(self) -> None:
        async with self.opened() as pool:
            for _ in range(3):
                async with pool.member(MEMBER, stays=True):
                    pass
            assert await pool.members() == (MEMBER,)
            log = await payloads(pool.store)
            assert [each for each in log if isinstance(each, MemberJoined | MemberLeft)] == [
                MemberJoined(MEMBER)
            ]

    async def test_its_inbox_collects_while_it_is_away(self) -> None:
        async with self.opened("run.b") as pool:
            async with pool.member(MEMBER, stays=True):
                pass
            other = pool.acting_as(a_member("run.b"))
            receipt = await other.send(TO_MEMBER, content_ref="content.1")
            assert receipt.status is MessageStatus.DELIVERED
            async with pool.member(MEMBER, stays=True) as me, await me.inbox.take() as delivery:
                assert delivery.message.content_ref == "content.1"

    async def test_a_question_waits_for_who_is_only_away(self) -> None:
        async with self.opened("run.b", "run.c") as pool:
            async with pool.member(MEMBER, stays=True):
                pass
            question = a_question(sender="run.b", expected=2)
            asking = await asked(pool, question)
            await pool.leave_run("run.c")
            await nothing_comes(asyncio.shield(asking), pool)
            async with pool.member(MEMBER, stays=True) as me, await me.inbox.take() as delivery:
                await delivery.reply(content_ref="content.2")
            answers = await asking
            assert [each.sender for each in answers] == ["run.a"]
            assert (answers.outcome, answers.missing) == (AskOutcome.INCOMPLETE, ("run.c",))

    async def test_a_question_does_not_wait_for_whose_lease_ran_out(self) -> None:
        async with self.opened("run.b") as pool:
            async with pool.member(MEMBER, stays=True, rejoin=False):
                asking = await asked(pool, a_question(sender="run.b", expected=1))
                await run_out(pool)
                answers = await asking
            assert (answers, answers.outcome) == ((), AskOutcome.INCOMPLETE)

    async def test_what_its_block_had_claimed_is_returned_at_its_end(self) -> None:
        async with self.opened("run.b") as pool:
            async with pool.member(MEMBER, stays=True) as me:
                await pool.acting_as(a_member("run.b")).send(TO_MEMBER, content_ref="content.1")
                claimed = await me.inbox.take()
            async with pool.member(MEMBER, stays=True) as me:
                again = await me.inbox.take()
                assert again.message == claimed.message

    async def test_nobody_holds_it_meanwhile(self) -> None:
        async with self.opened() as pool:
            async with pool.member(MEMBER, stays=True) as me:
                pass
            await refusal(NotAMemberError, me.send(TO_MEMBER, content_ref="content.1"))
            async with pool.member(MEMBER):
                pass
            assert await pool.members() == ()

    async def test_the_end_of_a_block_that_was_taken_over_changes_nothing(self) -> None:
        async with self.opened() as pool:
            async with pool.member(MEMBER, stays=True) as older:
                newer = await pool.member(MEMBER, stays=True)
                await refusal(MembershipLostError, older.send(TO_MEMBER, content_ref="content.1"))
            await newer.send(TO_MEMBER, content_ref="content.1")
            await newer.aclose()
            assert await pool.members() == (MEMBER,)

    async def test_it_stays_though_its_lease_ran_out_before_its_block_ended(self) -> None:
        async with self.opened() as pool:
            async with pool.member(MEMBER, stays=True):
                await run_out(pool)  # a heartbeat may let it join again before the end, or not
            assert await pool.members() == (MEMBER,)

    async def test_one_that_is_not_to_come_back_does_not_at_the_end_of_its_block(self) -> None:
        async with self.opened("run.b") as pool:
            async with pool.member(MEMBER, stays=True, rejoin=False):
                await run_out(pool)
            assert MEMBER not in await pool.members()

    async def test_it_can_be_let_go(self) -> None:
        async with self.opened() as pool:
            async with pool.member(MEMBER, stays=True, lease=None):
                pass
            assert await pool.leave_run("run.a") == MEMBER
            assert await pool.members() == ()
