"""What the tests of stores on files share: values, plain SQL, other processes."""

import asyncio
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from agentpool import (
    AgentPoolMember,
    AgentPoolStore,
    AgentPoolStoreRecord,
    MessageStatus,
    SqliteAgentPoolStore,
)
from agentpool.testing import a_member, a_message, a_receipt

POOL = "pool.test"
FIXTURES = Path(__file__).parents[1] / "fixtures"
BOUND = 200.0
"""Seconds after which a wait is a failure."""

_WORKERS = Path(__file__).parent / "workers"

FOREIGN_TABLES = """
    CREATE TABLE agent_pool_records (
        pool_id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        kind TEXT NOT NULL,
        payload_json TEXT NOT NULL,
        PRIMARY KEY (pool_id, seq)
    );
    CREATE TABLE agent_pool_event_seq (
        pool_id TEXT PRIMARY KEY,
        seq INTEGER NOT NULL
    );
"""
"""The tables as another implementation creates them."""


def member(number: int, **changes: Any) -> AgentPoolMember:
    return a_member(f"run.{number}", **changes)


async def send(store: AgentPoolStore, name: object, pool_id: str = POOL, **changes: Any) -> int:
    """Record a message of that name as delivered, and give its sequence number."""
    fields = {"content_ref": f"content.{name}", "idempotency_key": f"key.{name}"}
    sent = a_message(f"message.{name}", **fields | changes)
    receipt = a_receipt(sent, MessageStatus.DELIVERED)
    return (await store.record_message(pool_id, sent, receipt)).sequence


async def take(
    watcher: AsyncGenerator[AgentPoolStoreRecord, None], count: int
) -> list[AgentPoolStoreRecord]:
    """Wait for the next records of a watcher."""
    async with asyncio.timeout(BOUND):
        return [await anext(watcher) for _ in range(count)]


async def make(path: Path) -> None:
    """Make a store with one record."""
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)


def listing(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


@contextmanager
def sql(path: Path) -> Iterator[sqlite3.Connection]:
    """Connect as a program does that knows nothing of this library."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def records(path: Path, pool_id: str = POOL) -> list[tuple[int, str, str]]:
    """List number, kind and payload of the records of a pool, by plain SQL."""
    with sql(path) as connection:
        return connection.execute(
            "SELECT seq, kind, payload_json FROM agent_pool_records WHERE pool_id = ? ORDER BY seq",
            (pool_id,),
        ).fetchall()


def is_intact(path: Path) -> bool:
    with sql(path) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def foreign_file(path: Path) -> Path:
    """Make a store file as another implementation does: its two tables, WAL, no version."""
    with sql(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(FOREIGN_TABLES)
    return path


def worker_threads() -> set[threading.Thread]:
    """List the threads that connections run on; those of anyio live as long as the event loop."""
    others = {each for each in threading.enumerate() if "AnyIO" not in each.name}
    return others - {threading.main_thread()}


def join_new_threads(before: set[threading.Thread]) -> None:
    """Wait for the end of threads that have been told to end."""
    for thread in worker_threads() - before:
        thread.join(BOUND)


class Worker:
    """A script of ours in a process of its own, which talks in lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self) -> str:
        """Wait for the next line that it prints; empty after the last."""
        assert self._process.stdout
        async with asyncio.timeout(BOUND):
            return (await self._process.stdout.readline()).decode().rstrip("\n")

    def tell(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{line}\n".encode())

    def kill(self) -> None:
        """Kill it, as a crash would."""
        self._process.kill()

    def pause(self) -> None:
        """Stop it, as a machine that sleeps or a debugger does."""
        self._process.send_signal(signal.SIGSTOP)

    async def stands_still(self) -> None:
        """Wait until it was stopped: a thread on its way out of the kernel may still be at work."""
        async with asyncio.timeout(BOUND):
            await asyncio.to_thread(os.waitid, os.P_PID, self._process.pid, os.WSTOPPED)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    async def ended(self) -> None:
        """Wait for its end, whoever still has its pipes."""
        async with asyncio.timeout(BOUND):
            await self._process.wait()

    async def finish(self) -> tuple[int | None, list[str], str]:
        """Wait for its end: exit code, the whole lines that it printed, what went to stderr."""
        async with asyncio.timeout(BOUND):
            out, err = await self._process.communicate()
        lines = out.decode().split("\n")[:-1]
        return self._process.returncode, lines, err.decode()


@asynccontextmanager
async def worker(script: str, *arguments: object) -> AsyncIterator[Worker]:
    """Run a script from ``workers/``; it does not outlive the block."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(_WORKERS / script),
        *map(str, arguments),
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
    )
    try:
        yield Worker(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
