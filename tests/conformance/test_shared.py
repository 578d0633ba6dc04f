import itertools
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from agentpool import AgentPoolStore, SqliteAgentPoolStore
from agentpool.testing import SharedStoreConformance


def open_sqlite(place: str) -> AbstractAsyncContextManager[AgentPoolStore]:
    return SqliteAgentPoolStore.open(place)


class OnFiles(SharedStoreConformance):
    @pytest.fixture(autouse=True)
    def _new_paths(self, tmp_path: Path) -> None:
        self._paths = (str(tmp_path / f"{number}.pool") for number in itertools.count())

    def new_place(self) -> str:
        return next(self._paths)


class TestSharedSqlite(OnFiles):
    factory = "test_shared:open_sqlite"


class TestSharedJsonLines(OnFiles):
    factory = "jsonl_store:JsonLinesStore"
