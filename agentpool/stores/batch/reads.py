"""What is read on one connection: first what somebody waits for, bulk in between.

What nobody waits for any more is not read: a caller that was cancelled leaves nothing to do. What
comes while others read goes over together, in one trip. For a server that is away all wait as long
as one would.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeAlias, TypeVar, cast

from agentpool.errors import StoreBusyError, StoreClosedError, own_copy
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
    came: float


class _Failure(NamedTuple):
    """What a read raised.

    :ivar lost_since: since when it had waited for a server that stayed away
    """

    error: Exception
    lost_since: float | None = None


class Reads(Generic[C]):
    """The queue in front of a connection that only reads.

    :param where: what it is connected to
    :param is_lost: whether the connection is; what waits then need not wait again by itself
    """

    def __init__(
        self,
        connection: Worker[C],
        where: str,
        translated: Translated,
        is_lost: Callable[[C], bool] = lambda _: False,
    ) -> None:
        self._connection = connection
        self._where = where
        self._translated = translated
        self._is_lost = is_lost
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
        outcome = asyncio.get_running_loop().create_future()
        read = _Read(function, outcome, time.monotonic())
        (self._bulk if bulk else self._waited_for).append(read)
        if self._task is None:
            self._task = start(self._drain())
        return cast("R", await outcome)

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
                outcomes = await self._read(batch)
                for read, outcome in zip(batch, outcomes, strict=False):
                    self._tell(read, outcome)
                self._fail_with(outcomes[-1], (*batch, *self._waited_for, *self._bulk))
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
        """Read as far as there is a connection."""
        outcomes: list[Any] = []
        for read in batch:
            outcome = self._outcome(read, connection)
            outcomes.append(outcome)
            if isinstance(outcome, _Failure) and outcome.lost_since is not None:
                break
        return outcomes

    def _outcome(self, read: _Read, connection: C) -> Any:
        if read.outcome.cancelled():
            return None  # nobody is left to be told of it
        began = time.monotonic()
        try:
            with self._translated(self._where):
                return read.function(connection)
        except (StoreBusyError, StoreClosedError) as error:
            return _Failure(error, began if self._is_lost(connection) else None)
        except Exception as error:  # noqa: BLE001  # its caller is told
            return _Failure(error)

    def _fail_with(self, last: Any, reads: Iterable[_Read]) -> None:
        """Where a server stayed away, fail what has waited for it as long as the last read."""
        if not isinstance(last, _Failure) or last.lost_since is None:
            return
        for read in reads:
            if read.came <= last.lost_since:
                self._tell(read, _Failure(own_copy(last.error)))

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
