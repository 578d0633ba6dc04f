"""How fast many tasks, and one, append to a pool, against single-row commits by hand."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from agentpool import SqliteAgentPoolStore
from benchmarks import plain
from benchmarks.bench import Bench, run_bounded
from benchmarks.checks import check_log
from benchmarks.figures import Figure, Round, Target, at_least
from benchmarks.workloads import POOL, Sent, messages, payload

__all__ = ("append_all", "rate", "run")

AGAINST = "sqlite3, one row per commit"


def run(bench: Bench) -> Iterator[Figure]:
    """Measure at synchronous=FULL, on both sides."""
    many, few = bench.size(20_000, 300), bench.size(3_000, 100)
    yield _figure(bench, 64, many, few, target=at_least(8.0))
    yield _figure(bench, 64, many, few, random_keys=True)
    yield _figure(bench, 1, few, few, target=at_least(0.4))


def _figure(
    bench: Bench,
    tasks: int,
    appends: int,
    plain_appends: int,
    *,
    target: Target | None = None,
    random_keys: bool = False,
) -> Figure:
    sent = messages(appends, random_keys=random_keys)
    payloads = [payload(each) for each in sent[:plain_appends]]
    return Figure.of(
        f"append, {tasks} task{'s' * (tasks > 1)}{', random keys' * random_keys}",
        "records/s",
        [_round(bench, tasks, sent, payloads) for _ in bench.rounds()],
        against=AGAINST,
        target=target,
        tasks=tasks,
        appends=appends,
        plain_appends=plain_appends,
        keys="random" if random_keys else "in order",
        synchronous="FULL",
        payload_bytes=len(payloads[0].encode()),
    )


def _round(bench: Bench, tasks: int, sent: list[Sent], payloads: list[str]) -> Round:
    # Half of the baseline before and half after, so that a drifting machine is fair to both.
    half = len(payloads) // 2
    with bench.fresh_file() as before, bench.fresh_file() as path, bench.fresh_file() as after:
        first = plain.rate(before, payloads[:half])
        ours = run_bounded(rate(path, tasks, sent))
        check_log(path, (message.message_id for message, _ in sent))
        second = plain.rate(after, payloads[half:])
    return Round(ours, (first + second) / 2)


async def rate(
    path: Path, tasks: int, sent: list[Sent], pool_ids: Sequence[str] = (POOL,)
) -> float:
    """Append to a fresh file, and give the records per second."""
    async with SqliteAgentPoolStore.open(path) as store:
        await asyncio.gather(*(store.open_pool(pool_id) for pool_id in pool_ids))
        start = time.perf_counter()
        await append_all(store, tasks, sent, pool_ids)
        return len(sent) / (time.perf_counter() - start)


async def append_all(
    store: SqliteAgentPoolStore, tasks: int, sent: list[Sent], pool_ids: Sequence[str] = (POOL,)
) -> list[float]:
    """Append from many tasks at once, each awaiting one append after the other.

    :param pool_ids: the messages go to these pools in turns
    :return: how long each append took, in seconds
    """
    waits: list[float] = []

    async def append(task: int) -> None:
        for number in range(task, len(sent), tasks):
            start = time.perf_counter()
            await store.record_message(pool_ids[number % len(pool_ids)], *sent[number])
            waits.append(time.perf_counter() - start)

    async with asyncio.TaskGroup() as group:
        for task in range(tasks):
            group.create_task(append(task))
    return waits
