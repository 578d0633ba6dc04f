"""How fast many tasks send through a pool, against recording the same by hand."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

from agentpool import AgentPool, SqliteAgentPoolStore
from benchmarks import appends
from benchmarks.bench import Bench, run_bounded
from benchmarks.checks import expect
from benchmarks.figures import Figure, Round, at_least
from benchmarks.workloads import POOL, Sent, member, messages

__all__ = ("MEMBERS", "RECORDS_PER_SEND", "rate", "run", "send_all")

_TASKS = 64
MEMBERS = 8
RECORDS_PER_SEND = 2


def run(bench: Bench) -> Iterator[Figure]:
    """Measure both in records per second; a send makes two, and an unread message."""
    sends = bench.size(10_000, 200)
    yield Figure.of(
        f"send, {_TASKS} tasks",
        "records/s",
        [_round(bench, sends) for _ in bench.rounds()],
        against="record_message, as many tasks",
        target=at_least(0.6),
        tasks=_TASKS,
        sends=sends,
        synchronous="FULL",
    )


def _round(bench: Bench, sends: int) -> Round:
    sent = messages(sends)
    with bench.fresh_file() as before, bench.fresh_file() as path, bench.fresh_file() as after:
        first = run_bounded(appends.rate(before, _TASKS, sent))
        ours = run_bounded(rate(path, _TASKS, sent))
        second = run_bounded(appends.rate(after, _TASKS, sent))
    return Round(ours, (first + second) / 2)


async def rate(path: Path, tasks: int, sent: list[Sent]) -> float:
    """Send in a fresh file, and give the records per second."""
    async with SqliteAgentPoolStore.open(path) as store, AgentPool.open(store, POOL) as pool:
        for number in range(MEMBERS):
            await pool.join_run(member(str(number)))
        start = time.perf_counter()
        await send_all(pool, tasks, sent)
        seconds = time.perf_counter() - start
        await _check(pool, sent)
    return len(sent) * RECORDS_PER_SEND / seconds


async def send_all(pool: AgentPool, tasks: int, sent: list[Sent]) -> None:
    """Send from many tasks at once, each awaiting one message after the other."""

    async def send(share: list[Sent]) -> None:
        for message, _ in share:
            await pool.send(message)

    async with asyncio.TaskGroup() as group:
        for task in range(tasks):
            group.create_task(send(sent[task::tasks]))


async def _check(pool: AgentPool, sent: list[Sent]) -> None:
    head = await pool.store.query(POOL, lambda view: view.head)
    others = 2 + MEMBERS
    expect(head == others + RECORDS_PER_SEND * len(sent), "a send did not make two records")
    inboxes = [pool.inbox(f"run.{number}") for number in range(MEMBERS)]
    unread = [len(await inbox.peek(limit=len(sent))) for inbox in inboxes]
    expect(sum(unread) == len(sent), "a message is not in an inbox, or in two")
