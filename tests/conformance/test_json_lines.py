import itertools
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from jsonl_store import JsonLinesStore

from agentpool import AgentPoolStore
from agentpool.stores import Clock
from agentpool.testing import PoolConformance, StoreConformance


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[str]:
    return (str(tmp_path / f"{number}.jsonl") for number in itertools.count())


class TestJsonLinesStore(StoreConformance):
    @pytest.fixture(autouse=True)
    def _new_paths(self, paths: Iterator[str]) -> None:
        self._paths = paths

    def open_store(self) -> AbstractAsyncContextManager[AgentPoolStore]:
        return JsonLinesStore(next(self._paths))


class TestPoolsInJsonLines(PoolConformance):
    @pytest.fixture(autouse=True)
    def _new_paths(self, paths: Iterator[str]) -> None:
        self._paths = paths

    def open_store(self, clock: Clock) -> AbstractAsyncContextManager[AgentPoolStore]:
        return JsonLinesStore(next(self._paths), clock=clock)
