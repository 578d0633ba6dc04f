"""What a send costs while others are idle: it is to wake only those whom it concerns."""

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from agentpool import AgentPool, RunAddress, SqliteAgentPoolStore
from benchmarks.bench import Bench, run_bounded
from benchmarks.children import run_together, wait_for_all
from benchmarks.figures import Figure, Round, at_most
from benchmarks.workloads import POOL, member

__all__ = ("run",)

_IDLE: Final = 20
_PAUSE: Final = 0.02
_SETTLE: Final = 1.0


def run(bench: Bench) -> Iterator[Figure]:
    """Measure sends beside idle processes, in turns with sends of one that is alone."""
    sends, idle = bench.size(100, 5), bench.size(_IDLE, 2)
    rounds = []
    for _ in bench.rounds(full=3):
        with bench.fresh_file() as path, bench.fresh_file() as quiet:
            jobs = [partial(rest, path, str(number)) for number in range(idle)]
            beside, *_ = run_together(partial(send, path, sends), *jobs)
            [alone] = run_together(partial(send, quiet, sends))
        rounds.append(Round(beside * 1e3, alone * 1e3))
    yield Figure.of(
        f"send beside {idle} idle processes",
        "ms",
        rounds,
        against="a send of a process that is alone",
        target=at_most(1.2),
        sends=sends,
        synchronous="FULL",
    )


def send(path: Path, sends: int) -> float:
    """Send to oneself, with pauses, and give the median of what it took, in seconds."""

    async def work() -> float:
        async with SqliteAgentPoolStore.open(path) as store, AgentPool.open(store, POOL) as pool:
            me = member("sender")
            await pool.join_run(me)
            handle, took = pool.acting_as(me), []
            await asyncio.to_thread(wait_for_all)
            for _ in range(sends):
                await asyncio.sleep(_PAUSE)
                start = time.perf_counter()
                await handle.send(RunAddress.run(me.run_id), content_ref="content.1")
                took.append(time.perf_counter() - start)
            await asyncio.to_thread(wait_for_all)
            return median(took)

    return run_bounded(work())


def rest(path: Path, name: str) -> None:
    """Be a member at an idle inbox until the sends are over."""

    async def work() -> None:
        async with (
            SqliteAgentPoolStore.open(path) as store,
            AgentPool.open(store, POOL) as pool,
            pool.member(member(name)) as me,
        ):
            taking = asyncio.create_task(me.inbox.take())
            await asyncio.sleep(_SETTLE)
            await asyncio.to_thread(wait_for_all)
            await asyncio.to_thread(wait_for_all)
            taking.cancel()
            await asyncio.wait([taking])

    run_bounded(work())
