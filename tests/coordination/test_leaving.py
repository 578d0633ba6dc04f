"""Leaving a member's block while another program holds the file: what ended it comes out."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from agentpool import AgentPool, MemberLeft, SqliteAgentPoolStore, StoreBusyError
from agentpool.testing import a_member

from .helpers import POOL, payloads

PATIENCE = 0.2


class StopError(Exception):
    """What ends a block."""


@asynccontextmanager
async def impatient(path: Path) -> AsyncIterator[AgentPool]:
    async with (
        SqliteAgentPoolStore.open(path, busy_timeout=PATIENCE) as store,
        AgentPool.open(store, POOL) as pool,
    ):
        yield pool


@pytest.fixture
def holder(path: Path) -> Iterator[sqlite3.Connection]:
    """Connect as another program does; what it begins holds the file."""
    connection = sqlite3.connect(path, isolation_level=None)
    yield connection
    connection.close()


@contextmanager
def freed(holder: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    finally:
        holder.execute("ROLLBACK")


async def _fail(pool: AgentPool, holder: sqlite3.Connection) -> None:
    async with pool.member(a_member()):
        holder.execute("BEGIN IMMEDIATE")
        raise StopError


async def _hang(pool: AgentPool, holder: sqlite3.Connection) -> None:
    async with pool.member(a_member()):
        holder.execute("BEGIN IMMEDIATE")
        await asyncio.Event().wait()


async def test_an_error_of_the_block_comes_out_as_it_is(
    path: Path, holder: sqlite3.Connection
) -> None:
    async with impatient(path) as pool:
        with freed(holder), pytest.raises(StopError):
            await _fail(pool, holder)


async def test_a_timeout_of_the_block_comes_out_as_one(
    path: Path, holder: sqlite3.Connection
) -> None:
    async with impatient(path) as pool:
        with freed(holder), pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await _hang(pool, holder)


@pytest.mark.parametrize("lease", [30.0, None])
async def test_a_cancellation_of_the_leaving_itself_comes_out(
    path: Path, holder: sqlite3.Connection, lease: float | None
) -> None:
    async with impatient(path) as pool:
        held = asyncio.Event()

        async def be_a_member() -> None:
            async with pool.member(a_member(), lease):
                holder.execute("BEGIN IMMEDIATE")
                held.set()

        with freed(holder):
            task = asyncio.create_task(be_a_member())
            await held.wait()
            task.cancel()
            await asyncio.wait([task])
        assert task.cancelled()


async def test_leaving_a_file_that_is_busy_is_left_to_the_lease(
    path: Path, holder: sqlite3.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    async with impatient(path) as pool:
        with freed(holder):
            async with pool.member(a_member(), lease=0.3):
                holder.execute("BEGIN IMMEDIATE")
        assert any("did not leave" in each.message for each in caplog.records)
        async with asyncio.timeout(60):
            async for record in pool.watch_pool():
                if isinstance(record.payload, MemberLeft):
                    break
        assert await pool.members() == ()


async def test_a_member_without_a_lease_is_told_that_it_did_not_leave(
    path: Path, holder: sqlite3.Connection
) -> None:
    async with impatient(path) as pool:
        with pytest.raises(StoreBusyError), freed(holder):
            async with pool.member(a_member(), lease=None):
                holder.execute("BEGIN IMMEDIATE")
        assert await pool.members() == (a_member(),)
        assert not any(isinstance(each, MemberLeft) for each in await payloads(pool))
