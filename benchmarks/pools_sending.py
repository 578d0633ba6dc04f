"""How fast many tasks send through a pool, against recording the same by hand."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

from agentpool import AgentPool, SqliteAgentPoolStore
from benchmarks.appends import append_all
from benchmarks.bench import Bench, run_bounded
from benchmarks.checks import expect
from benchmarks.figures import Figure, Round, at_least
from benchmarks.workloads import POOL, Sent, member, messages

__all__ = ("run",)

_TASKS = 64
_MEMBERS = 8
_RECORDS_PER_SEND = 2


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
        first = run_bounded(_record(before, sent))
        ours = run_bounded(_send(path, sent))
        second = run_bounded(_record(after, sent))
    return Round(ours, (first + second) / 2)


async def _record(path: Path, sent: list[Sent]) -> float:
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)
        start = time.perf_counter()
        await append_all(store, _TASKS, sent)
        return len(sent) / (time.perf_counter() - start)


async def _send(path: Path, sent: list[Sent]) -> float:
    async with SqliteAgentPoolStore.open(path) as store, AgentPool.open(store, POOL) as pool:
        for number in range(_MEMBERS):
            await pool.join_run(member(str(number)))
        start = time.perf_counter()
        await _send_all(pool, sent)
        seconds = time.perf_counter() - start
        await _check(pool, sent)
    return len(sent) * _RECORDS_PER_SEND / seconds


async def _send_all(pool: AgentPool, sent: list[Sent]) -> None:
    async def send(share: list[Sent]) -> None:
        for message, _ in share:
            await pool.send(message)

    async with asyncio.TaskGroup() as group:
        for task in range(_TASKS):
            group.create_task(send(sent[task::_TASKS]))


async def _check(pool: AgentPool, sent: list[Sent]) -> None:
    head = await pool.store.query(POOL, lambda view: view.head)
    others = 2 + _MEMBERS
    expect(head == others + _RECORDS_PER_SEND * len(sent), "a send did not make two records")
    inboxes = [pool.inbox(f"run.{number}") for number in range(_MEMBERS)]
    unread = [len(await inbox.peek(limit=len(sent))) for inbox in inboxes]
    expect(sum(unread) == len(sent), "a message is not in an inbox, or in two")
