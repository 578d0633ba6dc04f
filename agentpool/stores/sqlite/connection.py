"""One SQLite connection on a thread of its own, used in whole functions; alone knows aiosqlite.

A function runs on the worker thread from beginning to end in one hop. So a transaction that it
begins it also ends, whatever happens to the task that waits for it: cancelling that task cannot
leave a transaction open.

aiosqlite has no call for that, but it passes what it is told to execute to the connection, and
``sqlite3`` lets the connection be of a class of ours. ``test_connection.py`` guards the way.
"""

import asyncio
import os
import random
import sqlite3
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final, Self, TypeVar, cast

import aiosqlite

from agentpool.errors import StoreBusyError, StoreClosedError
from agentpool.stores.sqlite import forks
from agentpool.stores.sqlite.errors import FOREIGN, ours, translated
from agentpool.support.switching import in_a_hurry

__all__ = (
    "WorkerConnection",
    "is_busy",
    "read_transaction",
    "write_transaction",
)

R = TypeVar("R")

_RETRY_SECONDS: Final = (0.0005, 0.0015)
_FIRST_RETRIES: Final = 4
_FIRST_RETRY_SECONDS: Final = (0.0001, 0.0003)  # most transactions are over in half a millisecond
_LOOK_AT_THREAD_SECONDS: Final = 0.05
_MOST_PATIENCE_OF_SQLITE: Final = 2_000_000.0  # it counts milliseconds in 32 bits


class _Outcome:
    """Carries the result of a function through ``cursor.fetchall()``."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def fetchall(self) -> Any:
        return self._result


class _FunctionConnection(sqlite3.Connection):
    """A connection that also executes functions, giving them itself."""

    def execute(self, sql: Any, parameters: Any = (), /) -> Any:
        if callable(sql):
            return _Outcome(sql(self))
        return super().execute(sql, parameters)


class WorkerConnection:
    """A connection and its thread. Functions run one at a time, in the order of the calls."""

    def __init__(self, path: Path, connection: aiosqlite.Connection) -> None:
        self._path = str(path)
        self._connection = connection
        self._closed = False

    def __del__(self) -> None:
        if not self._closed and forks.holds(self._connection):
            msg = f"{self._path} was never closed"
            warnings.warn(msg, ResourceWarning, stacklevel=1, source=self)
            self._connection.stop()

    @classmethod
    async def open(
        cls, path: Path, patience: float, setup: Callable[[sqlite3.Connection], None]
    ) -> Self:
        """Connect, creating the file where it is missing, and set the connection up.

        Not to be cancelled half way; the store shields it.
        """
        connection = aiosqlite.connect(
            path,
            factory=_FunctionConnection,
            isolation_level=None,
            timeout=min(patience, _MOST_PATIENCE_OF_SQLITE),
        )
        # A program that never closes its store must still be able to exit; the kernel then takes
        # the connection away, as it does when a process is killed.
        _thread_of(connection).daemon = True
        forks.take_hold(connection, path)
        try:
            with translated(str(path)):
                await connection
        except BaseException:
            # aiosqlite has told the thread to end; if the event loop ended first, that would fail.
            _thread_of(connection).join()
            forks.let_go(connection)
            raise
        made = cls(path, connection)
        try:
            await made.run(setup)
        except BaseException:
            await made.close()
            raise
        return made

    async def run(self, function: Callable[[sqlite3.Connection], R]) -> R:
        """Run a function on the worker thread.

        A cancelled caller gets no result, but the function runs to its end.

        :raises StoreClosedError: the connection is closed
        """
        if self._closed:
            msg = f"{self._path}: the store is closed"
            raise StoreClosedError(msg)
        # The thread keeps its last function until the next one comes; it must not keep a store
        # alive that nobody closed, nor what the function has read.
        once = [function]
        # See the module's docstring: what comes back is what the function returned.
        call = cast("Any", lambda connection: once.pop()(connection))  # noqa: PLW0108
        try:
            outcome = await self._connection.execute_fetchall(call)
        except FOREIGN as error:
            raise ours(error, self._path) from error
        return cast("R", outcome)

    async def close(self) -> None:
        """Close the connection after what it is doing, and end its thread."""
        self._closed = True
        # The thread dies of a result that it can tell nobody, for the event loop that waited for
        # it is closed; then it takes the connection with it, and nobody would ever answer.
        thread = _thread_of(self._connection)
        closing = asyncio.ensure_future(self._connection.close())
        while thread.is_alive() and not closing.done():
            await asyncio.wait([closing], timeout=_LOOK_AT_THREAD_SECONDS)
        if not thread.is_alive() and not closing.done():
            await asyncio.wait([closing], timeout=_LOOK_AT_THREAD_SECONDS)
            closing.cancel()
            forks.let_go(self._connection)
            return
        with translated(self._path):
            await closing
        forks.let_go(self._connection)


def _thread_of(connection: aiosqlite.Connection) -> threading.Thread:
    """Give the thread of a connection, all that we need of aiosqlite's own attributes."""
    return connection._thread  # noqa: SLF001


@contextmanager
def read_transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Read as of one moment, for the block."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        _end(connection)


@contextmanager
def write_transaction(
    connection: sqlite3.Connection, patience: float, give_up: threading.Event
) -> Iterator[None]:
    """Hold the write lock of the file for the block, then commit; roll back when it raises.

    Waits in short random steps, which is fair to the other writers; SQLite's own growing steps
    let one starve.

    :param patience: how many seconds to wait for the lock
    :param give_up: ends the waiting at once
    :raises StoreBusyError: the lock was not to be had in time
    :raises StoreClosedError: ``give_up`` was set
    """
    with in_a_hurry():
        _begin(connection, patience, give_up)
        try:
            yield
            connection.execute("COMMIT")
        finally:
            _end(connection)


def _end(connection: sqlite3.Connection) -> None:
    # Some errors (a full disk) have rolled back already.
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _begin(connection: sqlite3.Connection, patience: float, give_up: threading.Event) -> None:
    deadline = time.monotonic() + patience
    for attempt in count():
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
            if time.monotonic() >= deadline:
                msg = (
                    f"{_file_of(connection)}: another connection held the write lock for"
                    f" {patience} s; try again, or give a longer busy_timeout"
                )
                raise StoreBusyError(msg) from error
            steps = _FIRST_RETRY_SECONDS if attempt < _FIRST_RETRIES else _RETRY_SECONDS
            if give_up.wait(random.uniform(*steps)):  # noqa: S311  # no secret
                msg = f"{_file_of(connection)}: the store was closed while waiting to write"
                raise StoreClosedError(msg) from error
        else:
            return


def _file_of(connection: sqlite3.Connection) -> str:
    # As bytes: a name need not be UTF-8.
    query = "SELECT CAST(file AS BLOB) FROM pragma_database_list WHERE name = 'main'"
    [(name,)] = connection.execute(query).fetchall()
    return os.fsdecode(name)


def is_busy(error: sqlite3.OperationalError) -> bool:
    """Say whether an error means that another connection is in the way."""
    # Without a code where Python could not read what SQLite found.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    }
