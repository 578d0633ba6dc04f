"""A store in memory: for tests, for programs that need no durability, and as the model."""

from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

import anyio.lowlevel

from agentpool.errors import AgentPoolError, StoreClosedError
from agentpool.rules.command import Command, PoolView
from agentpool.rules.consequences import carry_out
from agentpool.stores.base import AgentPoolStore, checked_limit, checked_place, not_open
from agentpool.stores.memory_pool import MemoryPool
from agentpool.stores.tail import PAGE_SIZE, Page, Signals, Tailer
from agentpool.support.clock import Clock, wall_clock
from agentpool.support.loop import running_loop
from agentpool.support.tasks import uninterrupted
from agentpool.wire.content import OCTETS, checked_content, content_ref, no_content
from agentpool.wire.ids import check_identifier
from agentpool.wire.records import AgentPoolStoreCursor, AgentPoolStoreRecord
from agentpool.wire.snapshot import AgentPoolSnapshot

__all__ = ("InMemoryAgentPoolStore",)

R = TypeVar("R")


class InMemoryAgentPoolStore(AgentPoolStore):
    """A store that lives as long as the object; its tasks share it, other processes do not."""

    def __init__(self, *, clock: Clock = wall_clock) -> None:
        super().__init__(clock)
        self._content: dict[str, bytes] = {}
        self._pools: dict[str, MemoryPool] = {}
        self._made_tailer: Tailer | None = None
        self._closed = False

    def __repr__(self) -> str:
        records = sum(len(pool.log) for pool in self._pools.values())
        status = "closed" if self._closed else f"{len(self._pools)} pools, {records} records"
        return f"<InMemoryAgentPoolStore {status}>"

    async def execute(self, pool_id: str, command: Command[R]) -> R:
        await self._enter(pool_id)
        pool = self._pools.get(pool_id) or MemoryPool(pool_id, self.clock)
        head, pool.announced = len(pool.log), False
        try:
            return carry_out(pool, command)
        finally:
            if pool.log or pool.event_sequence:
                self._pools[pool_id] = pool
            if len(pool.log) > head or pool.announced:
                self._tailer.notify()

    async def query(self, pool_id: str, question: Callable[[PoolView], R]) -> R:
        await self._enter(pool_id)
        try:
            return question(self._pools.get(pool_id) or MemoryPool(pool_id, self.clock))
        except AgentPoolError as error:
            error.in_pool(pool_id)
            raise

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
        records = self._pool(pool_id).log
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
        return self._tailer.follow(pool_id, after, keep_unknown=keep_unknown)

    def changes(self) -> Signals:
        self._refuse_closed()
        return self._tailer.changes()

    async def put_content(self, data: bytes, *, media_type: str = OCTETS) -> str:
        body = checked_content(data, media_type)
        self._refuse_closed()
        self._content[content_ref(body)] = body
        return content_ref(body)

    async def get_content(self, ref: str) -> bytes:
        check_identifier(ref, "ref")
        self._refuse_closed()
        if ref not in self._content:
            raise no_content(ref)
        return self._content[ref]

    async def aclose(self) -> None:
        running_loop()
        self._closed = True
        if self._made_tailer is not None:
            self._made_tailer.close()
        await uninterrupted(self._settle())

    async def _settle(self) -> None:
        await self._stop_background()
        if self._made_tailer is not None:
            await self._made_tailer.settle()

    @property
    def _tailer(self) -> Tailer:
        """Make the tailer on first use: it belongs to the event loop, which runs by then."""
        if self._made_tailer is None:
            self._made_tailer = Tailer(self._read_page)
        return self._made_tailer

    async def _read_page(self, pool_id: str, after: int, _keep_unknown: bool) -> Page:
        return Page(self._pool(pool_id).log[after : after + PAGE_SIZE])

    async def _enter(self, pool_id: str) -> None:
        """Give way once, as a store on a file does, and only then look at the state."""
        check_identifier(pool_id, "pool_id")
        self._refuse_closed()
        await anyio.lowlevel.checkpoint()
        self._refuse_closed()

    def _pool(self, pool_id: str) -> MemoryPool:
        pool = self._pools.get(pool_id)
        if pool is None or not pool.log:
            raise not_open(pool_id)
        return pool

    def _refuse_closed(self) -> None:
        running_loop()
        if self._closed:
            msg = "the store is closed"
            raise StoreClosedError(msg)
