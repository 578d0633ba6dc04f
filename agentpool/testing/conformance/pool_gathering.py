"""Starting together: waiting until members are there."""

import asyncio
from typing import Any

from agentpool.errors import InvalidValueError, NotEnoughMembersError, RetryClassification
from agentpool.pool import AgentPool
from agentpool.testing.conformance.kit import POOL, refusal
from agentpool.testing.conformance.pool_kit import PoolKit, nothing_comes
from agentpool.testing.values import a_member
from agentpool.wire.records import AgentPoolMember

__all__ = ("PoolGatheringTests",)

CODERS = [
    a_member(f"run.{number}", agent_id="agent.coder", topics=["topic.code"]) for number in range(3)
]
TESTER = a_member("run.tester", agent_id="agent.tester", topics=["topic.code", "topic.test"])


class PoolGatheringTests(PoolKit):
    """``wait_for_members``."""

    async def test_queues_are_waited_for_by_name_only(self) -> None:
        async with self.opened() as pool:
            queue = await pool.queue("work")
            await refusal(NotEnoughMembersError, pool.wait_for_members(timeout=0))
            [found] = await pool.wait_for_members(run_ids=[queue.run_id], timeout=0)
            assert found.run_id == queue.run_id

    async def test_who_is_there_already_is_given_at_once(self) -> None:
        async with self.opened(*reversed(CODERS), TESTER) as pool:
            wanted: list[tuple[dict[str, Any], list[AgentPoolMember]]] = [
                ({"agent": "agent.coder", "count": 3}, CODERS),
                ({"agent": "agent.coder"}, CODERS),
                ({"topic": "topic.code", "count": 2}, [*CODERS, TESTER]),
                ({"topic": "topic.test"}, [TESTER]),
                ({"topic": "topic.code", "agent": "agent.tester"}, [TESTER]),
                ({"run_ids": ["run.tester", "run.1", "run.1"]}, [CODERS[1], TESTER]),
                ({"run_ids": ("run.1", "run.away"), "count": 1}, [CODERS[1]]),
                ({"count": 4}, [*CODERS, TESTER]),
                ({}, [*CODERS, TESTER]),
            ]
            for criteria, expected in wanted:
                for timeout in (None, 0, 5):
                    found = await pool.wait_for_members(**criteria, timeout=timeout)
                    assert found == tuple(expected), criteria

    async def test_it_waits_for_those_who_are_still_to_come(self) -> None:
        async with self.opened() as pool, AgentPool.open(pool.store, POOL) as other:
            by_agent = pool.wait_for_members(agent="agent.coder", count=3, timeout=100)
            by_run = pool.wait_for_members(run_ids=[each.run_id for each in CODERS])
            waiting = asyncio.gather(by_agent, by_run)
            for member in (TESTER, *CODERS[:2]):
                await other.join_run(member)
            await nothing_comes(asyncio.shield(waiting), pool)
            await other.join_run(CODERS[2])
            assert [*await waiting] == [tuple(CODERS)] * 2

    async def test_who_has_left_does_not_count(self) -> None:
        async with self.opened(CODERS[0]) as pool:
            waiting = asyncio.create_task(pool.wait_for_members(agent="agent.coder", count=2))
            await pool.leave_run("run.0")
            await pool.join_run(CODERS[1])
            await nothing_comes(asyncio.shield(waiting), pool)
            await pool.join_run(CODERS[2])
            assert await waiting == tuple(CODERS[1:])

    async def test_a_member_counts_that_has_joined_as_something_else(self) -> None:
        async with self.opened(a_member("run.0", agent_id="agent.other")) as pool:
            waiting = asyncio.create_task(pool.wait_for_members(agent="agent.coder"))
            await nothing_comes(asyncio.shield(waiting), pool)
            await pool.join_run(CODERS[0])
            assert await waiting == (CODERS[0],)

    async def test_who_is_missing_when_the_time_is_up_is_named(self) -> None:
        async with self.opened(*CODERS[:2]) as pool:
            runs = ["run.0", "run.2", "run.away"]
            by_run = pool.wait_for_members(run_ids=runs, timeout=0)
            error = await refusal(NotEnoughMembersError, by_run)
            assert isinstance(error, TimeoutError)
            assert error.retry is RetryClassification.RETRYABLE
            assert error.pool_id == POOL
            for named in ("1 of 3", "run.0", "run.2", "run.away"):
                assert named in str(error)
            by_agent = pool.wait_for_members(agent="agent.coder", count=3, timeout=0.02)
            error = await refusal(NotEnoughMembersError, by_agent)
            for named in ("0.02 s", "2 of 3", "agent.coder", "run.0", "run.1"):
                assert named in str(error)

    async def test_what_can_never_be_is_refused(self) -> None:
        async with self.opened() as pool:
            nonsense: list[dict[str, Any]] = [
                {"run_ids": ["run.a"], "count": 2},
                {"run_ids": []},
                {"run_ids": "run.a"},
                {"count": 0},
                {"count": -1},
                {"agent": ""},
                {"topic": 7},
                {"timeout": -1},
            ]
            for arguments in nonsense:
                await refusal(InvalidValueError, pool.wait_for_members(**arguments))

    async def test_a_wait_that_is_cancelled_leaves_nothing_behind(self) -> None:
        async with self.opened() as pool:
            for _ in range(3):
                await nothing_comes(pool.wait_for_members(), pool)
            waiting = asyncio.create_task(pool.wait_for_members())
            await pool.join_run(CODERS[0])
            assert await waiting == (CODERS[0],)
