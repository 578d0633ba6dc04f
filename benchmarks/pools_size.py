"""Whether sending costs more in a pool with much in it: messages, members, and open waits."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple, TypeVar

from agentpool import (
    AgentPool,
    EventFilter,
    MessageStatus,
    RunAddress,
    RunMessage,
    SqliteAgentPoolStore,
    WakeCondition,
    include,
)
from benchmarks.bench import Bench, run_bounded
from benchmarks.checks import expect
from benchmarks.figures import Figure, Round, at_most
from benchmarks.workloads import POOL, member

__all__ = ("run",)

T = TypeVar("T")

_WARM_UP: Final = 5
_AT_ONCE: Final = 256

_numbers = count()


class Size(NamedTuple):
    """What a pool holds before anything is measured."""

    messages: int
    members: int
    wakes: int


_SMALL: Final = Size(100, 10, 10)


def run(bench: Bench) -> Iterator[Figure]:
    """Measure sends to a run in turns; the small pool is made afresh, so that it stays small."""
    size = bench.size(Size(100_000, 1_000, 1_000), Size(1_000, 50, 50))
    calls = bench.size(50, 5)
    rounds = []
    with bench.fresh_file() as large:
        run_bounded(_make(large, size))
        for _ in bench.rounds():
            with bench.fresh_file() as small:
                run_bounded(_make(small, _SMALL))
                rounds.append(run_bounded(_measure((large, size), (small, _SMALL), calls)))
    yield Figure.of(
        "send in a large pool",
        "us",
        rounds,
        against=f"in a pool of {_SMALL.messages} messages, {_SMALL.members} members and waits",
        target=at_most(2.0),
        calls=calls,
        synchronous="FULL",
        **size._asdict(),
    )


async def _make(path: Path, size: Size) -> None:
    """Fill a pool: each run waits for one that is elsewhere, and has unread messages."""
    async with (
        SqliteAgentPoolStore.open(path, synchronous="NORMAL") as store,
        AgentPool.open(store, POOL) as pool,
    ):
        await _each(lambda n: pool.join_run(member(str(n))), range(size.members))
        await _each(lambda n: _wait(pool, n), range(size.wakes))
        await _each(pool.send, (_message(size) for _ in range(size.messages)))


async def _each(act: Callable[[T], Awaitable[Any]], values: Iterable[T]) -> None:
    """Do something with each value, with many of them at once."""
    rest = iter(values)

    async def work() -> None:
        for value in rest:
            await act(value)

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(work())


async def _wait(pool: AgentPool, number: int) -> None:
    condition = WakeCondition(
        condition_id=f"wake.{number}",
        run_id=f"run.{number}",
        filter=EventFilter(run_ids=include(f"run.elsewhere.{number}")),
        idempotency_key=f"key.wake.{number}",
    )
    await pool.suspend_until(condition.run_id, condition)


def _message(size: Size) -> RunMessage:
    number = next(_numbers)
    return RunMessage(
        message_id=f"message.{number:08}",
        sender=f"run.{number % size.members}",
        to=RunAddress.run(f"run.{(number + 1) % size.members}"),
        content_ref=f"content.{number:08}",
        idempotency_key=f"key.{number:08}",
    )


async def _measure(large: tuple[Path, Size], small: tuple[Path, Size], calls: int) -> Round:
    async with (
        SqliteAgentPoolStore.open(large[0]) as in_large,
        SqliteAgentPoolStore.open(small[0]) as in_small,
        AgentPool.open(in_large, POOL) as large_pool,
        AgentPool.open(in_small, POOL) as small_pool,
    ):
        pairs = [
            (await _time(large_pool, large[1]), await _time(small_pool, small[1]))
            for _ in range(_WARM_UP + calls)
        ][_WARM_UP:]
    return Round(median(pair[0] for pair in pairs), median(pair[1] for pair in pairs))


async def _time(pool: AgentPool, size: Size) -> float:
    """Time one send, in microseconds."""
    message = _message(size)
    start = time.perf_counter()
    receipt = await pool.send(message)
    taken = time.perf_counter() - start
    expect(receipt.status is MessageStatus.DELIVERED, "a message was not delivered")
    return taken * 1e6
