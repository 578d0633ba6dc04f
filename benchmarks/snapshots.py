"""How fast a log is replayed, and what the next snapshot costs."""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from agentpool import SqliteAgentPoolStore
from benchmarks import plain
from benchmarks.bench import Bench, run_bounded
from benchmarks.checks import expect
from benchmarks.figures import Figure, Round, at_least, at_most
from benchmarks.workloads import POOL, message

__all__ = ("run",)

_SECOND_SNAPSHOTS: Final = 5


def run(bench: Bench) -> Iterator[Figure]:
    """Measure both in the same fresh handle."""
    records = bench.size(100_000, 1_000)
    with bench.filled_file(records) as path:
        cold, warm = [], []
        for round_ in bench.rounds():
            by_hand = _load_by_hand(path)
            first, later = run_bounded(_snapshots(path, round_))
            cold.append(Round(records / first, records / by_hand))
            warm.append(Round(later * 1e3, first * 1e3))
    yield Figure.of(
        "cold snapshot()",
        "records/s",
        cold,
        against="sqlite3 and json.loads, into dicts",
        target=at_least(150_000, of="value"),
        records=records,
    )
    yield Figure.of(
        "snapshot() after one more record",
        "ms",
        warm,
        against="the cold one before it",
        target=at_most(5.0, of="value"),
        records=records,
    )


async def _snapshots(path: Path, round_: int) -> tuple[float, float]:
    """Time the first snapshot and, on average, those after one more record, in seconds."""
    async with SqliteAgentPoolStore.open(path) as store:
        start = time.perf_counter()
        before = await store.snapshot(POOL)
        first = time.perf_counter() - start
        later = 0.0
        for number in range(_SECOND_SNAPSHOTS):
            await store.record_message(POOL, *message(f"late.{round_}.{number}"))
            start = time.perf_counter()
            after = await store.snapshot(POOL)
            later += time.perf_counter() - start
        added = len(after.messages) - len(before.messages)
        expect(added == _SECOND_SNAPSHOTS, "a snapshot does not show what was appended")
        return first, later / _SECOND_SNAPSHOTS


def _load_by_hand(path: Path) -> float:
    start = time.perf_counter()
    with closing(sqlite3.connect(path)) as connection:
        latest = {}
        for text in plain.payloads_after(connection, 0):
            record = json.loads(text)
            stored = record.get("stored", {})
            about = stored.get("message") or stored.get("condition") or {}
            latest[about.get("message_id") or about.get("condition_id")] = record
    return time.perf_counter() - start
