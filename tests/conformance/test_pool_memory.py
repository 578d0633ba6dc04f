from contextlib import AbstractAsyncContextManager

from agentpool import AgentPoolStore, InMemoryAgentPoolStore
from agentpool.support.clock import Clock
from agentpool.testing import PoolConformance


class TestPoolsInMemory(PoolConformance):
    def open_store(self, clock: Clock) -> AbstractAsyncContextManager[AgentPoolStore]:
        return InMemoryAgentPoolStore(clock=clock)
