"""Answers that come while the run that asked is away: they are for its question all the same."""

import asyncio

from agentpool.errors import AskOutcome
from agentpool.testing.conformance.pool_asking import TIMEOUT, a_question, asked
from agentpool.testing.conformance.pool_kit import ManualClock, PoolKit, a_reply, peeked
from agentpool.testing.conformance.pool_late_answers import ids
from agentpool.testing.values import a_member
from agentpool.wire.records import AgentPoolMessagePolicy, MessageStatus
from agentpool.wire.refs import PolicyRef

__all__ = ("PoolAbsentAskerTests",)

OTHERS = ("run.b", "run.c")


class PoolAbsentAskerTests(PoolKit):
    """A run that has left, or whose lease ran out, is answered; who comes back has the answers."""

    async def test_they_count_and_who_asks_again_has_them(self) -> None:
        async with self.opened("run.a", *OTHERS) as pool:
            question = a_question(expected=2)
            asking = await asked(pool, question)
            await pool.send(a_reply(question, "run.b"))
            await pool.leave_run("run.a")
            receipt = await pool.send(a_reply(question, "run.c"))
            assert receipt.status is MessageStatus.FAILED  # nobody has received it
            assert ids(await asking) == ["b.1", "c.1"]
            await pool.join_run(a_member("run.a"))
            again = await pool.ask(question)
            assert (again.outcome, ids(again)) == (AskOutcome.COMPLETE, ["b.1", "c.1"])

    async def test_what_comes_too_late_is_kept_too(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", *OTHERS, clock=clock) as pool:
            question = a_question(expected=2)
            asking = await asked(pool, question)
            await pool.leave_run("run.a")
            clock.advance(TIMEOUT)
            await pool.send(a_reply(question, "run.b"))
            assert (await asking).outcome is AskOutcome.TIMED_OUT
            await pool.join_run(a_member("run.a"))
            assert ids((await pool.ask(question)).late) == ["b.1"]

    async def test_sent_again_when_it_is_back_an_answer_is_there_once(self) -> None:
        async with self.opened("run.a", *OTHERS) as pool:
            question = a_question()
            asking = await asked(pool, question)
            await pool.leave_run("run.a")
            await pool.send(a_reply(question, "run.b"))
            await asking
            await pool.join_run(a_member("run.a"))
            receipt = await pool.send(a_reply(question, "run.b"))
            assert receipt.status is MessageStatus.DELIVERED
            again = await pool.ask(question)
            assert (ids(again), ids(again.late)) == (["b.1"], [])
            assert await peeked(pool.inbox("run.a")) == []

    async def test_what_it_may_not_receive_is_no_answer(self) -> None:
        needed, other = PolicyRef(id="policy.needed"), PolicyRef(id="policy.other")
        policy = AgentPoolMessagePolicy(required_policy_refs=(needed,))
        members = [a_member(each, policy_refs=(needed,)) for each in ("run.a", *OTHERS)]
        async with self.opened(*members, message_policy=policy) as pool:
            question = a_question(expected=2, policy_refs=(needed,))
            asking = await asked(pool, question)
            await pool.leave_run("run.a")
            await pool.send(a_reply(question, "run.b"))
            await pool.send(a_reply(question, "run.c", policy_refs=(needed, other)))
            await pool.send(a_reply(question, "run.c", 2, policy_refs=(needed,)))
            await pool.send(a_reply(question, "run.b", 2, policy_refs=(needed,)))
            answers = await asyncio.wait_for(asking, 60)
            assert ids(answers) == ["c.2", "b.2"]
