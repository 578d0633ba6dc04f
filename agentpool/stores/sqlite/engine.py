"""The transactions of a handle on the file, and when a commit waits for the disk."""

import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from agentpool.stores.sqlite.connection import read_transaction, write_transaction
from agentpool.stores.sqlite.place import Guard
from agentpool.stores.sqlite.promises import Promises
from agentpool.stores.sqlite.source import AppendedRows, SqliteSource
from agentpool.support.clock import Clock

__all__ = ("SqliteEngine", "Writing")

R = TypeVar("R")


class _MustWaitForDisk(Exception):  # noqa: N818  # not an error: the work is done anew
    """Raised when a commit that does not wait for the disk would show too much."""


@dataclass
class Writing:
    """How a handle writes, and what its writing connection was told.

    :ivar guard: says whether the file is still there
    :ivar refresh: has what the connection remembers forgotten, where the file no longer says it
    :ivar patience: seconds to wait for the write lock
    :ivar give_up: ends that waiting at once
    :ivar level: the ``synchronous`` of the connection; ``None``: not known
    :ivar rows: what the last transaction has appended
    """

    clock: Clock
    guard: Guard
    refresh: Callable[[sqlite3.Connection], None]
    patience: float
    give_up: threading.Event
    synchronous: str
    promises: Promises
    level: str | None = None
    rows: AppendedRows = field(default_factory=AppendedRows)


class SqliteEngine:
    """An `Engine` on a connection."""

    __slots__ = ("_promises", "_writing", "connection")

    errors: Final = (sqlite3.Error,)

    def __init__(self, connection: sqlite3.Connection, writing: Writing) -> None:
        self.connection: Final[sqlite3.Connection] = connection
        self._writing = writing
        self._promises: bool = False

    def transact(self, work: Callable[[], R], *, durable: bool) -> R:
        """Commit; without waiting for the disk where nothing has to survive a power cut.

        Where that would show too much, nothing was committed yet, and a commit that waits is next.
        """
        self._set_level(self._writing.synchronous if durable else "NORMAL")
        try:
            return self._transact(work)
        except _MustWaitForDisk:
            self._set_level("FULL")
        return self._transact(work)

    def _transact(self, work: Callable[[], R]) -> R:
        writing = self._writing
        writing.rows.clear()
        waits = writing.level == writing.synchronous == "FULL"
        self._promises = not waits
        # Nothing is written to what nobody else can see, nor acknowledged, should it have gone
        # meanwhile. Not looked at in between, where others wait for the lock.
        writing.guard.check()
        try:
            with write_transaction(self.connection, writing.patience, writing.give_up):
                writing.refresh(self.connection)
                done = work()
        except BaseException:
            writing.rows.clear()
            writing.promises.forget()  # what was promised in it is not
            raise
        writing.guard.check()
        return done

    def read(self, work: Callable[[], None]) -> None:
        self._promises = False
        with read_transaction(self.connection):
            self._writing.refresh(self.connection)
            work()

    def _set_level(self, level: str) -> None:
        """Tell SQLite, which wants it before the transaction, and again when telling it failed."""
        writing = self._writing
        if level != writing.level:
            writing.level = None
            self.connection.execute(f"PRAGMA synchronous = {level}")
            writing.level = level

    def source(self, pool_id: str) -> SqliteSource:
        clock, rows = self._writing.clock, self._writing.rows
        hook = self._promise if self._promises else None
        return SqliteSource(self.connection, pool_id, clock, hook, rows)

    def _promise(self, pool_id: str, head: int, appended: int) -> None:
        """See to it that a power cut takes no record that was shown, or that it can be told.

        :raises _MustWaitForDisk: this commit does not, and would have to
        """
        if self._is_promised(pool_id, head, appended):
            return
        if self._writing.level != "FULL":
            raise _MustWaitForDisk
        self._writing.promises.extend(self.connection, pool_id, head, appended)

    def _is_promised(self, pool_id: str, head: int, appended: int) -> bool:
        promises = self._writing.promises
        if self._writing.synchronous == "FULL":
            return not appended
        # What is decided on is done anew where it is not, so that is seen to before.
        enough = promises.cover if appended else promises.reaches
        return enough(self.connection, pool_id, head)
