"""Joining, leaving and being listed; and the policies that a pool is opened with."""

import asyncio
from contextlib import aclosing

from msgspec.structs import replace

from agentpool.errors import InvalidValueError, NotAMemberError, PoolConfigConflictError
from agentpool.pool import AgentPool
from agentpool.testing.conformance.kit import POOL, payloads, refusal, take
from agentpool.testing.conformance.pool_kit import ManualClock, PoolKit
from agentpool.testing.values import a_member
from agentpool.wire.records import (
    AgentPoolMessagePolicy,
    AgentPoolStoreConfig,
    AgentPoolWakePolicy,
    MemberJoined,
    MemberLeft,
    PoolCreated,
    PoolOpened,
)
from agentpool.wire.refs import PolicyRef

__all__ = ("PoolMemberTests",)

OPENED = PoolOpened(AgentPoolStoreConfig())


class PoolMemberTests(PoolKit):
    """``open``, ``join_run``, ``leave_run``, ``members``, ``snapshot`` and ``watch_pool``."""

    async def test_the_first_join_records_the_creation_right_before_itself(self) -> None:
        async with self.opened() as pool:
            await pool.join_run(a_member("run.a"))
            joined = MemberJoined(a_member("run.a"))
            assert await payloads(pool.store) == [OPENED, PoolCreated(), joined]

    async def test_a_creation_that_is_recorded_already_is_not_recorded_again(self) -> None:
        async with self.opened() as pool:
            await pool.store.record_pool_created(POOL)
            await pool.join_run(a_member("run.a"))
            await pool.join_run(a_member("run.b"))
            assert (await payloads(pool.store)).count(PoolCreated()) == 1

    async def test_the_creation_is_one_with_the_first_of_many_joins_at_once(self) -> None:
        async with self.opened() as pool:
            members = [a_member(f"run.{number}") for number in range(20)]
            await asyncio.gather(*(pool.join_run(each) for each in members))
            log = await payloads(pool.store)
            assert log[1] == PoolCreated()
            assert len(log) == 22

    async def test_the_same_member_again_records_nothing_new(self) -> None:
        member = a_member("run.a", topics=["topic.1"])
        async with self.opened(member) as pool:
            before = await payloads(pool.store)
            await pool.join_run(member)
            assert await payloads(pool.store) == before

    async def test_a_member_that_has_changed_is_recorded_again(self) -> None:
        async with self.opened("run.a") as pool:
            changed = a_member("run.a", topics=["topic.1"])
            await pool.join_run(changed)
            assert (await payloads(pool.store))[-1] == MemberJoined(changed)
            assert await pool.members() == (changed,)

    async def test_leaving_gives_the_member_and_records_it(self) -> None:
        member = a_member("run.a", topics=["topic.1"])
        async with self.opened(member) as pool:
            assert await pool.leave_run("run.a") == member
            assert (await payloads(pool.store))[-1] == MemberLeft(member)
            assert await pool.members() == ()

    async def test_leaving_without_being_a_member_is_refused_and_records_nothing(self) -> None:
        async with self.opened("run.a") as pool:
            before = await payloads(pool.store)
            error = await refusal(NotAMemberError, pool.leave_run("run.b"))
            assert error.pool_id == POOL
            assert await payloads(pool.store) == before

    async def test_a_member_can_come_back(self) -> None:
        async with self.opened("run.a") as pool:
            await pool.leave_run("run.a")
            await pool.join_run(a_member("run.a"))
            assert await pool.members() == (a_member("run.a"),)
            assert (await payloads(pool.store)).count(PoolCreated()) == 1

    async def test_members_come_in_ascending_order_of_their_runs(self) -> None:
        async with self.opened("run.c", "run.a", "run.b") as pool:
            members = [each.run_id for each in await pool.members()]
            assert members == ["run.a", "run.b", "run.c"]

    async def test_every_pool_object_sees_the_same_pool(self) -> None:
        async with self.opened("run.a") as pool, AgentPool.open(pool.store, POOL) as other:
            assert await other.members() == await pool.members()
            await other.join_run(a_member("run.b"))
            await pool.leave_run("run.a")
            assert await other.members() == (a_member("run.b"),)
            assert await other.snapshot() == await pool.snapshot()
            assert await other.snapshot() == await pool.store.snapshot(POOL)

    async def test_pools_of_one_store_do_not_see_each_other(self) -> None:
        async with self.opened("run.a") as pool, AgentPool.open(pool.store, "other") as other:
            assert await other.members() == ()
            await other.join_run(a_member("run.b"))
            assert await pool.members() == (a_member("run.a"),)

    async def test_a_list_of_pools_says_when_each_has_changed(self) -> None:
        clock = ManualClock(5_000)
        async with self.opened("run.a", clock=clock) as pool:
            clock.advance(1_000)
            async with AgentPool.open(pool.store, "other") as other:
                await other.join_run(a_member("run.b"))
                clock.advance(1_000)
                await pool.leave_run("run.a")
                clock.advance(1_000)
                listed = await pool.store.pools()
            assert [(each.pool_id, each.last_change) for each in listed] == [
                ("other", 6_000),
                (POOL, 7_000),
            ]

    async def test_a_pool_that_was_only_opened_has_not_changed(self) -> None:
        async with self.opened("run.a") as pool, AgentPool.open(pool.store, "other") as other:
            [listed, _] = sorted(await pool.store.pools(), key=lambda each: each.pool_id)
            assert (listed.pool_id, listed.records, listed.last_change) == ("other", 1, None)
            await other.join_run(a_member("run.b"))
            [listed, _] = sorted(await pool.store.pools(), key=lambda each: each.pool_id)
            assert listed.last_change is not None

    async def test_the_records_of_a_pool_can_be_watched(self) -> None:
        async with self.opened("run.a") as pool, aclosing(pool.watch_pool()) as watch:
            seen = await take(watch, 3)
            assert seen == await pool.store.read(POOL)
            await pool.leave_run("run.a")
            assert (await anext(watch)).payload == MemberLeft(a_member("run.a"))
            async with aclosing(pool.watch_pool(seen[-1].cursor)) as later:
                assert (await anext(later)).payload == MemberLeft(a_member("run.a"))

    async def test_a_pool_is_opened_with_its_policies(self) -> None:
        config = AgentPoolStoreConfig(
            AgentPoolMessagePolicy(include_sender_in_pool_broadcast=True),
            AgentPoolWakePolicy(envelope_only=False),
            (PolicyRef(id="policy.1"),),
        )
        async with self.opened(
            message_policy=config.message_policy,
            wake_policy=config.wake_policy,
            policy_refs=config.policy_refs,
        ) as pool:
            assert await payloads(pool.store) == [PoolOpened(config)]

    async def test_a_pool_keeps_the_policies_it_was_opened_with_first(self) -> None:
        policy = AgentPoolMessagePolicy(include_sender_in_pool_broadcast=True)
        async with self.opened(message_policy=policy) as pool:
            async with AgentPool.open(pool.store, POOL) as again:
                assert (await again.snapshot()).message_policy == policy
            async with AgentPool.open(pool.store, POOL, message_policy=policy):
                pass
            other = AgentPoolMessagePolicy(required_policy_refs=(PolicyRef(id="policy.1"),))
            opening = AgentPool.open(pool.store, POOL, message_policy=other)
            await refusal(PoolConfigConflictError, opening)
            assert len(await payloads(pool.store)) == 1

    async def test_what_is_no_member_or_run_is_refused(self) -> None:
        async with self.opened() as pool:
            await refusal(InvalidValueError, pool.join_run("run.a"))  # type: ignore[arg-type]
            await refusal(InvalidValueError, pool.join_run(replace(a_member(), run_id="")))
            await refusal(InvalidValueError, pool.leave_run(""))
            assert await payloads(pool.store) == [OPENED]

    async def test_a_closed_pool_leaves_its_members_and_its_store_as_they_are(self) -> None:
        async with self.opened("run.a") as pool:
            await pool.aclose()
            await pool.aclose()
            assert (await pool.store.snapshot(POOL)).members == (a_member("run.a"),)
