"""What the processes do that measure a contender."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple, TypeAlias

from benchmarks.bench import run_bounded
from benchmarks.checks import expect
from benchmarks.children import wait_for_all
from benchmarks.peers.contender import Contender, Handle, Message, make_messages

__all__ = ("Load", "Pace", "Times", "follow", "prepare", "run_appends", "run_pace", "write")

Times: TypeAlias = list[int]
"""Moments in nanoseconds of CLOCK_MONOTONIC, which is the same in all processes."""

_FEW: Final = 20
_WARM_UP: Final = 64
_MOST: Final = 50_000
_PER_SECOND: Final = 80.0


class Load(NamedTuple):
    """With how many tasks at once to append, one number after the other, and how long each."""

    tasks: Sequence[int]
    seconds: float


class Pace(NamedTuple):
    """Appends per second, for each number of tasks, and messages replayed per second."""

    appends: dict[int, float]
    replay: float


def prepare(contender: Contender, folder: Path, filled: Path, count: int) -> None:
    """Insist that a contender does the job at all, and fill it with messages to replay.

    :raises Violation: it does not do the job
    """

    async def prepare_() -> None:
        await _try_out(contender, folder)
        with contender.running(filled) as place:
            async with contender.open(place) as handle:
                await handle.fill(make_messages(count, "filled"))

    run_bounded(prepare_())


def run_pace(contender: Contender, folder: Path, filled: Path, load: Load) -> Pace:
    """Measure appends to a fresh folder, about so long each, and the replay of a filled one."""

    async def measure() -> Pace:
        appends = await _append_rates(contender, folder, load)
        with contender.running(filled) as place:
            async with contender.open(place) as handle:
                replay = await _replay_rate(handle)
        return Pace(appends, replay)

    return run_bounded(measure())


def run_appends(contender: Contender, folder: Path, load: Load) -> dict[int, float]:
    """Measure appends to a fresh folder, about so long each."""
    return run_bounded(_append_rates(contender, folder, load))


async def _try_out(contender: Contender, folder: Path) -> None:
    messages = make_messages(_FEW, "check")
    bodies = [message.body for message in messages]
    again = messages[-1:] if contender.deduplicates else []
    for appended in ([*messages, *again], again):  # the second time after all was closed
        with contender.running(folder) as place:
            async with contender.open(place) as handle:
                for message in appended:
                    await handle.append(message)
                found = [handle.text(item) for item in await handle.replay()]
        expect(found == bodies, "it does not give what it was given, in order and once")


async def _append_rates(contender: Contender, folder: Path, load: Load) -> dict[int, float]:
    with contender.running(folder) as place:
        async with contender.open(place) as handle:
            return {tasks: await _append_rate(handle, tasks, load.seconds) for tasks in load.tasks}


async def _append_rate(handle: Handle, tasks: int, seconds: float) -> float:
    rough = await _rate(handle, tasks, make_messages(max(_WARM_UP, 2 * tasks), f"warm.{tasks}"))
    count = min(_MOST, max(2 * tasks, int(rough * seconds)))
    before = len(await handle.replay())
    rate = await _rate(handle, tasks, make_messages(count, f"tasks.{tasks}"))
    after = len(await handle.replay())
    expect(after - before == count, f"{after - before} of {count} messages are stored")
    return rate


async def _rate(handle: Handle, tasks: int, messages: list[Message]) -> float:
    async def append(share: list[Message]) -> None:
        for message in share:
            await handle.append(message)

    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for task in range(tasks):
            group.create_task(append(messages[task::tasks]))
    return len(messages) / (time.perf_counter() - start)


async def _replay_rate(handle: Handle) -> float:
    start = time.perf_counter()
    items = await handle.replay()
    seconds = time.perf_counter() - start
    _check(handle, items, "filled")
    return len(items) / seconds


def _check(handle: Handle, items: Sequence[Any], prefix: str) -> None:
    messages = make_messages(len(items), prefix)
    for number, (item, message) in enumerate(zip(items, messages, strict=True)):
        expect(handle.text(item) == message.body, f"message {number} is not in its place")


def write(contender: Contender, place: str, count: int) -> Times:
    """Append, now and then, in the writing process, and tell when each append began."""

    async def append() -> Times:
        first, *messages = make_messages(count + 1, "wake")
        began: Times = []
        async with contender.open(place) as handle:
            await handle.append(first)
            wait_for_all()  # there is something to open
            wait_for_all()  # the other one follows
            for pause, message in zip(_pauses(), messages, strict=False):
                await asyncio.sleep(pause)
                began.append(time.monotonic_ns())
                await handle.append(message)
            return began

    return run_bounded(append())


def follow(contender: Contender, place: str, count: int) -> Times:
    """Follow, in the other process, and tell when each message was in its hands."""

    async def receive() -> Times:
        wait_for_all()
        async with contender.open(place) as handle, aclosing(handle.follow()) as items:
            seen = [(0, await anext(items))]
            wait_for_all()
            while len(seen) <= count:
                item = await anext(items)
                seen.append((time.monotonic_ns(), item))
            _check(handle, [item for _, item in seen], "wake")
        return [at for at, _ in seen[1:]]

    return run_bounded(receive())


def _pauses() -> Iterator[float]:
    """Give pauses of random length, so that no poll falls into step with them."""
    random = Random(_PER_SECOND)
    while True:
        yield random.uniform(0.5, 1.5) / _PER_SECOND
