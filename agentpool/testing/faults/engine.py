"""Errors of the storage engine, raised at a chosen statement of a store on SQLite.

::

    with failing(store, 3, DISK_FULL) as injected:
        ...  # the fourth statement that the store's writer executes raises SQLITE_FULL
    assert injected.hit is not None  # it executed that many; this is the statement

Count up from 0 until nothing is hit, and a command was disturbed at each of its steps.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from agentpool import (
    AgentPoolError,
    IncompatibleStoreError,
    SqliteAgentPoolStore,
    StoreBusyError,
    StoreError,
    StoreFullError,
)
from agentpool.stores.sqlite import connection as connections

__all__ = ("DISK_FULL", "FAULTS", "Fault", "Injected", "failing", "failing_to_open")


class Fault(NamedTuple):
    """An error of the engine, and what a caller of the store is to get for it."""

    name: str
    code: int
    raised: type[sqlite3.Error]
    expected: type[AgentPoolError]

    def error(self) -> sqlite3.Error:
        """Make the error as the ``sqlite3`` module does."""
        error = self.raised(f"injected: {self.name}")
        error.sqlite_errorcode, error.sqlite_errorname = self.code, self.name
        return error

    def __str__(self) -> str:
        return self.name


_Operational = sqlite3.OperationalError
DISK_FULL: Final = Fault("FULL", sqlite3.SQLITE_FULL, _Operational, StoreFullError)
FAULTS: Final = (
    DISK_FULL,
    Fault("IOERR_SHMSIZE", sqlite3.SQLITE_IOERR_SHMSIZE, _Operational, StoreFullError),
    Fault("IOERR_READ", sqlite3.SQLITE_IOERR_READ, _Operational, StoreError),
    Fault("IOERR_WRITE", sqlite3.SQLITE_IOERR_WRITE, _Operational, StoreError),
    Fault("IOERR_FSYNC", sqlite3.SQLITE_IOERR_FSYNC, _Operational, StoreError),
    Fault("IOERR_LOCK", sqlite3.SQLITE_IOERR_LOCK, _Operational, StoreError),
    Fault("BUSY", sqlite3.SQLITE_BUSY, _Operational, StoreBusyError),
    Fault("BUSY_SNAPSHOT", sqlite3.SQLITE_BUSY_SNAPSHOT, _Operational, StoreBusyError),
    Fault("LOCKED", sqlite3.SQLITE_LOCKED, _Operational, StoreBusyError),
    Fault("PROTOCOL", sqlite3.SQLITE_PROTOCOL, _Operational, StoreBusyError),
    Fault("CORRUPT", sqlite3.SQLITE_CORRUPT, sqlite3.DatabaseError, StoreError),
    Fault("NOTADB", sqlite3.SQLITE_NOTADB, sqlite3.DatabaseError, IncompatibleStoreError),
    Fault("READONLY", sqlite3.SQLITE_READONLY, _Operational, IncompatibleStoreError),
    Fault("INTERRUPT", sqlite3.SQLITE_INTERRUPT, _Operational, StoreError),
)
"""The errors that can come from a disk, from other processes and from the file itself."""


class Injected:
    """A fault that waits for its statement.

    :ivar hit: the statement that raised it; ``None``: there were not so many
    """

    def __init__(self, step: int, fault: Fault, *, rolled_back: bool) -> None:
        self.hit: str | None = None
        self._left = step
        self._fault = fault
        self._rolled_back = rolled_back

    def count(self, sql: str, roll_back: Callable[[], object]) -> None:
        """Count a statement that is about to be executed, and raise when it is the one."""
        if self._left == 0:
            self.hit = sql
            if self._rolled_back:
                roll_back()
        self._left -= 1
        if self._left == -1:
            raise self._fault.error()


@contextmanager
def failing(
    store: SqliteAgentPoolStore,
    step: int,
    fault: Fault,
    *,
    rolled_back: bool = False,
    reader: bool = False,
) -> Iterator[Injected]:
    """Let one statement of an open store fail instead of being executed.

    :param step: 0 for the first statement in the block
    :param rolled_back: whether the engine has ended the transaction, as it does after some errors,
        or has left it open
    :param reader: fail the connection that reads, not the one that writes
    """
    injected = Injected(step, fault, rolled_back=rolled_back)
    worker = store._reader if reader else store._writer  # noqa: SLF001
    connection = worker._connection._conn  # noqa: SLF001
    plain, plain_many = connection.execute, connection.executemany

    def execute(sql: Any, parameters: Any = (), /) -> Any:
        if _is_step(sql):
            injected.count(sql, lambda: _roll_back(connection, plain))
        return plain(sql, parameters)

    def executemany(sql: str, rows: Any, /) -> Any:
        injected.count(sql, lambda: _roll_back(connection, plain))
        return plain_many(sql, rows)

    vars(connection).update(execute=execute, executemany=executemany)
    try:
        yield injected
    finally:
        del vars(connection)["execute"], vars(connection)["executemany"]


@contextmanager
def failing_to_open(step: int, fault: Fault, *, rolled_back: bool = False) -> Iterator[Injected]:
    """Let one step of opening stores fail: a connecting, or a statement, of either connection."""
    injected = Injected(step, fault, rolled_back=rolled_back)
    usual = connections._FunctionConnection  # noqa: SLF001

    class Failing(usual):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            injected.count("connect", lambda: None)
            super().__init__(*arguments, **options)

        def execute(self, sql: Any, parameters: Any = (), /) -> Any:
            plain = super().execute
            if _is_step(sql):
                injected.count(sql, lambda: _roll_back(self, plain))
            return plain(sql, parameters)

    connections._FunctionConnection = Failing  # type: ignore[misc]  # noqa: SLF001
    try:
        yield injected
    finally:
        connections._FunctionConnection = usual  # type: ignore[misc]  # noqa: SLF001


def _is_step(sql: Any) -> bool:
    """Tell statements that can fail from functions, and from ROLLBACK: it ends what it may."""
    return not callable(sql) and sql != "ROLLBACK"


def _roll_back(connection: sqlite3.Connection, execute: Callable[[str], object]) -> None:
    if connection.in_transaction:
        execute("ROLLBACK")
