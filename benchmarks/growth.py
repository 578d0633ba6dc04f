"""Whether a call stays as cheap as it was while a log grows to a million records."""

import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from itertools import count
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple, TypeAlias

from agentpool import AgentPool, SqliteAgentPoolStore
from agentpool.rules.consequences import CatchUp
from benchmarks import growth_of_load
from benchmarks.bench import Bench, make_filled, run_bounded, sync
from benchmarks.checks import expect
from benchmarks.figures import Curve, Figure, Round, at_most
from benchmarks.pool_size import CALLS, Pool
from benchmarks.workloads import POOL, Sent, message

__all__ = ("run",)

_SIZES: Final = (100, 1_000, 10_000, 100_000, 1_000_000)
_SMALL_SIZES: Final = (100, 500)
_MADE_AFRESH: Final = 1_000
"""Logs up to this length would grow by too large a part if all rounds were on the same one."""
_FLAT: Final = at_most(1.3)
_WARM_UP: Final = 3
_SEND: Final = "send"
_TAKE: Final = "take and ack"
_CALLS: Final = (*CALLS, _SEND, _TAKE)

_Times: TypeAlias = dict[str, dict[int, float]]
"""Microseconds of each call, by the length of the log."""

_numbers = count()


def run(bench: Bench) -> Iterator[Figure | Curve]:
    """Measure the length of the log first, then what else can grow."""
    yield from _length(bench)
    yield from growth_of_load.run(bench)


def _length(bench: Bench) -> Iterator[Figure | Curve]:
    """Measure warm calls in turns in logs of each length."""
    sizes, calls = bench.size(_SIZES, _SMALL_SIZES), bench.size(25, 3)
    with ExitStack() as kept:
        made = {
            size: _filled(kept.enter_context(bench.fresh_file()), size)
            for size in sizes
            if size > _MADE_AFRESH
        }
        rounds = [_round(bench, sizes, made, calls) for _ in bench.rounds()]
    for name in _CALLS:
        found = [times[name] for times in rounds]
        yield _figure(name, sizes, found, calls)
        yield _curve(name, sizes, found)


def _figure(name: str, sizes: tuple[int, ...], found: list[dict[int, float]], calls: int) -> Figure:
    return Figure.of(
        f"{name}, log of {sizes[-1]:,} records",
        "us",
        [Round(times[sizes[-1]], times[sizes[0]]) for times in found],
        against=f"log of {sizes[0]} records",
        target=_FLAT,
        calls=calls,
        synchronous="FULL",
    )


def _curve(name: str, sizes: tuple[int, ...], found: list[dict[int, float]]) -> Curve:
    y = tuple(median(times[size] for times in found) for size in sizes)
    return Curve(plot="growth", label=name, x=sizes, y=y)


# --- the logs


def _filled(path: Path, records: int) -> Path:
    """Make a coordinated pool with this many records, and bring it down to the disk."""
    make_filled(path, records)
    run_bounded(_coordinate(path))
    sync(path)
    return path


async def _coordinate(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path, synchronous="NORMAL") as store:
        while not (await store.execute(POOL, CatchUp())).done:
            pass


# --- the calls


class _Log(NamedTuple):
    """One of the logs, with handles on it."""

    filled: Pool
    store: SqliteAgentPoolStore
    pool: AgentPool

    async def time(self, name: str) -> float:
        """Time one call, in microseconds."""
        if name == _SEND:
            return await self._time_send(_next())
        if name == _TAKE:
            return await self._time_take(_next())
        return await self.filled.time(self.store, name)

    async def _time_send(self, sent: Sent) -> float:
        start = time.perf_counter()
        receipt = await self.pool.send(sent.message)
        taken = time.perf_counter() - start
        expect(receipt.status == "delivered", "a message was not delivered")
        return taken * 1e6

    async def _time_take(self, sent: Sent) -> float:
        await self._time_send(sent)  # one for each that is taken: the inbox does not shrink
        inbox = self.pool.inbox(sent.receipt.delivered_to[0])
        start = time.perf_counter()
        delivery = await inbox.take()
        await delivery.ack()
        return (time.perf_counter() - start) * 1e6


def _next() -> Sent:
    return message(f"sent.{next(_numbers):06}")


def _round(bench: Bench, sizes: tuple[int, ...], made: dict[int, Path], calls: int) -> _Times:
    with ExitStack() as fresh:
        paths = {
            size: made.get(size) or _filled(fresh.enter_context(bench.fresh_file()), size)
            for size in sizes
        }
        return run_bounded(_measure(paths, calls))


async def _measure(paths: dict[int, Path], calls: int) -> _Times:
    found = {}
    async with AsyncExitStack() as stack:
        logs = {size: await _open(stack, path, size) for size, path in paths.items()}
        for name in _CALLS:
            turns = [
                {size: await log.time(name) for size, log in logs.items()}
                for _ in range(_WARM_UP + calls)
            ][_WARM_UP:]
            found[name] = {size: median(turn[size] for turn in turns) for size in logs}
    return found


async def _open(stack: AsyncExitStack, path: Path, records: int) -> _Log:
    store = await stack.enter_async_context(SqliteAgentPoolStore.open(path))
    pool = await stack.enter_async_context(AgentPool.open(store, POOL))
    return _Log(Pool(path, records), store, pool)
