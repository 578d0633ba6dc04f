"""What the tests of pools in several processes share.

``AGENTPOOL_FULL=1`` makes the random tests as long as they can be, ``AGENTPOOL_SEED`` starts them
from another seed.
"""

import asyncio
import os
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path
from typing import Final, TypeVar

import anyio
from integration.helpers import BOUND, POOL, Worker, worker

from agentpool import AgentPool, AgentPoolStoreRecordPayload
from agentpool.support.clock import SteadyClock, wall_clock

__all__ = (
    "BOUND",
    "FULL",
    "POOL",
    "SEED",
    "Clock",
    "Worker",
    "amount",
    "in_a_minute",
    "next_record",
    "payloads",
    "process",
    "say",
    "stop",
    "until",
)

FULL: Final = os.environ.get("AGENTPOOL_FULL", "") not in {"", "0"}
SEED: Final = int(os.environ.get("AGENTPOOL_SEED", "1"))

_WORKERS: Final = Path(__file__).parent / "workers"
_POLL_SECONDS: Final = 0.01

T = TypeVar("T")


def amount(normal: T, full: T) -> T:
    """Choose how much to do."""
    return full if FULL else normal


def process(script: str, *arguments: object) -> AbstractAsyncContextManager[Worker]:
    """Run a script from ``workers/``; it does not outlive the block."""
    return worker(str(_WORKERS / script), *arguments)


def say(line: str) -> None:
    """Print what a random test did, for ``pytest -rP`` and for failures."""
    sys.stdout.write(f"{line}\n")


class Clock:
    """A clock that goes on as the machine's does, and by which more goes by when it is told so."""

    def __init__(self) -> None:
        self._ahead = 0

    def __call__(self) -> int:
        return wall_clock() + self._ahead

    elapsed = __call__

    def advance(self, millis: int) -> None:
        """Let time go by at once."""
        self._ahead += millis


in_a_minute: Final = SteadyClock(lambda: wall_clock() + 60_000)
"""A clock by which all that is due within a minute is due already."""


async def payloads(pool: AgentPool) -> list[AgentPoolStoreRecordPayload]:
    """Read the whole log of a pool."""
    return [record.payload for record in await pool.store.read(pool.pool_id)]  # type: ignore[misc]


async def next_record(
    pool: AgentPool, wanted: Callable[[AgentPoolStoreRecordPayload], bool]
) -> AgentPoolStoreRecordPayload:
    """Wait for a record, past or live, that is wanted."""
    with anyio.fail_after(BOUND):
        async for record in pool.watch_pool():
            if wanted(record.payload):  # type: ignore[arg-type]
                return record.payload  # type: ignore[return-value]
    raise AssertionError


async def until(look: Callable[[], Awaitable[bool]], bound: float = BOUND) -> None:
    """Look again and again until something is so, in another process say."""
    with anyio.fail_after(bound):
        while True:
            if await look():
                return
            await anyio.sleep(_POLL_SECONDS)


async def stop(worker: Worker, path: Path) -> None:
    """Stop a process, but not while it writes: it would keep the lock of the file, for all."""
    while True:
        worker.pause()
        await worker.stands_still()
        with closing(sqlite3.connect(path, isolation_level=None, timeout=1)) as probe:
            try:
                probe.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                worker.go_on()
                await asyncio.sleep(0.01)
            else:
                probe.execute("ROLLBACK")
                return
