"""One store of several: each pool is in one of them, which its id alone decides.

Pools share nothing, so nothing is lost by that, and a store that is away stops only its own pools.
Where a pool is goes by rendezvous hashing: of all positions in the list the one wins whose hash
with the pool id is highest. A store that is put at the end of the list takes its share of pools
from all others, and moves no other pool; `copy_pools` moves those.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractContextManager, aclosing
from hashlib import blake2b
from typing import Any, Final, TypeAlias, TypeVar

from agentpool.errors import (
    AgentPoolError,
    ContentNotFoundError,
    StoreBusyError,
    StoreClosedError,
)
from agentpool.rules.command import Command, PoolView
from agentpool.rules.requirements import checked_names, checked_sequence, require_flag
from agentpool.rules.summary import PoolSummary
from agentpool.stores.base import AgentPoolStore, Due, checked_place
from agentpool.stores.tail import Page
from agentpool.stores.turns import Turns
from agentpool.support.clock import Clock
from agentpool.support.tasks import ended, joined, start
from agentpool.wire.content import OCTETS, checked_content, no_content
from agentpool.wire.ids import check_identifier
from agentpool.wire.records import AgentPoolStoreCursor, AgentPoolStoreRecord
from agentpool.wire.snapshot import AgentPoolSnapshot

__all__ = ("OpenStore", "ShardedAgentPoolStore", "place_of")

R = TypeVar("R")

OpenStore: TypeAlias = Callable[[], Coroutine[Any, Any, AgentPoolStore]]
"""Opens one of the stores; tries again where that failed."""


def place_of(pool_id: str, count: int) -> int:
    """Say which of so many stores has a pool, by its position in their list.

    It is the one whose ``blake2b(f"{position} {pool_id}", digest_size=8)`` is highest, byte by
    byte.
    """

    def weight(position: int) -> bytes:
        return blake2b(f"{position} {pool_id}".encode(), digest_size=8).digest()

    return max(range(count), key=weight)


class _Shard:
    """One of the stores, opened as soon as that is possible.

    :ivar store: ``None``: it was not to be had yet
    :ivar was_away: whether it was when it was asked for a body last
    """

    def __init__(self, open_: OpenStore) -> None:
        self._open = open_
        self._attempt: asyncio.Task[AgentPoolError | None] | None = None
        self._closed = False
        self.store: AgentPoolStore | None = None
        self.was_away = False

    def begin(self) -> None:
        """Begin to open the store, unless it is open or about to be."""
        if self.store is None and (self._attempt is None or self._attempt.done()):
            self._attempt = start(self._try())
            self._attempt.add_done_callback(_fetch)  # perhaps nobody waits for it

    async def opened(self) -> AgentPoolStore:
        """Give the store; open it, where it was away, once for all who wait for that.

        :raises StoreBusyError: it still is
        """
        while self.store is None:
            if self._closed:
                msg = "the store is closed"
                raise StoreClosedError(msg)
            self.begin()
            assert self._attempt is not None  # noqa: S101  # see above
            failed = await joined(self._attempt)
            if failed is not None:
                raise failed.copy()
        return self.store

    async def _try(self) -> AgentPoolError | None:
        """Open the store, or say why that cannot be done: perhaps nobody waits any more."""
        try:
            self.store = await self._open()
        except AgentPoolError as error:
            return error
        return None

    async def keeps(self, ref: str) -> AgentPoolStore | None:
        """Give the store if it keeps a body.

        :raises StoreBusyError: it is away
        """
        try:
            store = await self.opened()
            await store.content_type(ref)
        except ContentNotFoundError:
            store = None
        except StoreBusyError:
            self.was_away = True
            raise
        self.was_away = False
        return store

    async def close(self) -> None:
        self._closed = True
        if self._attempt is not None:
            await ended([self._attempt])
        if self.store is not None:
            await self.store.aclose()


def _fetch(attempt: "asyncio.Task[AgentPoolError | None]") -> None:
    if not attempt.cancelled():
        attempt.exception()


class ShardedAgentPoolStore(AgentPoolStore):
    """A handle on several stores, each pool in the one that `place_of` says.

    A call about a pool goes to its store, and is what it is there; `AgentPool.open` works on that
    store itself, so its members, deadlines and clocks are those of the pool's own. A store that is
    away makes calls about its pools raise `StoreBusyError`, and is tried again by the next; those
    about all pools raise it too, for what they would say were not all.

    A body that is sent or published with its message is kept in the store of its pool. One that is
    put by `put_content` belongs to no pool, and may be named in any; so it is kept in every store.
    """

    def __init__(self, openers: Sequence[OpenStore], clock: Clock, max_body: int) -> None:
        """Take the stores in the order that places pools; for `open_store` only."""
        super().__init__(clock, max_body)
        self._shards: Final = [_Shard(each) for each in openers]

    @classmethod
    async def open(
        cls, openers: Sequence[OpenStore], clock: Clock, max_body: int
    ) -> "ShardedAgentPoolStore":
        """Open the stores, but for those that are away.

        :raises StoreBusyError: all are
        :raises AgentPoolError: what else keeps one of them from being opened
        """
        store = cls(openers, clock, max_body)
        try:
            await store._open_all()
        except BaseException:
            await store.aclose()
            raise
        return store

    async def _open_all(self) -> None:
        away: list[StoreBusyError] = []
        for shard in self._begun():
            try:
                await shard.opened()
            except StoreBusyError as error:
                away.append(error)
        if len(away) == len(self._shards):
            raise away[0]

    def _begun(self) -> list[_Shard]:
        """Give the stores, all of which are being opened at once where they are not open."""
        for shard in self._shards:
            shard.begin()
        return self._shards

    def __repr__(self) -> str:
        status = "closed" if self.is_closed else "open"
        return f"<ShardedAgentPoolStore of {len(self._shards)} {status}>"

    async def store_of(self, pool_id: str) -> AgentPoolStore:
        return await self._shard(pool_id).opened()

    def _shard(self, pool_id: str) -> _Shard:
        check_identifier(pool_id, "pool_id")
        self.refuse_closed()
        return self._shards[place_of(pool_id, len(self._shards))]

    # --- one pool

    def execute(self, pool_id: str, command: Command[R]) -> Awaitable[R]:
        store = self._shard(pool_id).store
        if store is None:
            return self._execute_later(pool_id, command)
        return store.execute(pool_id, command)

    async def _execute_later(self, pool_id: str, command: Command[R]) -> R:
        store = await self.store_of(pool_id)
        return await store.execute(pool_id, command)

    async def query(self, pool_id: str, question: Callable[[PoolView], R]) -> R:
        store = await self.store_of(pool_id)
        return await store.query(pool_id, question)

    async def read_page(self, pool_id: str, after: int, limit: int) -> Page:
        store = await self.store_of(pool_id)
        return await store.read_page(pool_id, after, limit)

    async def snapshot(self, pool_id: str) -> AgentPoolSnapshot:
        store = await self.store_of(pool_id)
        return await store.snapshot(pool_id)

    def watch(
        self,
        pool_id: str,
        cursor: AgentPoolStoreCursor | None = None,
        *,
        keep_unknown: bool = False,
    ) -> AsyncGenerator[AgentPoolStoreRecord, None]:
        checked_place(pool_id, cursor)
        require_flag(keep_unknown, "keep_unknown")
        self.refuse_closed()
        return self._watch(pool_id, cursor, keep_unknown=keep_unknown)

    async def _watch(
        self, pool_id: str, cursor: AgentPoolStoreCursor | None, *, keep_unknown: bool
    ) -> AsyncGenerator[AgentPoolStoreRecord, None]:
        store = await self.store_of(pool_id)
        async with aclosing(store.watch(pool_id, cursor, keep_unknown=keep_unknown)) as records:
            async for record in records:
                yield record

    def changes(self, pool_id: str) -> AbstractContextManager[Turns]:
        store = self._shard(pool_id).store
        if store is None:
            msg = "its store was away when this one was opened; call anything else about it first"
            raise StoreBusyError(msg, pool_id=pool_id)
        return store.changes(pool_id)

    def notify(self, pool_ids: Iterable[str] | None = None) -> None:
        chosen = None if pool_ids is None else list(checked_names(pool_ids, "pool_ids"))
        for shard in self._shards:
            if shard.store is not None:
                shard.store.notify(chosen)

    # --- all pools

    async def pool_ids(self) -> list[str]:
        found: list[str] = []
        for store in await self._all():
            found += [each for each in await store.pool_ids() if await self.store_of(each) is store]
        return found

    async def pools(self) -> list[PoolSummary]:
        found: list[PoolSummary] = []
        for store in await self._all():
            summaries = await store.pools()
            found += [each for each in summaries if await self.store_of(each.pool_id) is store]
        return sorted(found)

    async def due(self, pool_ids: Sequence[str]) -> dict[str, Due]:
        shards: defaultdict[_Shard, list[str]] = defaultdict(list)
        for pool_id in checked_sequence(pool_ids, "pool_ids", str):
            shards[self._shard(pool_id)].append(pool_id)
        found: dict[str, Due] = {}
        for shard, ids in shards.items():
            found |= await (await shard.opened()).due(ids)
        return found

    async def _all(self) -> list[AgentPoolStore]:
        self.refuse_closed()
        return [await shard.opened() for shard in self._begun()]

    # --- bodies

    async def put_content(self, data: bytes, *, media_type: str = OCTETS) -> str:
        body = checked_content(data, media_type, self.max_body)
        refs = {await each.put_content(body, media_type=media_type) for each in await self._all()}
        return refs.pop()

    async def get_content(self, ref: str) -> bytes:
        return await (await self._keeper(ref)).get_content(ref)

    async def content_type(self, ref: str) -> str:
        return await (await self._keeper(ref)).content_type(ref)

    async def _pieces_of(self, ref: str) -> AsyncGenerator[bytes, None]:
        store = await self._keeper(ref)
        async with aclosing(store.open_content(ref)) as pieces:
            async for piece in pieces:
                yield piece

    async def _keeper(self, ref: str) -> AgentPoolStore:
        """Find a store that keeps a body; where none does, one that is away may."""
        check_identifier(ref, "ref")
        self.refuse_closed()
        away: StoreBusyError | None = None
        for shard in sorted(self._shards, key=lambda each: each.store is None or each.was_away):
            try:
                if (store := await shard.keeps(ref)) is not None:
                    return store
            except StoreBusyError as error:
                away = error
        raise away or no_content(ref)

    async def finish(self) -> None:
        closed = (shard.close() for shard in self._shards)
        found = await asyncio.gather(*closed, return_exceptions=True)
        if failed := [each for each in found if isinstance(each, BaseException)]:
            raise failed[0]
