import itertools
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from agentpool import AgentPoolStore, SqliteAgentPoolStore
from agentpool.support.clock import Clock
from agentpool.testing import PoolConformance


class TestPoolsInSqlite(PoolConformance):
    @pytest.fixture(autouse=True)
    def _new_paths(self, tmp_path: Path) -> Iterator[None]:
        """Every store gets a file of its own, and no thread outlives its store."""
        before = set(threading.enumerate())
        self._paths = (tmp_path / f"{number}.db" for number in itertools.count())
        yield
        for thread in set(threading.enumerate()) - before:
            thread.join(timeout=60)
            assert not thread.is_alive()

    def open_store(self, clock: Clock) -> AbstractAsyncContextManager[AgentPoolStore]:
        return SqliteAgentPoolStore.open(next(self._paths), clock=clock)
