"""Group commit: commands that come while one batch commits form the next one. No timer."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final, TypeAlias

import anyio

from agentpool.errors import StoreClosedError, own_copy
from agentpool.rules.topics import AllTouched
from agentpool.stores.batch.committer import Outcome, Refusal, Request
from agentpool.support.tasks import ended, start

__all__ = ("GroupCommit",)

# So many share a sync well, and are mostly decided in one transaction that is not long.
_BATCH_SIZE: Final = 256

_Commit: TypeAlias = Callable[[list[Request]], Awaitable[tuple[list[Outcome], AllTouched]]]
_Waiting: TypeAlias = tuple[Request, "asyncio.Future[Any]"]


class GroupCommit:
    """A queue of commands in front of a function that commits a batch of them.

    :param commit: commits requests, and gives an outcome for each and what others are to be told
        of, or raises for all; where they are too much for one transaction, outcomes for the first
        of them, and the rest come first in the next batch
    :param changed: told of that, after the callers
    """

    def __init__(self, commit: _Commit, changed: Callable[[AllTouched], None]) -> None:
        self._commit = commit
        self._changed = changed
        self._queue: deque[_Waiting] = deque()
        self._under_way: list[_Waiting] = []
        self._ended: anyio.Event | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being committed, nor waits for it."""
        return self._task is None

    def submit(self, request: Request) -> "asyncio.Future[Any]":
        """Have a command committed; await the result.

        Cancelled before its batch began, it has no effect; later, its whole effect or none.
        """
        # A plain future: an event and a field for the outcome would cost 8 us more a command, a
        # fifth of what an append costs in all.
        future = asyncio.get_running_loop().create_future()
        self._queue.append((request, future))
        if self._task is None:
            self._task = start(self._drain())
        return future

    async def decided(self, pool_ids: Collection[str]) -> None:
        """Wait until it is decided what became of commands whose callers were cancelled.

        They may ask next, and have to be told what holds from then on.

        :param pool_ids: for which pools
        """
        if self._cancelled().intersection(pool_ids):
            await self._end_of_batch()

    async def all_decided(self) -> None:
        """Wait until that is decided for every pool."""
        if self._cancelled():
            await self._end_of_batch()

    def _cancelled(self) -> set[str]:
        """List the pools with commands under way that nobody waits for any more."""
        return {request.pool_id for request, future in self._under_way if future.cancelled()}

    async def _end_of_batch(self) -> None:
        if self._ended is None:
            self._ended = anyio.Event()
        await self._ended.wait()

    async def close(self) -> None:
        """Let the batch that is being committed finish, and refuse what waits behind it."""
        self._closed = True
        if self._task is not None:
            await ended([self._task])

    async def _drain(self) -> None:
        try:
            while batch := self._take():
                self._under_way = batch
                outcomes, changed = await self._commit_batch(batch)
                self._queue.extendleft(reversed(batch[len(outcomes) :]))
                _tell(batch, outcomes)
                self._end_batch()
                if changed:
                    self._changed(changed)
        finally:
            # Nothing more will be written: who waits must not wait for ever.
            _refuse(self._under_way, "the work on the store ended before the outcome was known")
            self._end_batch()
            self._task = None
            _refuse(self._queue, "the store was closed before this was written")
            self._queue.clear()

    def _end_batch(self) -> None:
        self._under_way = []
        if self._ended is not None:
            self._ended.set()
            self._ended = None

    def _take(self) -> list[_Waiting]:
        """Take the next batch off the queue, without those whose callers are gone."""
        batch: list[_Waiting] = []
        while self._queue and not batch and not self._closed:
            size = min(len(self._queue), _BATCH_SIZE)
            taken = [self._queue.popleft() for _ in range(size)]
            # Nobody is left to be told of it, so it is as if it had never been called.
            batch = [waiting for waiting in taken if not waiting[1].done()]
        return batch

    async def _commit_batch(self, batch: list[_Waiting]) -> tuple[list[Outcome], AllTouched]:
        try:
            return await self._commit([request for request, _ in batch])
        except Exception as error:  # noqa: BLE001  # every caller is told
            return [Refusal(own_copy(error)) for _ in batch], {}


def _refuse(rest: Collection[_Waiting], msg: str) -> None:
    _tell(rest, [Refusal(StoreClosedError(msg)) for _ in rest])


def _tell(batch: Collection[_Waiting], outcomes: list[Outcome]) -> None:
    for (_, future), outcome in zip(batch, outcomes, strict=False):
        if future.done():
            continue
        if isinstance(outcome, Refusal):
            future.set_exception(outcome.error)
        else:
            future.set_result(outcome)
