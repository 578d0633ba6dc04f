"""Fixtures of the tests on pools in several processes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentpool import AgentPool, SqliteAgentPoolStore

from .helpers import BOUND, POOL


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a file that is not there yet."""
    return tmp_path / "pool.db"


@pytest.fixture
async def pool(path: Path) -> AsyncIterator[AgentPool]:
    """Open a pool in this process; others join in on the same file."""
    async with (
        SqliteAgentPoolStore.open(path, busy_timeout=BOUND) as store,
        AgentPool.open(store, POOL) as pool,
    ):
        yield pool
