"""A store in memory: for tests, for programs that need no durability, and as the model."""

from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

import anyio.lowlevel

from agentpool.errors import StoreClosedError
from agentpool.ids import check_identifier
from agentpool.records import (
    AgentPoolStoreCursor,
    AgentPoolStoredMessage,
    AgentPoolStoredWake,
    AgentPoolStoreRecord,
    RunMessageRecorded,
    WakeRecorded,
    record_at,
)
from agentpool.replay import ReplayState
from agentpool.rules import Command, Decision, Placed, PoolView
from agentpool.snapshot import AgentPoolSnapshot
from agentpool.stores.base import AgentPoolStore, checked_limit, checked_place, not_open
from agentpool.watch import PAGE_SIZE, Tailer

__all__ = ("InMemoryAgentPoolStore",)

R = TypeVar("R")


class InMemoryAgentPoolStore(AgentPoolStore):
    """A store that lives as long as the object; its tasks share it, other processes do not."""

    def __init__(self) -> None:
        self._pools: dict[str, _MemoryPool] = {}
        self._tailer: Tailer | None = None
        self._closed = False

    def __repr__(self) -> str:
        records = sum(len(pool.records) for pool in self._pools.values())
        status = "closed" if self._closed else f"{len(self._pools)} pools, {records} records"
        return f"<InMemoryAgentPoolStore {status}>"

    async def execute(self, pool_id: str, command: Command[R]) -> R:
        await self._enter(pool_id)
        pool = self._pools.get(pool_id) or _MemoryPool(pool_id)
        decision = command.decide(pool)
        pool.apply(decision)
        if decision.records or decision.event_sequence is not None:
            self._pools[pool_id] = pool
        if decision.records and self._tailer is not None:
            self._tailer.notify()
        return decision.result

    async def query(self, pool_id: str, question: Callable[[PoolView], R]) -> R:
        await self._enter(pool_id)
        return question(self._pools.get(pool_id) or _MemoryPool(pool_id))

    async def snapshot(self, pool_id: str) -> AgentPoolSnapshot:
        await self._enter(pool_id)
        return self._pool(pool_id).state.snapshot()

    async def read(
        self,
        pool_id: str,
        cursor: AgentPoolStoreCursor | None = None,
        *,
        limit: int | None = None,
        keep_unknown: bool = False,  # noqa: ARG002  # nothing unknown can come in here
    ) -> list[AgentPoolStoreRecord]:
        after, limit = checked_place(pool_id, cursor), checked_limit(limit)
        await self._enter(pool_id)
        records = self._pool(pool_id).records
        return records[after : len(records) if limit is None else after + limit]

    def watch(
        self,
        pool_id: str,
        cursor: AgentPoolStoreCursor | None = None,
        *,
        keep_unknown: bool = False,
    ) -> AsyncGenerator[AgentPoolStoreRecord, None]:
        after = checked_place(pool_id, cursor)
        self._refuse_closed()
        if self._tailer is None:
            self._tailer = Tailer(self._read_page)
        return self._tailer.follow(pool_id, after, keep_unknown=keep_unknown)

    async def aclose(self) -> None:
        self._closed = True
        if self._tailer is not None:
            self._tailer.close()
            await self._tailer.settle()

    async def _read_page(
        self, pool_id: str, after: int, _keep_unknown: bool
    ) -> list[AgentPoolStoreRecord]:
        return self._pool(pool_id).records[after : after + PAGE_SIZE]

    async def _enter(self, pool_id: str) -> None:
        """Give way once, as a store on a file does, and only then look at the state."""
        check_identifier(pool_id, "pool_id")
        self._refuse_closed()
        await anyio.lowlevel.checkpoint()
        self._refuse_closed()

    def _pool(self, pool_id: str) -> "_MemoryPool":
        pool = self._pools.get(pool_id)
        if pool is None or not pool.records:
            raise not_open(pool_id)
        return pool

    def _refuse_closed(self) -> None:
        if self._closed:
            msg = "the store is closed"
            raise StoreClosedError(msg)


class _MemoryPool:
    """The log of one pool and everything derived from it."""

    def __init__(self, pool_id: str) -> None:
        self.records: list[AgentPoolStoreRecord] = []
        self.state = ReplayState(pool_id)
        self.event_sequence = 0
        self._messages_by_key: dict[str, Placed[AgentPoolStoredMessage]] = {}
        self._wakes: dict[str, Placed[AgentPoolStoredWake]] = {}
        self._wakes_by_key: dict[str, Placed[AgentPoolStoredWake]] = {}

    def message_by_key(self, key: str) -> Placed[AgentPoolStoredMessage] | None:
        return self._messages_by_key.get(key)

    def wake_by_key(self, key: str) -> Placed[AgentPoolStoredWake] | None:
        return self._wakes_by_key.get(key)

    def wake(self, condition_id: str) -> Placed[AgentPoolStoredWake] | None:
        return self._wakes.get(condition_id)

    def apply(self, decision: Decision[R]) -> None:
        for sealed in decision.records:
            seq = len(self.records) + 1
            self.state.apply(seq, sealed.payload)
            self.records.append(record_at(self.state.pool_id, seq, sealed.payload))
            match sealed.payload:
                case RunMessageRecorded(stored):
                    self._messages_by_key[stored.message.idempotency_key] = Placed(seq, stored)
                case WakeRecorded(wake):
                    placed_wake = Placed(seq, wake)
                    self._wakes[wake.condition.condition_id] = placed_wake
                    self._wakes_by_key[wake.condition.idempotency_key] = placed_wake
        if decision.event_sequence is not None:
            self.event_sequence = decision.event_sequence
