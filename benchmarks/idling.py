"""What watchers cost while nothing happens."""

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from agentpool import SqliteAgentPoolStore
from benchmarks.bench import Bench, run_bounded
from benchmarks.children import run_together, wait_for_all
from benchmarks.figures import Figure, Round, at_most
from benchmarks.workloads import POOL

__all__ = ("run",)

_SETTLE: Final = 0.5
_MANY: Final = 100


def run(bench: Bench) -> Iterator[Figure]:
    """Measure processes with no, one and many watchers side by side, on files of their own."""
    seconds = bench.size(6.0, 0.5)
    one, many = [], []
    for _ in bench.rounds(full=3):
        with bench.fresh_file() as a, bench.fresh_file() as b, bench.fresh_file() as c:
            none, single, hundred = run_together(
                *(partial(idle, path, n, seconds) for path, n in ((a, 0), (b, 1), (c, _MANY)))
            )
        one.append(Round(single, none))
        many.append(Round(hundred, single))
    yield Figure.of(
        "idle watcher",
        "% of a core",
        one,
        against="an open store without a watcher",
        target=at_most(0.5, of="value"),
        seconds=seconds,
    )
    yield Figure.of(
        f"{_MANY} idle watchers in a process",
        "% of a core",
        many,
        against="one watcher",
        target=at_most(1.5),
        seconds=seconds,
    )


def idle(path: Path, watchers: int, seconds: float) -> float:
    """Let watchers wait in a quiet pool, and give the processor time, as a share of a core."""

    async def watch(store: SqliteAgentPoolStore) -> None:
        async for _ in store.watch(POOL):
            pass

    async def wait() -> float:
        async with SqliteAgentPoolStore.open(path) as store:
            await store.open_pool(POOL)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(watch(store)) for _ in range(watchers)]
                await asyncio.sleep(_SETTLE)
                wait_for_all()
                used, start = time.process_time(), time.perf_counter()
                await asyncio.sleep(seconds)
                share = (time.process_time() - used) / (time.perf_counter() - start)
                for task in tasks:
                    task.cancel()
        return share * 100

    return run_bounded(wait())
