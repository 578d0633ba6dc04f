"""What is read on one connection: first what somebody waits for, bulk in between.

What nobody waits for any more is not read: a caller that was cancelled leaves nothing to do. What
comes while others read goes over together, in one trip.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar, cast

from agentpool.errors import StoreClosedError, own_copy
from agentpool.stores.sqlite.connection import WorkerConnection
from agentpool.stores.sqlite.errors import translated
from agentpool.support.tasks import ended, start

__all__ = ("Reads",)

R = TypeVar("R")

_TOGETHER: Final = 16


class _Read(NamedTuple):
    function: Callable[[sqlite3.Connection], Any]
    outcome: "asyncio.Future[Any]"


class _Failure(NamedTuple):
    error: Exception


class Reads:
    """The queue in front of a connection that only reads."""

    def __init__(self, connection: WorkerConnection, path: str) -> None:
        self._connection = connection
        self._path = path
        self._waited_for: deque[_Read] = deque()
        self._bulk: deque[_Read] = deque()
        self._is_turn_of_bulk = False
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def run(self, function: Callable[[sqlite3.Connection], R], *, bulk: bool = False) -> R:
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
        return StoreClosedError(f"{self._path}: the store is closed")

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
            return await self._connection.run(partial(_carry_out, batch, self._path))
        except Exception as error:  # noqa: BLE001  # every caller is told
            return [_Failure(own_copy(error)) for _ in batch]

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


def _carry_out(batch: list[_Read], path: str, connection: sqlite3.Connection) -> list[Any]:
    return [_outcome(read, path, connection) for read in batch]


def _outcome(read: _Read, path: str, connection: sqlite3.Connection) -> Any:
    if read.outcome.cancelled():
        return None  # nobody is left to be told of it
    try:
        with translated(path):
            return read.function(connection)
    except Exception as error:  # noqa: BLE001  # its caller is told
        return _Failure(error)
