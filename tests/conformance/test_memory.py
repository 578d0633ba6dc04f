from contextlib import AbstractAsyncContextManager

from agentpool import AgentPoolStore, InMemoryAgentPoolStore
from agentpool.testing import StoreConformance


class TestInMemoryAgentPoolStore(StoreConformance):
    def open_store(self) -> AbstractAsyncContextManager[AgentPoolStore]:
        return InMemoryAgentPoolStore()
