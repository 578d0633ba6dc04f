"""How the time of the hot paths is divided with 64 tasks, and what the floor is."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest.mock import patch

from agentpool import AgentPool, Inbox, SqliteAgentPoolStore
from agentpool.stores.batch.committer import BatchCommitter
from benchmarks import plain
from benchmarks.appends import append_all
from benchmarks.bench import Bench, run_bounded
from benchmarks.figures import Figure, Round
from benchmarks.pools_sending import MEMBERS, RECORDS_PER_SEND, send_all
from benchmarks.workloads import POOL, Sent, member, messages, payload

__all__ = ("run",)

_TASKS: Final = 64
_INSERT: Final = "INSERT INTO agent_pool_records VALUES (?, ?, 'run_message', ?)"


class Division(NamedTuple):
    """Microseconds for each record, or message, and how many of them a commit has."""

    wall: float
    loop: float
    others: float
    per_commit: float

    @property
    def neither(self) -> float:
        """Say how long no thread ran, less how long two ran at once."""
        return self.wall - self.loop - self.others


_PARTS: Final[dict[str, Callable[[Division], float]]] = {
    "in all": lambda each: each.wall,
    "in the event loop": lambda each: each.loop,
    "in other threads": lambda each: each.others,
    "in neither, less what overlapped": lambda each: each.neither,
}


class Work(NamedTuple):
    """One hot path.

    :ivar records: how many each message makes; taking one makes none, and has no floor
    """

    do: Callable[[Path, list[Sent]], Awaitable[Division]]
    records: int

    @property
    def rows_per_commit(self) -> int:
        return _TASKS * self.records

    @property
    def unit(self) -> str:
        return "record" if self.records else "message"


def run(bench: Bench) -> Iterator[Figure]:
    """Measure each of them, each with its floor, in turns."""
    records = bench.size(16_000, 512)
    bare: list[Round] = []
    found: dict[str, list[tuple[Division, float | None]]] = {name: [] for name in _WORKS}
    for _ in bench.rounds(full=5):
        for name, work in _WORKS.items():
            floor = _floor(bench, records, _create, work.rows_per_commit) if work.records else None
            found[name].append((_divided(bench, work, records), floor))
        alone = _floor(bench, records, _create_nothing, _TASKS)
        bare.append(Round(alone, found["append"][-1][1]))
    for name, rounds in found.items():
        yield from _figures(name, rounds, records)
    yield Figure.of(
        f"sqlite3, a bare table, {_TASKS} rows a commit",
        "us/record",
        bare,
        against=_against(_TASKS),
        records=records,
        synchronous="FULL",
    )


def _figures(
    name: str, rounds: list[tuple[Division, float | None]], records: int
) -> Iterator[Figure]:
    work = _WORKS[name]
    settings: dict[str, Any] = {f"{work.unit}s": records, "tasks": _TASKS, "synchronous": "FULL"}
    for part, of in _PARTS.items():
        yield Figure.of(
            f"{name}, {_TASKS} tasks, {part}",
            f"us/{work.unit}",
            [Round(of(division), floor) for division, floor in rounds],
            against=_against(work.rows_per_commit) if work.records else "",
            **settings,
        )
    commits = [Round(division.per_commit) for division, _ in rounds]
    yield Figure.of(f"{name}, {_TASKS} tasks, in one commit", f"{work.unit}s", commits, **settings)


def _against(rows_per_commit: int) -> str:
    return f"sqlite3, same tables and indexes, {rows_per_commit} rows a commit"


# --- ours


def _divided(bench: Bench, work: Work, records: int) -> Division:
    sent = messages(records // (work.records or 1))

    async def do(path: Path) -> Division:
        return await work.do(path, sent)

    with bench.fresh_file() as path:
        return run_bounded(do(path))


async def _append(path: Path, sent: list[Sent]) -> Division:
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)
        return await _divide(append_all(store, _TASKS, sent), len(sent))


async def _send(path: Path, sent: list[Sent]) -> Division:
    async with SqliteAgentPoolStore.open(path) as store, AgentPool.open(store, POOL) as pool:
        await _join(pool)
        return await _divide(send_all(pool, _TASKS, sent), len(sent) * RECORDS_PER_SEND)


async def _take(path: Path, sent: list[Sent]) -> Division:
    async with SqliteAgentPoolStore.open(path) as store, AgentPool.open(store, POOL) as pool:
        await _join(pool)
        await send_all(pool, _TASKS, sent)
        [receiver] = {each.receipt.delivered_to[0] for each in sent}
        return await _divide(_take_all(pool.inbox(receiver), len(sent)), len(sent))


async def _join(pool: AgentPool) -> None:
    for number in range(MEMBERS):
        await pool.join_run(member(str(number)))


async def _take_all(inbox: Inbox, count: int) -> None:
    async def take(task: int) -> None:
        for _ in range(task, count, _TASKS):
            delivery = await inbox.take()
            await delivery.ack()

    async with asyncio.TaskGroup() as group:
        for task in range(_TASKS):
            group.create_task(take(task))


_WORKS: Final = {
    "append": Work(_append, 1),
    "send": Work(_send, RECORDS_PER_SEND),
    "take and ack": Work(_take, 0),
}


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


def _floor(
    bench: Bench, records: int, create: Callable[[Path], None], rows_per_commit: int
) -> float:
    """Insert by hand, and give the microseconds that each record took."""
    rows = [(POOL, seq, payload(sent)) for seq, sent in enumerate(messages(records), 1)]
    with bench.fresh_file() as path:
        create(path)
        with closing(plain.connect(path)) as connection:
            start = time.perf_counter()
            for first in range(0, records, rows_per_commit):
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(_INSERT, rows[first : first + rows_per_commit])
                connection.execute("COMMIT")
            return (time.perf_counter() - start) / records * 1e6
