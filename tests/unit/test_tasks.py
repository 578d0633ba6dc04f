"""Tasks that somebody keeps: where the loop makes eager tasks, and where it ends before them."""

import asyncio
import gc
import sys
import warnings
from collections.abc import Awaitable, Callable
from typing import Final

import pytest
from samples import POOL
from virtual_time import loop_clock, settled, virtual_time

from agentpool import AgentPool, EventFilter, InMemoryAgentPoolStore, include
from agentpool.rules.consequences import CatchUp
from agentpool.rules.holding import beat_of
from agentpool.rules.topics import AllTouched
from agentpool.stores.batch.committer import Outcome, Request
from agentpool.stores.batch.group_commit import GroupCommit
from agentpool.support.tasks import move_on_after, start
from agentpool.testing import a_condition, a_member

BOUND: Final = 10.0
LEASE: Final = 3.0
BEAT_MILLIS: Final = beat_of(round(LEASE * 1000))


def use_eager_tasks() -> None:
    if sys.version_info < (3, 12):
        pytest.skip("this Python has no eager tasks")
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)


async def test_what_is_started_begins_after_its_caller_has_gone_on() -> None:
    use_eager_tasks()
    began: list[str] = []

    async def begin() -> None:
        began.append("task")

    task = start(begin())
    began.append("caller")
    await task
    assert began == ["caller", "task"]


async def test_commits_go_on_after_one_that_waited_for_nothing() -> None:
    use_eager_tasks()

    async def commit(requests: list[Request]) -> tuple[list[Outcome], AllTouched]:
        return [each.pool_id for each in requests], {}

    commits = GroupCommit(commit, lambda _: None)
    async with asyncio.timeout(BOUND):
        for pool_id in ("pool.a", "pool.b"):
            assert await commits.submit(Request(pool_id, CatchUp())) == pool_id
        await commits.close()


@virtual_time
async def test_a_cancellation_that_comes_as_the_time_ends_is_not_lost() -> None:
    loop = asyncio.get_running_loop()

    async def wait() -> None:
        with move_on_after(1):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(wait())
    await settled()
    loop.call_at(loop.time() + 1, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task


@virtual_time
async def test_the_end_of_the_time_is_no_cancellation() -> None:
    with move_on_after(1) as scope:
        await asyncio.Event().wait()
    assert scope.cancelled_caught


async def open_a_pool() -> AgentPool:
    return await AgentPool.open(InMemoryAgentPoolStore(clock=loop_clock), POOL)


async def wait_for_a_heartbeat_and_a_deadline() -> None:
    pool = await open_a_pool()
    await pool.member(a_member(), lease=LEASE).__aenter__()
    nobody = EventFilter(run_ids=include("run.nobody"))
    await pool.suspend_until("run.a", a_condition(filter=nobody, timeout_millis=BEAT_MILLIS))
    await asyncio.sleep(BEAT_MILLIS / 1000)


@pytest.mark.parametrize("reach", [open_a_pool, wait_for_a_heartbeat_and_a_deadline])
def test_a_loop_that_ends_leaves_no_coroutine_behind_that_never_ran(
    reach: Callable[[], Awaitable[object]],
) -> None:
    @virtual_time
    async def end_after(turns: int) -> None:
        await reach()
        for _ in range(turns):
            await asyncio.sleep(0)

    with warnings.catch_warnings(record=True, action="always") as warned:
        for turns in range(20):
            end_after(turns)
        gc.collect()
    assert [str(each.message) for each in warned] == []
