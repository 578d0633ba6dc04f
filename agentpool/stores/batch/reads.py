"""What is read on one connection: first what somebody waits for, bulk in between.

What nobody waits for any more is not read: a caller that was cancelled leaves nothing to do. What
comes while others read goes over together, in one trip.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeAlias, TypeVar, cast

from agentpool.errors import StoreClosedError, own_copy
from agentpool.support.tasks import ended, start

__all__ = ("Reads", "Worker")

C = TypeVar("C")
C_co = TypeVar("C_co", covariant=True)
R = TypeVar("R")

Translated: TypeAlias = Callable[[str], AbstractContextManager[None]]
"""Turns what an engine raises in a block into errors of ours, which name where that was."""

_TOGETHER: Final = 16


class Worker(Protocol[C_co]):
    """A connection on a thread of its own."""

    async def run(self, function: Callable[[C_co], R]) -> R:
        """Run a function over the connection on its thread."""


class _Read(NamedTuple):
    function: Callable[[Any], Any]
    outcome: "asyncio.Future[Any]"


class _Failure(NamedTuple):
    error: Exception


class Reads(Generic[C]):
    """The queue in front of a connection that only reads.

    :param where: what it is connected to
    """

    def __init__(self, connection: Worker[C], where: str, translated: Translated) -> None:
        self._connection = connection
        self._where = where
        self._translated = translated
        self._waited_for: deque[_Read] = deque()
        self._bulk: deque[_Read] = deque()
        self._is_turn_of_bulk = False
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def run(self, function: Callable[[C], R], *, bulk: bool = False) -> R:
        """Run a function on the thread of the connection. Cancelled before its turn, it never runs.

        :param bulk: let others go first; of bulk one runs between two turns of the others, in the
            order of the calls
        :raises StoreClosedError: the connection is closed
        """
        if self._closed:
            raise self._refusal()
        read = _Read(function, asyncio.get_running_loop().create_future())
        (self._bulk if bulk else self._waited_for).append(read)
        if self._task is None:
            self._task = start(self._drain())
        return cast("R", await read.outcome)

    async def close(self) -> None:
        """Let what is being read come to its end, and refuse what waits behind it."""
        self._closed = True
        if self._task is not None:
            await ended([self._task])

    def _refusal(self) -> StoreClosedError:
        return StoreClosedError(f"{self._where}: the store is closed")

    async def _drain(self) -> None:
        batch: list[_Read] = []
        try:
            while batch := self._take():
                for read, outcome in zip(batch, await self._read(batch), strict=True):
                    self._tell(read, outcome)
        finally:
            self._task = None
            # Nobody reads any more: who waits must not wait for ever.
            for read in (*batch, *self._waited_for, *self._bulk):
                self._tell(read, _Failure(self._refusal()))
            self._waited_for.clear()
            self._bulk.clear()

    def _take(self) -> list[_Read]:
        """Take what is next, without what nobody waits for any more."""
        if self._closed:
            return []
        found = [] if self._is_turn_of_bulk else _next(self._waited_for, _TOGETHER)
        self._is_turn_of_bulk = bool(found)
        # Bulk goes alone, so that nobody waits for more than one of it.
        return found or _next(self._bulk, 1) or _next(self._waited_for, _TOGETHER)

    async def _read(self, batch: list[_Read]) -> list[Any]:
        try:
            return await self._connection.run(partial(self._carry_out, batch))
        except Exception as error:  # noqa: BLE001  # every caller is told
            return [_Failure(own_copy(error)) for _ in batch]

    def _carry_out(self, batch: list[_Read], connection: C) -> list[Any]:
        return [self._outcome(read, connection) for read in batch]

    def _outcome(self, read: _Read, connection: C) -> Any:
        if read.outcome.cancelled():
            return None  # nobody is left to be told of it
        try:
            with self._translated(self._where):
                return read.function(connection)
        except Exception as error:  # noqa: BLE001  # its caller is told
            return _Failure(error)

    @staticmethod
    def _tell(read: _Read, outcome: Any) -> None:
        if read.outcome.done():
            return
        if isinstance(outcome, _Failure):
            read.outcome.set_exception(outcome.error)
        else:
            read.outcome.set_result(outcome)


def _next(queue: deque[_Read], most: int) -> list[_Read]:
    found: list[_Read] = []
    while queue and len(found) < most:
        read = queue.popleft()
        if not read.outcome.done():
            found.append(read)
    return found
