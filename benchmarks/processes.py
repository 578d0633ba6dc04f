"""Many processes that append to one pool at once: how much they do, and how long each waits."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from agentpool import SqliteAgentPoolStore
from benchmarks.appends import append_all
from benchmarks.bench import Bench, run_bounded
from benchmarks.checks import check_log
from benchmarks.children import run_together, wait_for_all
from benchmarks.figures import Figure, Round, at_least, at_most
from benchmarks.workloads import POOL, messages

__all__ = ("measure", "run")

_TASKS_IN_ALL: Final = (64, 512)


class Share(NamedTuple):
    """What one process did: from when to when (CLOCK_MONOTONIC), and its longest wait."""

    start: float
    end: float
    longest: float


def run(bench: Bench) -> Iterator[Figure]:
    """Measure in turns the same work by many processes, and by one with as many tasks."""
    for tasks in _TASKS_IN_ALL:
        yield from _figures(bench, tasks, bench.size(8, 2), bench.size(16_000, 512))


def _figures(bench: Bench, tasks: int, processes: int, appends: int) -> Iterator[Figure]:
    rates, waits = [], []
    for _ in bench.rounds():
        rate, wait = measure(bench, tasks, processes, appends)
        alone_rate, alone_wait = measure(bench, tasks, 1, appends)
        rates.append(Round(rate, alone_rate))
        waits.append(Round(wait * 1e3, alone_wait * 1e3))
    name = f"append, {processes} processes of {tasks // processes} tasks"
    settings: dict[str, Any] = {
        "against": "one process with as many tasks",
        "processes": processes,
        "tasks_in_all": tasks,
        "appends": appends,
        "synchronous": "FULL",
    }
    yield Figure.of(f"{name}, together", "records/s", rates, target=at_least(0.5), **settings)
    target = at_most(500.0, of="value")
    yield Figure.of(f"{name}, longest wait", "ms", waits, target=target, summary=max, **settings)


def measure(bench: Bench, tasks: int, processes: int, appends: int) -> tuple[float, float]:
    """Append by many processes; give the records per second, and the longest wait in seconds.

    :param tasks: how many there are in all
    """
    each = appends // processes
    prefixes = [f"p{number}" for number in range(processes)]
    with bench.fresh_file() as path:
        run_bounded(_create(path))
        shares: list[Share] = run_together(
            *(partial(append, path, prefix, each, tasks // processes) for prefix in prefixes)
        )
        sent = (sent for prefix in prefixes for sent in messages(each, prefix=prefix))
        check_log(path, (message.message_id for message, _ in sent))
    seconds = max(share.end for share in shares) - min(share.start for share in shares)
    return appends / seconds, max(share.longest for share in shares)


async def _create(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)


def append(path: Path, prefix: str, appends: int, tasks: int) -> Share:
    """Append, in one of the processes, messages of its own."""
    sent = messages(appends, prefix=prefix)

    async def work() -> Share:
        async with SqliteAgentPoolStore.open(path) as store:
            wait_for_all()
            start = time.monotonic()
            waits = await append_all(store, tasks, sent)
            return Share(start, time.monotonic(), max(waits))

    return run_bounded(work())
