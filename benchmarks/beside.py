"""What another implementation, on the same file, has of a process of ours beside it.

Its transactions are deferred: they read, then write, and fail at once when somebody has committed
in between. A send is two of them, ``accepted`` and ``delivered``; it sends in bursts, with pauses.
"""

import asyncio
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final, Literal, TypeAlias

from agentpool import (
    AgentPool,
    AgentPoolStoredMessage,
    MessageReceipt,
    MessageStatus,
    RunAddress,
    RunMessage,
    RunMessageRecorded,
    SqliteAgentPoolStore,
    encode,
)
from benchmarks.bench import Bench, run_bounded
from benchmarks.children import run_together, wait_for_all
from benchmarks.figures import Figure, Round, at_most
from benchmarks.workloads import POOL, member

__all__ = ("run",)

Beside: TypeAlias = Literal["nobody", "a watcher", "a pool with 3 members"]

_BESIDE: Final[tuple[Beside, ...]] = ("nobody", "a watcher", "a pool with 3 members")
_RUNS: Final = ("0", "1", "2")
_LONGEST_BURST: Final = 60
_LONGEST_THOUGHT: Final = 0.005
_LONGEST_PAUSE: Final = 0.4
_BUSY_SECONDS: Final = 5.0
_LAST: Final = "SELECT max(seq), payload_json FROM agent_pool_records WHERE pool_id = ?"
_APPEND: Final = "INSERT INTO agent_pool_records VALUES (?, ?, 'run_message', ?)"


def run(bench: Bench) -> Iterator[Figure]:
    """Count the sends of a foreign writer that fail, with and without us beside it."""
    seconds = bench.size(60.0, 0.5)
    failing = {beside: _failing(bench, beside, seconds) for beside in _BESIDE}
    for beside in _BESIDE[1:]:
        yield Figure.of(
            f"sends of a foreign writer that fail beside {beside}",
            "%",
            [Round(failing[beside], failing["nobody"])],
            against="alone on the file",
            target=at_most(failing["nobody"], of="value"),
            seconds=seconds,
        )


def _failing(bench: Bench, beside: Beside, seconds: float) -> float:
    with bench.fresh_file() as path:
        run_bounded(_prepare(path))
        sent, failed = run_together(
            partial(send_in_bursts, path, seconds), partial(look_on, path, beside, seconds)
        )[0]
    return 100 * float(failed) / int(sent)


async def _prepare(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path) as store, AgentPool.open(store, POOL) as pool:
        for name in _RUNS:
            await pool.join_run(member(name))


def send_in_bursts(path: Path, seconds: float) -> tuple[int, int]:
    """Send as the other implementation does; give how many were sent, and how many of them failed.

    One that fails is not tried again.
    """
    sent = failed = 0
    chance = random.Random(0)
    wait_for_all()
    connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_SECONDS)
    with closing(connection):
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for _ in range(chance.randint(1, _LONGEST_BURST)):
                failed += not _send(connection, sent)
                sent += 1
                time.sleep(chance.random() * _LONGEST_THOUGHT)
            time.sleep(chance.random() * _LONGEST_PAUSE)
    wait_for_all()
    return sent, failed


def _send(connection: sqlite3.Connection, number: int) -> bool:
    to = member(_RUNS[number % len(_RUNS)]).run_id
    message = RunMessage(
        message_id=f"foreign.{number}",
        sender=member(_RUNS[0]).run_id,
        to=RunAddress.run(to),
        content_ref="content.1",
        idempotency_key=f"foreign.{number}",
    )
    for status in (MessageStatus.ACCEPTED, MessageStatus.DELIVERED):
        receipt = MessageReceipt(message.message_id, status, (to,))
        if not _append(connection, RunMessageRecorded(AgentPoolStoredMessage(message, receipt))):
            return False
    return True


def _append(connection: sqlite3.Connection, payload: RunMessageRecorded) -> bool:
    """Append a record in a transaction that reads first; say whether it could be."""
    try:
        connection.execute("BEGIN")
        [last, _] = connection.execute(_LAST, (POOL,)).fetchone()
        connection.execute(_APPEND, (POOL, last + 1, encode(payload).decode()))
        connection.execute("COMMIT")
    except sqlite3.OperationalError:
        connection.execute("ROLLBACK")
        return False
    return True


def look_on(path: Path, beside: Beside, seconds: float) -> None:
    """Have the file open as well, doing nothing of our own."""
    if beside == "nobody":
        wait_for_all()
        wait_for_all()
    else:
        run_bounded(_watch(path) if beside == "a watcher" else _be_members(path, seconds))


async def _watch(path: Path) -> None:
    async def follow(store: SqliteAgentPoolStore) -> None:
        async for _ in store.watch(POOL):
            pass

    async with SqliteAgentPoolStore.open(path) as store:
        following = asyncio.create_task(follow(store))
        await asyncio.to_thread(wait_for_all)
        await asyncio.to_thread(wait_for_all)
        following.cancel()
        await asyncio.wait([following])


async def _be_members(path: Path, seconds: float) -> None:
    async with (
        SqliteAgentPoolStore.open(path) as store,
        AgentPool.open(store, POOL) as pool,
        pool.member(member(_RUNS[0])),
        pool.member(member(_RUNS[1])),
        pool.member(member(_RUNS[2])),
    ):
        await asyncio.to_thread(wait_for_all)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(wait_for_all)
