"""A store of three is a store; its pools are opened in the stores that they are in."""

from contextlib import AbstractAsyncContextManager

from agentpool import AgentPoolStore, InMemoryAgentPoolStore
from agentpool.stores.sharded import ShardedAgentPoolStore
from agentpool.support.clock import Clock, wall_clock
from agentpool.support.opening import Opening
from agentpool.testing import StoreConformance
from agentpool.wire.content import MAX_BODY


def three_in_memory(clock: Clock = wall_clock) -> AbstractAsyncContextManager[AgentPoolStore]:
    async def open_one() -> AgentPoolStore:
        return InMemoryAgentPoolStore(clock=clock)

    async def open_three() -> AgentPoolStore:
        return await ShardedAgentPoolStore.open([open_one] * 3, clock, MAX_BODY)

    return Opening(open_three, "three_in_memory", "store")


class TestShardedAgentPoolStore(StoreConformance):
    def open_store(self) -> AbstractAsyncContextManager[AgentPoolStore]:
        return three_in_memory()
