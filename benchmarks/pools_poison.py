"""How long messages wait in an inbox where one of a hundred fails each time, against none."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Final

from agentpool import AgentPool, Delivery, RunAddress, SqliteAgentPoolStore
from benchmarks.bench import Bench, run_bounded
from benchmarks.checks import expect
from benchmarks.figures import Figure, Round, at_most, percentile
from benchmarks.workloads import POOL, member

__all__ = ("run",)

_EVERY: Final = 100
_PAUSE_SECONDS: Final = 0.002
_CONCURRENCY: Final = 4
_SUMMARIES: Final[dict[str, Callable[[Sequence[float]], float]]] = {
    "mean": fmean,
    "p99": lambda waits: percentile(waits, 99),
}


def run(bench: Bench) -> Iterator[Figure]:
    """Measure both in turns: from before a message is sent until a handler has it."""
    count = bench.size(1_000, 100)
    found = [(_waits(bench, count, _EVERY), _waits(bench, count)) for _ in bench.rounds(full=3)]
    for name, summary in _SUMMARIES.items():
        yield Figure.of(
            f"wait in an inbox with 1 % poison, {name}",
            "ms",
            [Round(summary(beside), summary(alone)) for beside, alone in found],
            against="the same without poison",
            target=at_most(2.0),
            messages=count,
            concurrency=_CONCURRENCY,
            synchronous="FULL",
        )


def _waits(bench: Bench, count: int, every: int = 0) -> list[float]:
    with bench.fresh_file() as path:
        return run_bounded(_serve(path, count, every))


async def _serve(path: Path, count: int, every: int) -> list[float]:
    """Serve an inbox while messages come, and give the milliseconds that good ones waited."""
    sent: dict[str, float] = {}
    waits: dict[str, float] = {}
    poison = len(range(0, count, every)) if every else 0
    done, tries = asyncio.Event(), 0

    async def handle(delivery: Delivery) -> None:
        nonlocal tries
        ref = delivery.message.content_ref
        if ref.startswith("poison"):
            tries += 1
            msg = "it fails each time"
            raise ValueError(msg)
        expect(ref not in waits, "a message came twice")
        waits[ref] = (time.perf_counter() - sent[ref]) * 1e3
        if len(waits) == count - poison:
            done.set()

    async with (
        SqliteAgentPoolStore.open(path) as store,
        AgentPool.open(store, POOL) as pool,
        pool.member(member("0"), lease=None) as me,
    ):
        serving = asyncio.create_task(me.serve(handle, concurrency=_CONCURRENCY))
        for number in range(count):
            is_poison = every and number % every == 0
            ref = f"{'poison' if is_poison else 'content'}.{number}"
            sent[ref] = time.perf_counter()
            await me.send(RunAddress.run(me.run_id), content_ref=ref)
            await asyncio.sleep(_PAUSE_SECONDS)
        await done.wait()
        serving.cancel()
        await asyncio.wait([serving])
    expect(tries >= poison, "a poison message was never tried")
    return list(waits.values())
