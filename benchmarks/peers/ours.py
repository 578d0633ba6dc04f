"""The store that all of this is about."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from agentpool import (
    AgentPool,
    AgentPoolStore,
    AgentPoolStoreRecord,
    MessageReceipt,
    MessageStatus,
    RunMessage,
    RunMessageRecorded,
    SqliteAgentPoolStore,
    encode,
)
from benchmarks.peers.contender import Contender, Handle, Message, make_messages
from benchmarks.workloads import POOL, Sent, member, payload

__all__ = ("Ours", "OursByInbox", "Recording", "Sending")

[_FIRST] = make_messages(1, "wake")
_SENDER: Final = _FIRST.sent.message.sender
[_RECEIVER] = _FIRST.sent.receipt.delivered_to  # of all that one wake-up sends


class Recording(Handle):
    """A store that records messages, and is watched."""

    def __init__(self, store: AgentPoolStore) -> None:
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
            yield Recording(store)


class Sending(Recording):
    """A pool that sends, and whose member takes."""

    def __init__(self, store: AgentPoolStore, pool: AgentPool) -> None:
        super().__init__(store)
        self._pool = pool

    async def append(self, message: Message) -> None:
        await self._pool.send(message.sent.message)

    async def replay(self) -> list[Any]:
        records = await super().replay()
        delivered = MessageStatus.DELIVERED
        return [each for each in records if each.payload.stored.receipt.status is delivered]

    async def follow(self) -> AsyncGenerator[Any, None]:
        inbox = self._pool.inbox(_RECEIVER)
        while True:
            delivery = await inbox.take()
            yield delivery.message
            await delivery.ack()

    def text(self, item: RunMessage) -> str:
        receipt = MessageReceipt(item.message_id, MessageStatus.DELIVERED, (_RECEIVER,))
        return payload(Sent(item, receipt))


class OursByInbox(Ours):
    """The same through a coordinated pool: sent to a member, who consumes what it is given."""

    name = "agentpool, inbox"
    settings = (
        "WAL, synchronous=FULL; send; waits for a bell, and takes from the inbox: the claim is"
        " committed before the message is given; acknowledged before the next one is taken"
    )
    wakes_only = True

    @asynccontextmanager
    async def open(self, place: str) -> AsyncIterator[Handle]:
        async with (
            SqliteAgentPoolStore.open(Path(place) / "pool.db") as store,
            AgentPool.open(store, POOL) as pool,
        ):
            for run_id in (_SENDER, _RECEIVER):
                await pool.join_run(member(run_id.removeprefix("run.")))
            yield Sending(store, pool)
