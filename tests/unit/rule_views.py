"""A pool for commands to decide on, without a store: the one that the store in memory has."""

from typing import Any

from samples import POOL

from agentpool.rules.command import Command, Decision
from agentpool.rules.pool_opening import OpenPool
from agentpool.stores.memory_pool import MemoryPool
from agentpool.support.clock import Clock, wall_clock
from agentpool.wire.records import AgentPoolStoreConfig


class Pool(MemoryPool):
    """The state of one pool, to which decisions are applied at once."""

    def __init__(self, clock: Clock = wall_clock) -> None:
        super().__init__(POOL, clock)

    def do(self, command: Command[Any]) -> Any:
        """Decide a command, apply the decision and give its result."""
        decision: Decision[Any] = command.decide(self)
        self.apply(decision)
        return decision.result

    @property
    def kinds(self) -> list[str]:
        """The kinds of the records so far."""
        return [type(record.payload).__name__ for record in self.log]


def opened(config: AgentPoolStoreConfig | None = None) -> Pool:
    """Make a pool with its first record."""
    pool = Pool()
    pool.do(OpenPool(config))
    return pool
