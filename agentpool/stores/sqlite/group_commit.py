"""Group commit: commands that come while one batch commits form the next one. No timer."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from agentpool.errors import AgentPoolError, StoreClosedError
from agentpool.stores.sqlite.transaction import Outcome, Refusal, Request

__all__ = ("GroupCommit",)

_BATCH_SIZE: Final = 1024

Commit = Callable[[list[Request]], Awaitable[list[Outcome]]]


class GroupCommit:
    """A queue of commands in front of a function that commits a batch of them.

    :param commit: commits requests and gives an outcome for each, or raises for all
    """

    def __init__(self, commit: Commit) -> None:
        self._commit = commit
        self._queue: deque[tuple[Request, asyncio.Future[Any]]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def submit(self, request: Request) -> Any:
        """Have a command committed.

        Cancelled before its batch began, it has no effect; later, its whole effect or none.
        """
        future = asyncio.get_running_loop().create_future()
        self._queue.append((request, future))
        if self._task is None:
            self._task = asyncio.ensure_future(self._drain())
        return await future

    async def close(self) -> None:
        """Let the batch that is being committed finish, and refuse what waits behind it."""
        self._closed = True
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _drain(self) -> None:
        try:
            while self._queue and not self._closed:
                await self._commit_next()
        finally:
            self._task = None
            self._refuse_rest()

    async def _commit_next(self) -> None:
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), _BATCH_SIZE))]
        batch = [(request, future) for request, future in batch if not future.done()]
        if not batch:
            return
        try:
            outcomes = await self._commit([request for request, _ in batch])
        except BaseException as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(_for_caller(error))
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if future.done():
                continue
            if isinstance(outcome, Refusal):
                future.set_exception(outcome.error)
            else:
                future.set_result(outcome)

    def _refuse_rest(self) -> None:
        while self._queue:
            _, future = self._queue.popleft()
            if not future.done():
                msg = "the store was closed before this was written"
                future.set_exception(StoreClosedError(msg))


def _for_caller(error: BaseException) -> BaseException:
    """Make an error for one caller: they must not share one, each adds its own traceback."""
    if isinstance(error, AgentPoolError):
        own = type(error)(error.message, pool_id=error.pool_id, seq=error.seq)
        own.__cause__ = error.__cause__
        return own
    if isinstance(error, asyncio.CancelledError):
        return StoreClosedError("the event loop ended before the outcome was known")
    return error
