"""Fixtures of the tests on files."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from agentpool import SqliteAgentPoolStore

from .helpers import BOUND, POOL, join_new_threads, worker_threads


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a file that is not there yet."""
    return tmp_path / "pool.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteAgentPoolStore]:
    """Open a store with one opened pool: record 1 is there."""
    async with SqliteAgentPoolStore.open(path, busy_timeout=BOUND) as store:
        await store.open_pool(POOL)
        yield store


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Fail a test that leaves the thread of a connection behind."""
    before = worker_threads()
    yield
    join_new_threads(before)
    assert worker_threads() <= before
