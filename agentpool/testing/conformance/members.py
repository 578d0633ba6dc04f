"""Joining and leaving."""

from agentpool.errors import NotAMemberError, RetryClassification
from agentpool.testing.conformance.kit import POOL, StoreKit, payloads, refusal
from agentpool.testing.values import a_member
from agentpool.wire.records import AgentPoolStoreCursor, MemberJoined, MemberLeft
from agentpool.wire.refs import PolicyRef

__all__ = ("MemberTests",)


class MemberTests(StoreKit):
    """``join_member`` and ``leave_member``."""

    async def test_joining_appends_a_record_and_gives_its_place(self) -> None:
        member = a_member(topics=["b", "a", "b"], policy_refs=[PolicyRef(id="policy.1")])
        async with self.opened() as store:
            assert await store.join_member(POOL, member) == AgentPoolStoreCursor(2)
            assert (await payloads(store))[1:] == [MemberJoined(member)]
            assert (await store.snapshot(POOL)).members == (member,)

    async def test_joining_again_appends_nothing_and_gives_the_first_place(self) -> None:
        async with self.opened() as store:
            first = await store.join_member(POOL, a_member("run.a", topics=["t"]))
            await store.join_member(POOL, a_member("run.b"))
            assert await store.join_member(POOL, a_member("run.a", topics=("t",))) == first
            assert len(await payloads(store)) == 3

    async def test_joining_with_something_else_replaces_the_member(self) -> None:
        async with self.opened() as store:
            first = await store.join_member(POOL, a_member(topics=["x", "y"]))
            second = await store.join_member(POOL, a_member(topics=["y", "x"]))
            assert second.sequence == first.sequence + 1
            assert (await store.snapshot(POOL)).members == (a_member(topics=["y", "x"]),)
            assert await store.join_member(POOL, a_member(topics=["y", "x"])) == second

    async def test_returning_to_what_it_first_joined_with_is_a_change_too(self) -> None:
        async with self.opened() as store:
            first = await store.join_member(POOL, a_member(agent_id="agent.1"))
            await store.join_member(POOL, a_member(agent_id="agent.2"))
            third = await store.join_member(POOL, a_member(agent_id="agent.1"))
            assert third.sequence == first.sequence + 2

    async def test_leaving_gives_the_member_as_it_was_and_the_place_of_the_record(self) -> None:
        member = a_member(topics=["t"])
        async with self.opened() as store:
            await store.join_member(POOL, a_member())
            await store.join_member(POOL, member)
            left, cursor = await store.leave_member(POOL, member.run_id)
            assert (left, cursor) == (member, AgentPoolStoreCursor(4))
            assert (await payloads(store))[-1] == MemberLeft(member)
            assert (await store.snapshot(POOL)).members == ()
            assert (await store.snapshot(POOL)).topics == ()

    async def test_leaving_twice_is_refused(self) -> None:
        async with self.opened() as store:
            await store.join_member(POOL, a_member())
            await store.leave_member(POOL, "run.a")
            error = await refusal(NotAMemberError, store.leave_member(POOL, "run.a"))
            assert (error.pool_id, error.retry) == (POOL, RetryClassification.NOT_RETRYABLE)
            assert "run.a" in str(error)
            assert len(await payloads(store)) == 3

    async def test_a_run_that_never_joined_cannot_leave(self) -> None:
        async with self.opened() as store:
            await store.join_member(POOL, a_member("run.b"))
            await refusal(NotAMemberError, store.leave_member(POOL, "run.a"))
            assert len(await payloads(store)) == 2

    async def test_a_run_that_left_may_join_again_with_the_same(self) -> None:
        async with self.opened() as store:
            first = await store.join_member(POOL, a_member())
            await store.leave_member(POOL, "run.a")
            again = await store.join_member(POOL, a_member())
            assert again.sequence == first.sequence + 2
            assert (await store.snapshot(POOL)).members == (a_member(),)

    async def test_members_and_topics_are_listed_in_the_order_of_their_bytes(self) -> None:
        ascending = ["run.B", "run.a", "run.b", "run.é", "run.\uffff", "run.\U00010000"]
        async with self.opened() as store:
            for run_id in reversed(ascending):
                await store.join_member(POOL, a_member(run_id, topics=[run_id, "run.a"]))
            snapshot = await store.snapshot(POOL)
            assert [member.run_id for member in snapshot.members] == ascending
            assert list(snapshot.topics) == ascending
