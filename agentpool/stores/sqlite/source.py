"""A pool in the file as a transaction finds it, and the transactions that write."""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from typing import Any, Final, TypeVar

from agentpool.rules.command import LookUps, Row, RowKey
from agentpool.stores.batch.source import EVER, Changes, Checkpoint, RawRecord
from agentpool.stores.sqlite import statements
from agentpool.stores.sqlite.connection import write_transaction
from agentpool.stores.sqlite.promises import Promises, refuse_lost
from agentpool.stores.sqlite.statements import Index
from agentpool.support.clock import Clock, wall_clock
from agentpool.wire.payload import SealedPayload

__all__ = ("SqliteEngine", "SqliteSource", "Writing")

R = TypeVar("R")


class SqliteSource:
    """A `Source` on a connection.

    :param before_append: told of the pool, its new head and how many records are new
    """

    __slots__ = ("_before_append", "_clock", "_connection", "_loaded", "pool_id")

    def __init__(
        self,
        connection: sqlite3.Connection,
        pool_id: str,
        clock: Clock = wall_clock,
        before_append: Callable[[str, int, int], None] | None = None,
    ) -> None:
        self._connection = connection
        self.pool_id: Final = pool_id
        self._clock = clock
        self._before_append = before_append
        self._loaded: dict[Index, dict[str, RawRecord | None]] = {}

    def load(self, wanted: LookUps) -> None:
        # One statement for many keys is one stretch without the interpreter lock. Rows and
        # inboxes are not worth it: they are found within microseconds, and JSON for their keys
        # costs as much as it saves.
        if len(wanted.message_keys) > 1:
            self._load(statements.MESSAGES_BY_KEY, wanted.message_keys)
        if len(wanted.wake_keys) > 1:
            self._load(statements.WAKES_BY_KEY, wanted.wake_keys)
        if len(wanted.condition_ids) > 1:
            self._load(statements.CONDITIONS, wanted.condition_ids)

    def _load(self, index: Index, values: Iterable[str]) -> None:
        found: dict[str, RawRecord | None] = dict.fromkeys(values)
        keys = json.dumps(list(found))
        raw = self._connection.execute(index.many, (self.pool_id, keys)).fetchall()
        if raw:
            raw.sort(key=_SEQ)
            found.update((value, (seq, kind, text)) for value, seq, kind, text in raw)
        self._loaded[index] = found

    def now(self) -> int:
        return self._clock()

    def head(self) -> int:
        return self._number(statements.HEAD) or 0

    def event_sequence(self) -> int:
        return self._number(statements.EVENT_SEQUENCE) or 0

    def projected(self) -> int | None:
        return self._number(statements.PROJECTED)

    def _number(self, sql: str, *values: object) -> int | None:
        row = self._connection.execute(sql, (self.pool_id, *values)).fetchone()
        return None if row is None or row[0] is None else int(row[0])

    # --- records

    def message_by_key(self, key: str) -> RawRecord | None:
        return self._find(statements.MESSAGES_BY_KEY, key)

    def wake_by_key(self, key: str) -> RawRecord | None:
        return self._find(statements.WAKES_BY_KEY, key)

    def wake(self, condition_id: str) -> RawRecord | None:
        return self._find(statements.CONDITIONS, condition_id)

    def _find(self, index: Index, value: str) -> RawRecord | None:
        loaded = self._loaded.get(index)
        if loaded is not None and value in loaded:
            return loaded[value]
        return self._record(index.one, value)

    def page(self, after: int, limit: int) -> list[RawRecord]:
        return self._records(statements.PAGE, after, limit)

    def pool_page(self, after: int, upto: int) -> list[RawRecord]:
        return self._records(statements.POOL_PAGE, after, upto)

    def first_pool_record(self) -> RawRecord | None:
        return self._record(statements.FIRST_POOL_RECORD)

    def member_before(self, run_id: str, seq: int) -> RawRecord | None:
        return self._record(statements.MEMBER_BEFORE, run_id, seq)

    def _record(self, sql: str, *values: object) -> RawRecord | None:
        found = self._records(sql, *values)
        return found[0] if found else None

    def _records(self, sql: str, *values: object) -> list[RawRecord]:
        # All of them at once, so that no cursor stays open.
        values = (self.pool_id, *values)
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.OperationalError as error:
            if hasattr(error, "sqlite_errorcode"):
                raise  # of the engine, and not of what was made of its bytes
        # A kind that is no UTF-8, which is for that record to suffer; it is none that is known.
        found = self._connection.execute(statements.with_kind_as_bytes(sql), values).fetchall()
        return [(seq, bytes(kind).decode(errors="replace"), text) for seq, kind, text in found]

    def refuse_lost(self, after: int, head: int) -> None:
        refuse_lost(self._connection, self.pool_id, after, head)

    def time_of(self, seq: int) -> int | None:
        return self._number(statements.TIME, seq)

    def checkpoint(self) -> Checkpoint | None:
        row = self._connection.execute(statements.CHECKPOINT, (self.pool_id,)).fetchone()
        return None if row is None else Checkpoint(*row)

    # --- rows

    def row(self, key: RowKey) -> Row | None:
        found = self._connection.execute(statements.ROW, (self.pool_id, *key)).fetchone()
        return None if found is None else _row(found)

    def rows(
        self, kind: str, name: str, *, after: int, limit: int, due_by: int | None
    ) -> list[Row]:
        due = EVER if due_by is None else due_by
        return self._rows(statements.ROWS, kind, name, after, due, limit)

    def next_due(self, name: str) -> int | None:
        return self._number(statements.NEXT_DUE, name)

    def deadlines(self, due_by: int, limit: int) -> list[Row]:
        return self._rows(statements.DEADLINES, due_by, limit)

    def next_deadline(self) -> int | None:
        return self._number(statements.NEXT_DEADLINE)

    def _rows(self, sql: str, *values: object) -> list[Row]:
        found = self._connection.execute(sql, (self.pool_id, *values)).fetchall()
        return [_row(each) for each in found]

    # --- writing

    def write(self, changes: Changes) -> None:
        if changes.records:
            self._append(changes)
        if changes.rows:
            self._write_rows(changes.rows)
        if changes.event_sequence is not None:
            self._put(statements.PUT_EVENT_SEQUENCE, changes.event_sequence)
        if changes.projected is not None:
            self._put(statements.PUT_PROJECTED, changes.projected)
        if changes.checkpoint is not None:
            seq, state_json = changes.checkpoint
            self._put(statements.PUT_CHECKPOINT, seq, state_json.decode())

    def _append(self, changes: Changes) -> None:
        first, records = changes.first, changes.records
        if self._before_append is not None:
            self._before_append(self.pool_id, first + len(records) - 1, len(records))
        self._insert(first, records)
        if changes.millis is not None:
            self._put(statements.PUT_TIME, first, changes.millis)

    def _insert(self, first: int, records: Sequence[SealedPayload]) -> None:
        """Append records, numbered from ``first`` on.

        Many rows a statement: one statement is one stretch without the interpreter lock, in which
        the event loop can run; row by row the two threads would hand the lock to and fro.
        """
        rows = [(self.pool_id, first + i, kind, text) for i, (_, kind, text) in enumerate(records)]
        start = 0
        for size in statements.INSERT_SIZES:
            while len(rows) - start >= size:
                values = list(chain.from_iterable(rows[start : start + size]))
                self._connection.execute(statements.INSERT[size], values)
                start += size

    def _write_rows(self, changed: Mapping[RowKey, Row | None]) -> None:
        puts = [(self.pool_id, *key, row.value, row.due_at) for key, row in changed.items() if row]
        if puts:
            self._connection.executemany(statements.PUT_ROW, puts)
        if len(puts) < len(changed):
            deletes = [(self.pool_id, *key) for key, row in changed.items() if not row]
            self._connection.executemany(statements.DELETE_ROW, deletes)

    def _put(self, sql: str, *values: object) -> None:
        self._connection.execute(sql, (self.pool_id, *values))


_SEQ: Final = itemgetter(1)


def _row(found: tuple[Any, ...]) -> Row:
    kind, name, number, value, due_at = found
    return Row(RowKey(kind, name, number), value, due_at)


class _MustWaitForDisk(Exception):  # noqa: N818  # not an error: the work is done anew
    """Raised when a commit that does not wait for the disk would show too much."""


@dataclass
class Writing:
    """How a handle writes, and what its writing connection was told.

    :ivar patience: seconds to wait for the write lock
    :ivar give_up: ends that waiting at once
    :ivar level: the ``synchronous`` of the connection; ``None``: not known
    """

    clock: Clock
    patience: float
    give_up: threading.Event
    synchronous: str
    level: str | None = None
    promises: Promises = field(default_factory=Promises)


class SqliteEngine:
    """An `Engine` on a connection."""

    __slots__ = ("_connection", "_writing")

    errors: Final = (sqlite3.Error,)

    def __init__(self, connection: sqlite3.Connection, writing: Writing) -> None:
        self._connection = connection
        self._writing = writing

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
        with write_transaction(self._connection, self._writing.patience, self._writing.give_up):
            return work()

    def read(self, work: Callable[[], None]) -> None:
        self._connection.execute("BEGIN")
        try:
            work()
        finally:
            # Some errors have rolled back already.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _set_level(self, level: str) -> None:
        """Tell SQLite, which wants it before the transaction, and again when telling it failed."""
        writing = self._writing
        if level != writing.level:
            writing.level = None
            self._connection.execute(f"PRAGMA synchronous = {level}")
            writing.level = level

    def source(self, pool_id: str) -> SqliteSource:
        writing = self._writing
        waits = writing.level == writing.synchronous == "FULL"
        hook = None if waits else self._promise
        return SqliteSource(self._connection, pool_id, writing.clock, hook)

    def _promise(self, pool_id: str, head: int, appended: int) -> None:
        """See to it that a power cut takes no record that was shown, or that it can be told.

        :raises _MustWaitForDisk: this commit does not, and would have to
        """
        writing, promises = self._writing, self._writing.promises
        if writing.synchronous == "NORMAL" and promises.cover(self._connection, pool_id, head):
            return
        if writing.level != "FULL":
            raise _MustWaitForDisk
        promises.extend(self._connection, pool_id, head, appended)
