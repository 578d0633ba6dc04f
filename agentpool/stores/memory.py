"""A store in memory: for tests, for programs that need no durability, and as the model."""

from collections.abc import Callable
from typing import Any, TypeVar

import anyio.lowlevel

from agentpool.errors import AgentPoolError
from agentpool.rules.command import Command, Decision, PoolView
from agentpool.rules.consequences import carry_out
from agentpool.rules.replay import not_open
from agentpool.rules.requirements import require_callable
from agentpool.rules.topics import Touched, touch, touch_if_behind
from agentpool.stores.base import AgentPoolStore, checked_page
from agentpool.stores.memory_pool import MemoryPool
from agentpool.stores.tail import Page
from agentpool.support.clock import Clock, wall_clock
from agentpool.wire.content import (
    MAX_BODY,
    OCTETS,
    Content,
    checked_content,
    checked_max_body,
    content_ref,
    no_content,
)
from agentpool.wire.ids import check_identifier

__all__ = ("InMemoryAgentPoolStore",)

R = TypeVar("R")


class _Pool(MemoryPool):
    """A pool that collects what its followers are to be told of."""

    def __init__(self, pool_id: str, clock: Clock, content: dict[str, Content]) -> None:
        super().__init__(pool_id, clock)
        self.touched: Touched = {}
        self._content = content

    def apply(self, decision: Decision[Any]) -> None:
        super().apply(decision)
        touch(self.touched, decision)
        for body in decision.bodies:
            self._content.setdefault(body.ref, body)


class InMemoryAgentPoolStore(AgentPoolStore):
    """A store that lives as long as the object; its tasks share it, other processes do not."""

    def __init__(self, *, clock: Clock = wall_clock, max_body: int = MAX_BODY) -> None:
        super().__init__(clock, checked_max_body(max_body))
        self._content: dict[str, Content] = {}
        self._pools: dict[str, _Pool] = {}

    def __repr__(self) -> str:
        records = sum(len(pool.log) for pool in self._pools.values())
        status = f"{len(self._pools)} pools, {records} records"
        return f"<InMemoryAgentPoolStore {'closed' if self.is_closed else status}>"

    async def execute(self, pool_id: str, command: Command[R]) -> R:
        await self._enter(pool_id)
        pool = self._pool(pool_id)
        try:
            return carry_out(pool, command)
        finally:
            if pool.log or pool.event_sequence:
                self._pools[pool_id] = pool
            touched, pool.touched = pool.touched, {}
            touch_if_behind(touched, pool)
            if touched:
                self.tail.touch({pool_id: touched})

    async def query(self, pool_id: str, question: Callable[[PoolView], R]) -> R:
        require_callable(question, "question")
        await self._enter(pool_id)
        try:
            return question(self._pool(pool_id))
        except AgentPoolError as error:
            error.in_pool(pool_id)
            raise

    async def read_page(self, pool_id: str, after: int, limit: int) -> Page:
        after, limit = checked_page(after, limit)
        await self._enter(pool_id)
        pool = self._pools.get(pool_id)
        if pool is None or not pool.log:
            raise not_open(pool_id)
        return Page(pool.log[after : after + limit])

    async def pool_ids(self) -> list[str]:
        self.refuse_closed()
        return [pool_id for pool_id, pool in self._pools.items() if pool.log]

    async def put_content(self, data: bytes, *, media_type: str = OCTETS) -> str:
        body = checked_content(data, media_type, self.max_body)
        self.refuse_closed()
        ref = content_ref(body)
        self._content.setdefault(ref, Content(ref, media_type, body))
        return ref

    async def get_content(self, ref: str) -> bytes:
        return self._kept(ref).data

    async def content_type(self, ref: str) -> str:
        return self._kept(ref).media_type

    def _kept(self, ref: str) -> Content:
        check_identifier(ref, "ref")
        self.refuse_closed()
        if ref not in self._content:
            raise no_content(ref)
        return self._content[ref]

    def _pool(self, pool_id: str) -> _Pool:
        return self._pools.get(pool_id) or _Pool(pool_id, self.clock, self._content)

    async def _enter(self, pool_id: str) -> None:
        """Give way once, as a store on a file does, and only then look at the state."""
        check_identifier(pool_id, "pool_id")
        self.refuse_closed()
        await anyio.lowlevel.checkpoint()
        self.refuse_closed()
