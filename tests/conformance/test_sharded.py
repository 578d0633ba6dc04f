"""A store of three is a store; its pools are opened in the stores that they are in."""

import itertools
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from agentpool import AgentPoolStore, InMemoryAgentPoolStore, open_store
from agentpool.stores.sharded import ShardedAgentPoolStore
from agentpool.support.clock import Clock, wall_clock
from agentpool.support.opening import Opening
from agentpool.testing import PoolConformance, SharedStoreConformance, StoreConformance
from agentpool.wire.content import MAX_BODY


def three_in_memory(clock: Clock = wall_clock) -> AbstractAsyncContextManager[AgentPoolStore]:
    async def open_one() -> AgentPoolStore:
        return InMemoryAgentPoolStore(clock=clock)

    async def open_three() -> AgentPoolStore:
        return await ShardedAgentPoolStore.open([open_one] * 3, clock, MAX_BODY)

    return Opening(open_three, "three_in_memory", "store")


def three_files(place: str) -> AbstractAsyncContextManager[AgentPoolStore]:
    return open_store([f"{place}.{number}" for number in range(3)])


class TestShardedAgentPoolStore(StoreConformance):
    def open_store(self) -> AbstractAsyncContextManager[AgentPoolStore]:
        return three_in_memory()


class TestPoolsInOneOfThree(PoolConformance):
    def open_store(self, clock: Clock) -> AbstractAsyncContextManager[AgentPoolStore]:
        return three_in_memory(clock)


class TestSharedThreeFiles(SharedStoreConformance):
    factory = "test_sharded:three_files"

    @pytest.fixture(autouse=True)
    def _new_paths(self, tmp_path: Path) -> None:
        self._paths = (str(tmp_path / f"{number}.pool") for number in itertools.count())

    def new_place(self) -> str:
        return next(self._paths)
