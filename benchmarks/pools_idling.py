"""What members cost that wait under a lease while nothing happens."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Final

from agentpool import AgentPool, EventFilter, SqliteAgentPoolStore, include
from agentpool.rules.command import PoolView
from benchmarks.bench import Bench, run_bounded
from benchmarks.children import run_together, wait_for_all
from benchmarks.figures import Figure, Round, at_most
from benchmarks.workloads import POOL, member

__all__ = ("run",)

_AGENTS: Final = 200
_LEASE: Final = 30.0
_SHORT_LEASE: Final = 3.0
_BEATS_PER_LEASE: Final = 3
_SETTLE: Final = 1.0
_LONGEST_START: Final = 60.0
_LOOK_SECONDS: Final = 0.001


def run(bench: Bench) -> Iterator[Figure]:
    """Measure processor time under a usual lease, and count commits under a short one."""
    yield _processor(bench)
    yield _commits(bench)


def _processor(bench: Bench) -> Figure:
    seconds = bench.size(_LEASE / _BEATS_PER_LEASE, 0.5)
    rounds = []
    for _ in bench.rounds(full=3):
        with bench.fresh_file() as busy, bench.fresh_file() as empty:
            shares = run_together(
                partial(idle, busy, _AGENTS, _LEASE, seconds), partial(idle, empty, 0, 0, seconds)
            )
        rounds.append(Round(*shares))
    return Figure.of(
        f"{_AGENTS} waiting members in a process",
        "% of a core",
        rounds,
        against="an open pool without members",
        target=at_most(1.0, of="value"),
        lease=_LEASE,
        seconds=seconds,
    )


def _commits(bench: Bench) -> Figure:
    beats = bench.size(6, 1)
    seconds = beats * _SHORT_LEASE / _BEATS_PER_LEASE
    rounds = []
    for _ in bench.rounds(full=3):
        with bench.fresh_file() as path:
            _, commits = run_together(
                partial(idle, path, _AGENTS, _SHORT_LEASE, seconds),
                partial(count_commits, path, seconds),
            )
        rounds.append(Round(commits / beats))
    return Figure.of(
        f"{_AGENTS} waiting members in a process",
        "commits per heartbeat",
        rounds,
        target=at_most(1.0, of="value"),
        lease=_SHORT_LEASE,
        seconds=seconds,
    )


def idle(path: Path, agents: int, lease: float, seconds: float) -> float:
    """Let members wait for what never comes, and give the processor time as a share of a core."""

    async def wait() -> float:
        async with _waiting(path, agents, lease):
            await asyncio.to_thread(wait_for_all)
            used, start = time.process_time(), time.perf_counter()
            await asyncio.sleep(seconds)
            share = (time.process_time() - used) / (time.perf_counter() - start)
            await asyncio.to_thread(wait_for_all)
        return share * 100

    return run_bounded(wait())


@asynccontextmanager
async def _waiting(path: Path, agents: int, lease: float) -> AsyncIterator[None]:
    async with SqliteAgentPoolStore.open(path) as store, AgentPool.open(store, POOL) as pool:
        tasks = [asyncio.create_task(_agent(pool, number, lease)) for number in range(agents)]
        try:
            await _all_wait(store, agents)
            await asyncio.sleep(_SETTLE)
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _agent(pool: AgentPool, number: int, lease: float) -> None:
    async with pool.member(member(str(number)), lease) as me:
        await me.wait_until(EventFilter(run_ids=include("run.nobody")))


async def _all_wait(store: SqliteAgentPoolStore, agents: int) -> None:
    async with asyncio.timeout(_LONGEST_START):
        while True:
            if await store.query(POOL, _open_wakes) == agents:
                return
            await asyncio.sleep(_SETTLE)


def _open_wakes(view: PoolView) -> int:
    return len(view.state.open_wakes)


def count_commits(path: Path, seconds: float) -> int:
    """Count the commits of others for a while, by asking whether there was one, again and again."""
    found, last = 0, 0
    wait_for_all()
    with closing(sqlite3.connect(path)) as connection:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            [version] = connection.execute("PRAGMA data_version").fetchone()
            found += last not in {0, version}
            last = version
            time.sleep(_LOOK_SECONDS)
    wait_for_all()
    return found
