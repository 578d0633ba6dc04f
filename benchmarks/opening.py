"""Two processes that open one fresh file at the same moment, again and again."""

import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from agentpool import AgentPoolError, SqliteAgentPoolStore
from benchmarks import plain
from benchmarks.bench import Bench, run_bounded
from benchmarks.checks import check_log, expect
from benchmarks.children import run_together, wait_for_all
from benchmarks.figures import Figure, Round, at_most
from benchmarks.workloads import POOL, message

__all__ = ("run",)

_PROCESSES: Final = 2


def run(bench: Bench) -> Iterator[Figure]:
    """Count those that fail. Each of ours also opens the pool and appends a message."""
    times = bench.size(200, 10)
    with bench.fresh_file() as path:
        by_hand = _failures(path, times, open_plainly)
    with bench.fresh_file() as path:
        ours = _failures(path, times, open_store)
        yield Figure.of(
            "two processes open a fresh file",
            "errors",
            [Round(sum(ours), sum(by_hand))],
            against="sqlite3 with a timeout of 5 s",
            target=at_most(0.0, of="value"),
            times=times,
        )
        expect(sum(ours) == 0, f"{sum(ours)} of {_PROCESSES * times} could not open the file")
        for attempt in range(times):
            check_log(_numbered(path, attempt), {"message.0", "message.1"})


def _failures(path: Path, times: int, job: Callable[[Path, int, int], int]) -> list[int]:
    return run_together(*(partial(job, path, times, process) for process in range(_PROCESSES)))


def _numbered(path: Path, attempt: int) -> Path:
    return path.with_name(f"{attempt}.db")


def open_store(path: Path, times: int, process: int) -> int:
    """Open a fresh file, at each attempt, together with the other process."""

    async def use(path: Path) -> None:
        async with SqliteAgentPoolStore.open(path) as store:
            await store.open_pool(POOL)
            await store.record_message(POOL, *message(str(process)))

    failures = 0
    for attempt in range(times):
        wait_for_all()
        try:
            run_bounded(use(_numbered(path, attempt)))
        except AgentPoolError:
            failures += 1
    return failures


def open_plainly(path: Path, times: int, process: int) -> int:  # noqa: ARG001  # as open_store
    """Do the same with ``sqlite3`` alone."""
    failures = 0
    for attempt in range(times):
        wait_for_all()
        try:
            plain.connect(_numbered(path, attempt)).close()
        except sqlite3.OperationalError:
            failures += 1
    return failures
