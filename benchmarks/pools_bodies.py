"""How fast many tasks send messages with bodies, against messages that name one by a ref."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agentpool import AgentPool, MemberHandle, RunAddress, SqliteAgentPoolStore
from benchmarks.bench import Bench, run_bounded
from benchmarks.checks import expect
from benchmarks.figures import Figure, Round, at_least
from benchmarks.workloads import POOL, member

__all__ = ("run",)

_TASKS: Final = 64
_BYTES: Final = 500


def run(bench: Bench) -> Iterator[Figure]:
    """Measure both in messages per second, in turns; every body is another one."""
    sends = bench.size(2_000, 200)
    yield Figure.of(
        f"send with a body, {_TASKS} tasks",
        "messages/s",
        [_round(bench, sends) for _ in bench.rounds()],
        against="send with a ref, as many tasks",
        target=at_least(0.7),
        tasks=_TASKS,
        sends=sends,
        bytes=_BYTES,
        synchronous="FULL",
    )


def _round(bench: Bench, sends: int) -> Round:
    with bench.fresh_file() as before, bench.fresh_file() as path, bench.fresh_file() as after:
        first = run_bounded(_rate(before, sends, with_body=False))
        ours = run_bounded(_rate(path, sends, with_body=True))
        second = run_bounded(_rate(after, sends, with_body=False))
    return Round(ours, (first + second) / 2)


async def _rate(path: Path, sends: int, *, with_body: bool) -> float:
    async with (
        SqliteAgentPoolStore.open(path) as store,
        AgentPool.open(store, POOL) as pool,
        pool.member(member("0"), lease=None) as me,
    ):
        numbers = iter(range(sends))
        start = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(_TASKS):
                tasks.create_task(_send(me, numbers, with_body=with_body))
        seconds = time.perf_counter() - start
        sent = await me.inbox.peek(limit=sends)
        expect(len(sent) == sends, "a message was lost")
        if with_body:
            found = {await me.read(each) for each in sent[:_TASKS]}
            expect(len(found) == min(sends, _TASKS), "a message has another's body")
    return sends / seconds


async def _send(me: MemberHandle, numbers: Iterator[int], *, with_body: bool) -> None:
    to = RunAddress.run(me.run_id)
    for number in numbers:
        if with_body:
            await me.send(to, f"{number} ".ljust(_BYTES, "x"))
        else:
            await me.send(to, content_ref=f"content.{number}")
