"""The store that all of this is about."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from agentpool import (
    AgentPoolStoreRecord,
    RunMessageRecorded,
    SqliteAgentPoolStore,
    encode,
)
from benchmarks.peers.contender import Contender, Handle, Message
from benchmarks.workloads import POOL

__all__ = ("Ours",)


class _Handle(Handle):
    def __init__(self, store: SqliteAgentPoolStore) -> None:
        self._store = store

    async def append(self, message: Message) -> None:
        await self._store.record_message(POOL, *message.sent)

    async def fill(self, messages: Sequence[Message]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for message in messages:
                tasks.create_task(self.append(message))

    async def replay(self) -> list[Any]:
        return [record for record in await self._store.read(POOL) if _is_message(record)]

    async def follow(self) -> AsyncGenerator[Any, None]:
        async with aclosing(self._store.watch(POOL)) as records:
            async for record in records:
                if _is_message(record):
                    yield record

    def text(self, item: Any) -> str:
        return encode(item.payload).decode()


def _is_message(record: AgentPoolStoreRecord) -> bool:
    return isinstance(record.payload, RunMessageRecorded)


class Ours(Contender):
    """agentpool, as it comes."""

    name = "agentpool"
    distribution = "agentpool-store"
    kind = "ours"
    settings = "WAL, synchronous=FULL; waits for a bell; replay gives typed, checked records"

    @asynccontextmanager
    async def open(self, place: str) -> AsyncIterator[Handle]:
        async with SqliteAgentPoolStore.open(Path(place) / "pool.db") as store:
            await store.open_pool(POOL)
            yield _Handle(store)
