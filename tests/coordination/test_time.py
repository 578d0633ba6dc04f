"""The time of a store: what is done to the wall clock neither stops it nor makes it jump."""

import asyncio
import time
from pathlib import Path
from typing import Final

import pytest

from agentpool import AgentPool, EventFilter, SqliteAgentPoolStore, include
from agentpool.stores.sqlite.time import is_at_rest
from agentpool.support.clock import StoreClock
from agentpool.testing import a_member, a_message

from .helpers import BOUND, POOL

HOUR: Final = 3_600_000
SLACK: Final = 60_000  # of a machine however busy
NOBODY: Final = EventFilter(run_ids=include("run.nobody"))


class Wall:
    """The clock on the wall, which anybody may set."""

    def __init__(self) -> None:
        self.off = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.off


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
async def test_a_wait_takes_its_time_however_the_clock_is_set_in_between(
    path: Path, jump: int
) -> None:
    wall = Wall()
    async with (
        asyncio.timeout(BOUND),
        SqliteAgentPoolStore.open(path, clock=wall) as store,
        AgentPool.open(store, POOL) as pool,
        pool.member(a_member(), lease=30) as me,
    ):
        long = asyncio.create_task(me.wait_until(NOBODY, timeout=HOUR / 1000 / 2))
        short = asyncio.create_task(me.wait_until(NOBODY, timeout=0.2))
        await asyncio.sleep(0.1)
        before = store.clock()
        wall.off = jump
        assert (await short).registration.status == "timed_out"
        assert 0 <= store.clock() - before < SLACK
        assert not long.done()
        assert await pool.members() == (a_member(),)
        long.cancel()
        await asyncio.wait([long])


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
async def test_who_opens_the_file_later_by_another_clock_has_the_same_time(
    path: Path, jump: int
) -> None:
    wall, other = Wall(), Wall()
    other.off = jump
    async with (
        SqliteAgentPoolStore.open(path, clock=wall) as store,
        SqliteAgentPoolStore.open(path, clock=other) as late,
    ):
        assert abs(late.clock() - store.clock()) < SLACK
        async with (
            AgentPool.open(store, POOL) as pool,
            pool.member(a_member(), lease=30),
            AgentPool.open(late, POOL) as seen,
        ):
            await seen.join_run(a_member("run.b"))
            assert [each.run_id for each in await seen.members()] == ["run.a", "run.b"]


async def test_a_clock_that_stands_still_does_not_stop_the_time(path: Path) -> None:
    async with (
        asyncio.timeout(BOUND),
        SqliteAgentPoolStore.open(path, clock=lambda: 1_700_000_000_000) as store,
        AgentPool.open(store, POOL) as pool,
        pool.member(a_member()) as me,
    ):
        outcome = await me.wait_until(NOBODY, timeout=0.05)
        assert outcome.registration.status == "timed_out"


async def test_time_goes_on_from_where_it_was_when_nobody_had_the_file_open(path: Path) -> None:
    wall = Wall()
    async with SqliteAgentPoolStore.open(path, clock=wall) as store:
        first = store.clock()
    assert is_at_rest(path)
    wall.off = HOUR
    async with SqliteAgentPoolStore.open(path, clock=wall) as store:
        assert 0 <= store.clock() - first - HOUR < SLACK, "the clock tells what has gone by"
    wall.off = -HOUR
    async with SqliteAgentPoolStore.open(path, clock=wall) as store:
        assert 0 <= store.clock() - first - HOUR < SLACK, "and it never goes back"


async def test_after_a_reboot_time_is_not_before_the_last_record(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall = Wall()
    async with (
        SqliteAgentPoolStore.open(path, clock=wall) as store,
        AgentPool.open(store, POOL) as pool,
        pool.member(a_member()) as me,
    ):
        await pool.send(a_message(sender=me.run_id))
        last = store.clock()
    monkeypatch.setattr("agentpool.stores.sqlite.time.boot_id", lambda: "another")
    wall.off = -HOUR  # a machine without a battery
    async with SqliteAgentPoolStore.open(path, clock=wall) as store:
        assert last - SLACK < store.clock() < last + SLACK


def test_the_time_of_a_store_begins_with_the_wall_and_goes_on_by_itself() -> None:
    wall = Wall()
    clock = StoreClock(wall)
    began = clock()
    wall.off = -HOUR
    assert 0 <= clock() - began < SLACK
    wall.off = HOUR
    assert 0 <= clock() - began < SLACK
