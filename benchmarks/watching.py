"""How soon a watcher has the record that another process appends."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing, closing
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final, TypeAlias

from agentpool import AgentPoolStoreRecord, RunMessageRecorded, SqliteAgentPoolStore
from benchmarks import plain
from benchmarks.bench import Bench, run_bounded
from benchmarks.checks import expect
from benchmarks.children import pipe, run_together, wait_for_all
from benchmarks.figures import Figure, Round, Target, at_most, percentile
from benchmarks.workloads import POOL, messages, payload

__all__ = ("latencies", "run", "write")

# When each record's append began, and when it was in a watcher's hands: CLOCK_MONOTONIC is the
# same in all processes, and never set back.
Times: TypeAlias = list[int]

_RATE: Final = 200.0
_FOREIGN_RATE: Final = 15.0  # so that a write falls into the long pauses after the one before
_MANY: Final = 100
AGAINST = "sqlite3 both ways, a byte through a pipe after the commit"


def run(bench: Bench) -> Iterator[Figure]:
    """Measure the baseline, our writer, and one that rings no bell, in turns."""
    count, few = bench.size(1_000, 20), bench.size(200, 10)
    watchers = bench.size(_MANY, 5)
    found: dict[str, list[tuple[list[float], list[float]]]] = {"one": [], "many": [], "foreign": []}
    for _ in bench.rounds(full=3):
        by_hand = _by_hand(bench, count)
        found["one"].append((latencies(bench, write, count, _RATE, 1), by_hand))
        found["many"].append((latencies(bench, write, count, _RATE, watchers), by_hand))
        foreign = latencies(bench, write_plainly, few, _FOREIGN_RATE, 1)
        found["foreign"].append((foreign, by_hand))
    last = f"watch, the last of {watchers}"
    paced = {"records": count, "records_per_second": _RATE}
    slowly = {"records": few, "records_per_second": _FOREIGN_RATE}
    yield _figure("watch", 50, found["one"], at_most(2.0, of="value"), paced)
    yield _figure("watch", 99, found["one"], at_most(10.0, of="value"), paced)
    yield _figure(last, 50, found["many"], None, paced)
    yield _figure(last, 99, found["many"], None, paced)
    name, target = "watch, writer without a bell", at_most(10.0, of="value")
    yield _figure(name, 99, found["foreign"], target, slowly)


def _figure(
    name: str,
    percent: int,
    found: list[tuple[list[float], list[float]]],
    target: Target | None,
    settings: dict[str, Any],
) -> Figure:
    return Figure.of(
        f"{name}, p{percent}",
        "ms",
        [Round(percentile(ours, percent), percentile(by_hand, percent)) for ours, by_hand in found],
        against=AGAINST,
        target=target,
        synchronous="FULL",
        **settings,
    )


def latencies(
    bench: Bench,
    writer: Callable[[Path, int, float], Times],
    count: int,
    rate: float,
    watchers: int,
) -> list[float]:
    """Measure, in milliseconds, until the last of the watchers of one process has each record."""
    with bench.fresh_file() as path:
        run_bounded(_create(path))
        arrived, began = run_together(
            partial(watch, path, count, watchers), partial(writer, path, count, rate)
        )
    return [(max(ends) - start) / 1e6 for start, *ends in zip(began, *arrived, strict=True)]


async def _create(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)


# --- in the watching process


def watch(path: Path, count: int, watchers: int) -> list[Times]:
    """Watch a pool from its start with several watchers, and tell when each had each record."""

    async def follow(store: SqliteAgentPoolStore, ready: asyncio.Barrier) -> Times:
        seen: list[tuple[int, AgentPoolStoreRecord]] = []
        async with aclosing(store.watch(POOL)) as records:
            await anext(records)
            await ready.wait()
            while len(seen) < count:
                record = await anext(records)
                seen.append((time.monotonic_ns(), record))
        _check([record for _, record in seen])
        return [at for at, _ in seen]

    async def follow_all() -> list[Times]:
        ready = asyncio.Barrier(watchers + 1)
        async with SqliteAgentPoolStore.open(path) as store, asyncio.TaskGroup() as group:
            tasks = [group.create_task(follow(store, ready)) for _ in range(watchers)]
            await ready.wait()
            wait_for_all()
        return [task.result() for task in tasks]

    return run_bounded(follow_all())


def _check(records: list[AgentPoolStoreRecord]) -> None:
    sent = messages(len(records))
    for seq, (record, (message, _)) in enumerate(zip(records, sent, strict=True), 2):
        expect(record.cursor.sequence == seq, f"record {seq} did not come in its place")
        expect(
            isinstance(record.payload, RunMessageRecorded)
            and record.payload.stored.message == message,
            f"record {seq} is not what was appended",
        )


# --- in the writing process


def write(path: Path, count: int, rate: float) -> Times:
    """Append through a store, and tell when each append began."""

    async def append() -> Times:
        began: Times = []
        async with SqliteAgentPoolStore.open(path) as store:
            sent = messages(count)
            wait_for_all()
            for pause, (message, receipt) in zip(_pauses(rate), sent, strict=False):
                await asyncio.sleep(pause)
                began.append(time.monotonic_ns())
                await store.record_message(POOL, message, receipt)
        return began

    return run_bounded(append())


def write_plainly(path: Path, count: int, rate: float, bell: Any = None) -> Times:
    """Append with ``sqlite3`` alone, as a program that knows nothing of the store."""
    began: Times = []
    payloads = [payload(sent) for sent in messages(count)]
    with closing(plain.connect(path)) as connection:
        wait_for_all()
        for pause, text in zip(_pauses(rate), payloads, strict=False):
            time.sleep(pause)
            began.append(time.monotonic_ns())
            plain.append_next(connection, text)
            if bell is not None:
                bell.send_bytes(b"\a")
    return began


def _pauses(rate: float) -> Iterator[float]:
    """Give pauses of random length, so that no poll falls into step with them."""
    random = Random(rate)
    while True:
        yield random.uniform(0.5, 1.5) / rate


# --- the baseline


def _by_hand(bench: Bench, count: int) -> list[float]:
    with bench.fresh_file() as path:
        plain.connect(path).close()
        hears, rings = pipe()
        arrived, began = run_together(
            partial(watch_plainly, path, count, hears),
            partial(write_plainly, path, count, _RATE, rings),
        )
    return [(end - start) / 1e6 for start, end in zip(began, arrived, strict=True)]


def watch_plainly(path: Path, count: int, bell: Any) -> Times:
    """Wait for a byte, then read what is new, with ``sqlite3`` alone."""
    times: Times = []
    with closing(plain.connect(path)) as connection:
        wait_for_all()
        while len(times) < count:
            bell.recv_bytes()
            found = plain.payloads_after(connection, len(times))
            times += [time.monotonic_ns()] * len(found)
    return times
