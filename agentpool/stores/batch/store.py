"""What every store on an engine is: commands in batches, questions on one reader, pages of the log.

A store brings how a batch is committed, how something is read as of one moment, and where bodies
are kept.
"""

import asyncio
import os
import threading
from abc import abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Coroutine, Sequence
from functools import partial
from typing import Any, ClassVar, Final, Protocol, TypeAlias, TypeVar

from agentpool.errors import AgentPoolError, StoreClosedError
from agentpool.rules.command import Command, LookUps, PoolView
from agentpool.rules.replay import not_open
from agentpool.rules.requirements import (
    checked_sequence,
    require_callable,
    require_flag,
    require_type,
)
from agentpool.rules.summary import PoolSummary, summary_of
from agentpool.stores.base import AgentPoolStore, Bulk, Due, checked_page, due_in
from agentpool.stores.batch.bodies import Bodies
from agentpool.stores.batch.committer import Request
from agentpool.stores.batch.raw import RawPool, refuse_incomplete
from agentpool.stores.batch.source import Source
from agentpool.stores.batch.states import StateCache, refuse_shorter
from agentpool.stores.batch.view import OverlayView
from agentpool.stores.tail import Page
from agentpool.support.clock import StoreClock
from agentpool.support.tasks import uninterrupted
from agentpool.wire.content import OCTETS, checked_content
from agentpool.wire.ids import check_identifier
from agentpool.wire.payload import open_payloads, records_at
from agentpool.wire.records import AgentPoolStoreRecord

__all__ = ("BatchStore", "Sources", "opened_or_closed")

R = TypeVar("R")
S = TypeVar("S", bound=AgentPoolStore)

Sources: TypeAlias = Callable[[str], Source]
"""Gives a pool inside of a transaction that reads."""

_POOLS_REMEMBERED: Final = 4096
_POOLS_AT_ONCE: Final = 32
_KEEP_UNKNOWN: Final = partial(open_payloads, keep_unknown=True)


class Commits(Protocol):
    """The queue of commands in front of a writer; see `GroupCommit`."""

    def submit(self, request: Request) -> Awaitable[Any]:
        """Have a command committed; await the result."""

    async def decided(self, pool_ids: Collection[str]) -> None:
        """Wait until it is decided what became of commands whose callers were cancelled.

        :param pool_ids: for which pools
        """

    async def all_decided(self) -> None:
        """Wait until that is decided for every pool."""

    async def close(self) -> None:
        """Let what is being committed finish, and refuse what waits behind it."""


class BatchStore(AgentPoolStore):
    """A handle with a writer, which commits in batches, and a reader.

    Its stores set ``_commits``, the queue in front of the writer, and ``_bodies``.

    :param states: what is remembered of the pools that are read
    :param give_up: ends whatever the connections wait for, when the store is closed
    """

    after_fork: ClassVar[str]
    """What whoever uses it in a child of the process that opened it is told."""

    _commits: Commits
    _bodies: Bodies[Any]

    def __init__(
        self, clock: StoreClock, max_body: int, states: StateCache, give_up: threading.Event
    ) -> None:
        super().__init__(clock, max_body)
        self._pid = os.getpid()
        self._reader_states = states
        self._give_up: threading.Event = give_up
        self._checked_pools: set[str] = set()

    # --- what a store brings

    @abstractmethod
    async def _read(self, work: Callable[[Sources], R], *, bulk: bool = False) -> R:
        """Work on one state of what is committed, in the turn of the reader."""

    @abstractmethod
    async def _look_at(self, pool_id: str, work: Callable[[RawPool], R]) -> R:
        """Work on a pool as `look_at` does."""

    @abstractmethod
    async def _rewrite(self, pool_id: str, work: Callable[[RawPool], R], *, durable: bool) -> R:
        """Work on a pool as `rewrite` does."""

    # --- what comes with it

    def execute(self, pool_id: str, command: Command[R]) -> Awaitable[R]:
        self._check(pool_id)
        require_type(command, Command, "command")
        return self._commits.submit(Request(pool_id, command))

    async def query(self, pool_id: str, question: Callable[[PoolView], R]) -> R:
        self._check(pool_id)
        require_callable(question, "question")
        return (await self._answers([pool_id], question))[0]

    async def due(self, pool_ids: Sequence[str]) -> dict[str, Due]:
        for pool_id in checked_sequence(pool_ids, "pool_ids", str):
            self._check(pool_id)
        return dict(zip(pool_ids, await self._answers(pool_ids, due_in), strict=True))

    async def pools(self) -> list[PoolSummary]:
        ids, found = sorted(await self.pool_ids()), list[PoolSummary]()
        for start in range(0, len(ids), _POOLS_AT_ONCE):
            found += await self._answers(ids[start : start + _POOLS_AT_ONCE], Bulk(summary_of))
        return found

    async def _answers(self, pool_ids: Sequence[str], question: Callable[[PoolView], R]) -> list[R]:
        """Answer a question of several pools in one read transaction."""
        wanted: LookUps | None = getattr(question, "looks_up", None)

        def answer(sources: Sources) -> list[R]:
            found = [sources(each) for each in pool_ids]
            if wanted is not None:
                for source in found:
                    source.load(wanted)
            return [self._answer(source, question) for source in found]

        await self._commits.decided(pool_ids)
        return await self._read(answer, bulk=isinstance(question, Bulk))

    def _answer(self, source: Source, question: Callable[[PoolView], R]) -> R:
        try:
            return question(OverlayView(source, self._reader_states))
        except AgentPoolError as error:
            error.in_pool(source.pool_id)
            raise

    async def look_at(self, pool_id: str, work: Callable[[RawPool], R]) -> R:
        """Work on a pool as it is kept, as of one moment; others may be answered first."""
        self._check(pool_id)
        require_callable(work, "work")
        return await self._look_at(pool_id, work)

    async def rewrite(self, pool_id: str, work: Callable[[RawPool], R], *, durable: bool) -> R:
        """Work on a pool as it is kept, in a transaction that may write. Nobody is told of it.

        The work may be carried out twice, also after it was committed.

        :param durable: whether it has to survive a power cut by itself; it does with the next that
            has to
        """
        self._check(pool_id)
        require_callable(work, "work")
        require_flag(durable, "durable")
        return await self._rewrite(pool_id, work, durable=durable)

    async def put_content(self, data: bytes, *, media_type: str = OCTETS) -> str:
        body = checked_content(data, media_type, self.max_body)
        self.refuse_closed()
        return await self._bodies.put(body, media_type)

    async def get_content(self, ref: str) -> bytes:
        check_identifier(ref, "ref")
        self.refuse_closed()
        return await self._bodies.get(ref)

    def open_content(self, ref: str) -> AsyncGenerator[bytes, None]:
        check_identifier(ref, "ref")
        self.refuse_closed()
        return self._bodies.pieces(ref)

    async def content_type(self, ref: str) -> str:
        check_identifier(ref, "ref")
        self.refuse_closed()
        return await self._bodies.media_type(ref)

    async def read_page(self, pool_id: str, after: int, limit: int) -> Page:
        self._check(pool_id)
        after, limit = checked_page(after, limit)

        def fetch(sources: Sources) -> Page:
            source = sources(pool_id)
            source.load(LookUps())
            page = _page(source, after, limit)
            refuse_incomplete(source, source.head())  # which has come in the same trip
            last = page.records[-1].cursor.sequence if page.records else None
            self._reader_states.read(source, after, last)
            if page.error is None and last is None:
                self._check_end(source, after)
            if last is not None:
                self._reader_states.saw(pool_id, last)
            return page

        # A page that is known to be full is of the past.
        bulk = after + limit <= self._reader_states.seen(pool_id)
        return await self._read(fetch, bulk=bulk)

    def _check_end(self, source: Source, after: int) -> None:
        """Tell the end of a log from a pool without one, and from a log that has lost its end."""
        head, pool_id = source.head(), source.pool_id
        refuse_shorter(pool_id, head, min(after, self._reader_states.seen_before(pool_id)))
        source.refuse_lost(after, head)
        if head == 0:
            raise not_open(pool_id)

    # --- its life

    async def aclose(self) -> None:
        if os.getpid() != self._pid:
            return  # the connections are the parent's
        self.refuse_elsewhere()
        self._give_up.set()
        await super().aclose()

    def refuse_closed(self) -> None:
        self._refuse_forked()
        super().refuse_closed()

    def _refuse_forked(self) -> None:
        if os.getpid() != self._pid:
            msg = f"the store was opened before a fork; {self.after_fork}"
            raise StoreClosedError(msg)

    def _check(self, pool_id: str) -> None:
        if type(pool_id) is not str or pool_id not in self._checked_pools:
            check_identifier(pool_id, "pool_id")
            if len(self._checked_pools) < _POOLS_REMEMBERED:
                self._checked_pools.add(pool_id)
        self.refuse_closed()


async def opened_or_closed(opening: Coroutine[Any, Any, S]) -> S:
    """Open a store to the end, whatever happens to the task; cancelled, close it again."""
    opened: list[S] = []

    async def open_() -> S:
        opened.append(await opening)
        return opened[0]

    try:
        return await uninterrupted(open_())
    except asyncio.CancelledError:
        for store in opened:
            await store.aclose()
        raise


def _page(source: Source, after: int, limit: int) -> Page:
    records: list[AgentPoolStoreRecord] = []
    try:
        for numbers, payloads in source.stretches(after, limit, _KEEP_UNKNOWN):
            records += records_at(source.pool_id, numbers, payloads)
    except AgentPoolError as error:
        return Page(records, error)  # with those before it
    return Page(records)
