import ast
import itertools
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from jsonl_store import JsonLinesStore

from agentpool import AgentPoolStore, stores
from agentpool.stores import Clock
from agentpool.testing import PoolConformance, StoreConformance


@pytest.mark.parametrize("name", ["jsonl_store.py", "jsonl_lines.py"])
def test_a_store_needs_nothing_that_is_not_exported_for_authors(name: str) -> None:
    tree = ast.parse((Path(__file__).parent / name).read_text("utf-8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {each for each in modules if each and each.startswith("agentpool")} == {
        "agentpool.stores"
    }


@pytest.mark.parametrize("name", stores.__all__)
def test_the_guide_says_what_for_is_what_is_exported(name: str) -> None:
    assert f"`{name}`" in str(stores.__doc__)


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
