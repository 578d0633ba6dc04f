"""How the time of an append and of a send is divided with 64 tasks, and what the floor is."""

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest.mock import patch

from agentpool import AgentPool, SqliteAgentPoolStore
from agentpool.stores.sqlite.transaction import BatchCommitter
from benchmarks import plain
from benchmarks.appends import append_all
from benchmarks.bench import Bench, run_bounded
from benchmarks.figures import Figure, Round
from benchmarks.pools_sending import MEMBERS, RECORDS_PER_SEND, send_all
from benchmarks.workloads import POOL, Sent, member, messages, payload

__all__ = ("run",)

_TASKS: Final = 64
_FLOOR: Final = f"sqlite3, same tables and indexes, {_TASKS} rows a commit"
_INSERT: Final = "INSERT INTO agent_pool_records VALUES (?, ?, 'run_message', ?)"


class Division(NamedTuple):
    """Microseconds a record, and records a commit."""

    wall: float
    loop: float
    others: float
    per_commit: float

    @property
    def waiting(self) -> float:
        """Say how long no thread ran; less than nothing where two ran at once for longer."""
        return self.wall - self.loop - self.others


_PARTS: Final[dict[str, Callable[[Division], float]]] = {
    "in all": lambda each: each.wall,
    "in the event loop": lambda each: each.loop,
    "in other threads": lambda each: each.others,
    "disk and handing over": lambda each: each.waiting,
}


def run(bench: Bench) -> Iterator[Figure]:
    """Measure appends, sends and both floors in turns."""
    records = bench.size(16_000, 512)
    floors, bare = [], []
    divided: dict[str, list[Division]] = {"append": [], "send": []}
    for _ in bench.rounds(full=5):
        floors.append(_floor(bench, records, _create))
        bare.append(_floor(bench, records, _create_nothing))
        divided["append"].append(_divided(bench, _append, messages(records)))
        divided["send"].append(_divided(bench, _send, messages(records // RECORDS_PER_SEND)))
    for name, divisions in divided.items():
        yield from _figures(name, divisions, floors, records)
    yield Figure.of(
        f"sqlite3, a bare table, {_TASKS} rows a commit",
        "us/record",
        map(Round, bare, floors),
        against=_FLOOR,
        records=records,
        synchronous="FULL",
    )


def _figures(
    name: str, divisions: list[Division], floors: list[float], records: int
) -> Iterator[Figure]:
    settings: dict[str, Any] = {"records": records, "tasks": _TASKS, "synchronous": "FULL"}
    for part, of in _PARTS.items():
        yield Figure.of(
            f"{name}, {_TASKS} tasks, {part}",
            "us/record",
            map(Round, map(of, divisions), floors),
            against=_FLOOR,
            **settings,
        )
    commits = [Round(each.per_commit) for each in divisions]
    yield Figure.of(f"{name}, {_TASKS} tasks, in one commit", "records", commits, **settings)


# --- ours


def _divided(
    bench: Bench, work: Callable[[Path, list[Sent]], Awaitable[Division]], sent: list[Sent]
) -> Division:
    async def run_work(path: Path) -> Division:
        return await work(path, sent)

    with bench.fresh_file() as path:
        return run_bounded(run_work(path))


async def _append(path: Path, sent: list[Sent]) -> Division:
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)
        return await _divide(append_all(store, _TASKS, sent), len(sent))


async def _send(path: Path, sent: list[Sent]) -> Division:
    async with SqliteAgentPoolStore.open(path) as store, AgentPool.open(store, POOL) as pool:
        for number in range(MEMBERS):
            await pool.join_run(member(str(number)))
        return await _divide(send_all(pool, _TASKS, sent), len(sent) * RECORDS_PER_SEND)


async def _divide(work: Awaitable[Any], records: int) -> Division:
    with _counted_commits() as count:
        wall, loop, process = time.perf_counter(), time.thread_time(), time.process_time()
        await work
        wall, loop, process = (
            time.perf_counter() - wall,
            time.thread_time() - loop,
            time.process_time() - process,
        )
    us = 1e6 / records
    return Division(wall * us, loop * us, (process - loop) * us, records / count())


@contextmanager
def _counted_commits() -> Iterator[Callable[[], int]]:
    batches: list[int] = []
    commit = BatchCommitter.commit

    def counted(*arguments: Any) -> Any:
        batches.append(1)
        return commit(*arguments)

    with patch.object(BatchCommitter, "commit", counted):
        yield lambda: len(batches)


# --- the floor


def _create(path: Path) -> None:
    async def create() -> None:
        async with SqliteAgentPoolStore.open(path):
            pass

    run_bounded(create())


def _create_nothing(_: Path) -> None:
    """Leave it to `plain.connect`, which knows of no index."""


def _floor(bench: Bench, records: int, create: Callable[[Path], None]) -> float:
    """Insert by hand, and give the microseconds that each record took."""
    rows = [(POOL, seq, payload(sent)) for seq, sent in enumerate(messages(records), 1)]
    with bench.fresh_file() as path:
        create(path)
        with closing(plain.connect(path)) as connection:
            start = time.perf_counter()
            for first in range(0, records, _TASKS):
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(_INSERT, rows[first : first + _TASKS])
                connection.execute("COMMIT")
            return (time.perf_counter() - start) / records * 1e6
