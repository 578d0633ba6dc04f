"""A pool in the file as a transaction finds it, and what is written to it."""

import json
import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, Final, Never, TypeVar, cast

from agentpool.errors import CorruptRecordError, StoreError
from agentpool.rules.command import LookUps, Row, RowKey
from agentpool.stores.batch.source import Changes, Checkpoint, Open, RawRecord, Stretch
from agentpool.stores.sqlite import content, statements
from agentpool.stores.sqlite.listing import fetched, listed_rows
from agentpool.stores.sqlite.promises import refuse_lost
from agentpool.stores.sqlite.statements import Index
from agentpool.stores.sqlite.written import count_of, is_there
from agentpool.support.clock import Clock, wall_clock
from agentpool.wire.ids import I64_MAX
from agentpool.wire.payload import AT_ONCE, Lines, SealedPayload, open_lines

__all__ = ("AppendedRows", "SqliteSource")

P = TypeVar("P")

_LOG = logging.getLogger("agentpool")

_DAMAGED_AT_ONCE: Final = 1000


class AppendedRows:
    """The rows of the log that a transaction has appended.

    :ivar last: the last of them, 0 for none
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin a transaction, or forget the one that failed."""
        self._before: int = 0
        self.last: int = 0

    def add(self, count: int, last: int) -> None:
        """Add rows, which follow those before."""
        if not self.last:
            self._before = last - count
        self.last = last

    def follow(self, row: int) -> bool:
        """Say whether there are any, and a row is the one before them."""
        return self.last > 0 and row == self._before


class SqliteSource:
    """A `Source` on a connection.

    :param rows: told of the rows that are appended
    :param before_append: told of the pool, its head and how many records are new: none, before
        anything is decided, and then those that are appended
    """

    __slots__ = (
        "_before_append",
        "_clock",
        "_connection",
        "_loaded",
        "_numbers",
        "_passes_by",
        "_rows_appended",
        "pool_id",
    )

    def __init__(
        self,
        connection: sqlite3.Connection,
        pool_id: str,
        clock: Clock = wall_clock,
        before_append: Callable[[str, int, int], None] | None = None,
        rows: AppendedRows | None = None,
    ) -> None:
        self._rows_appended = rows
        self._connection = connection
        self.pool_id: Final = pool_id
        self._clock = clock
        self._before_append = before_append
        self._loaded: dict[Index, dict[str, RawRecord | None]] = {}
        self._numbers: dict[str, object] = {}
        self._passes_by = True

    def load(self, wanted: LookUps) -> None:
        # One statement is one stretch without the interpreter lock, which a thread that computes
        # keeps for milliseconds each time. Rows and inboxes are not worth it: they are found
        # within microseconds, and JSON for their keys costs as much as it saves.
        pools = (self.pool_id,) * len(statements.ALWAYS_ASKED)
        found = self._connection.execute(statements.ALWAYS, pools).fetchone()
        self._numbers = dict(zip(statements.ALWAYS_ASKED, found, strict=True))
        # Above the last number of all there is nothing to promise.
        if self._before_append is not None and 0 < (head := self.head()) < I64_MAX:
            self._before_append(self.pool_id, head, 0)
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
            self._check_numbers(map(_SEQ, raw))
            raw.sort(key=_SEQ)
            found.update((value, (seq, kind, text)) for value, seq, kind, text in raw)
        self._loaded[index] = found

    def now(self) -> int:
        return self._clock()

    def head(self) -> int:
        return self._known(statements.HEAD) or 0

    def event_sequence(self) -> int:
        return self._number(statements.EVENT_SEQUENCE) or 0

    def projected(self) -> int | None:
        return self._known(statements.PROJECTED)

    def _known(self, sql: str) -> int | None:
        if sql in self._numbers:
            return self._checked(self._numbers[sql])
        return self._number(sql)

    def _number(self, sql: str, *values: object) -> int | None:
        row = self._connection.execute(sql, (self.pool_id, *values)).fetchone()
        return None if row is None else self._checked(row[0])

    def _checked(self, number: object) -> int | None:
        if number is not None:
            self._check_numbers([number])
        return cast("int | None", number)

    def _check_numbers(self, values: Iterable[object]) -> None:
        """Refuse what is no integer: a column of SQLite holds whatever another program put there.

        :raises CorruptRecordError: one is none
        """
        others = set(map(type, values)) - {int}
        if others:
            names = ", ".join(sorted(each.__name__ for each in others))
            msg = f"there is {names} where a number is due; see `python -m agentpool doctor`"
            raise CorruptRecordError(msg, pool_id=self.pool_id)

    # --- records

    def message_by_key(self, key: str) -> RawRecord | None:
        return self._find(statements.MESSAGES_BY_KEY, key)

    def records_of_message(self, key: str, limit: int) -> list[RawRecord]:
        return self._records(statements.MESSAGES_BY_KEY.all, key, limit)

    def wake_by_key(self, key: str) -> RawRecord | None:
        return self._find(statements.WAKES_BY_KEY, key)

    def wake(self, condition_id: str) -> RawRecord | None:
        return self._find(statements.CONDITIONS, condition_id)

    def first_of_wake(self, condition_id: str) -> RawRecord | None:
        return self._record(statements.CONDITIONS.first, condition_id)

    def _find(self, index: Index, value: str) -> RawRecord | None:
        loaded = self._loaded.get(index)
        if loaded is not None and value in loaded:
            return loaded[value]
        return self._record(index.one, value)

    def stretches(self, after: int, limit: int, open_: Open[P]) -> Iterator[Stretch[P]]:
        while limit > 0:
            size = min(limit, AT_ONCE)
            found: Stretch[P] | None = self._at_once(after, size)
            numbers, payloads = found or self._one_by_one(after, size, open_)
            if numbers:
                yield numbers, payloads
            if len(numbers) < size:
                return
            after, limit = numbers[-1], limit - size

    def _at_once(self, after: int, limit: int) -> Stretch[Never] | None:
        """Read a stretch as lines; ``None`` where a record is not numbered or written as usual."""
        if self._number(statements.NEXT_LONG, after) is not None:
            return None  # here, a text that is too long would be read
        asked = (self.pool_id, after, limit)
        try:
            last, usual, *texts = self._connection.execute(statements.LINES, asked).fetchone()
        except sqlite3.DataError:
            return None  # too long together
        lines = Lines(*texts)
        if not lines.number:
            return (), ()
        if usual != lines.number or last != after + usual:
            return None
        payloads = open_lines(lines)
        return None if payloads is None else (range(after + 1, last + 1), payloads)

    def _one_by_one(self, after: int, limit: int, open_: Open[P]) -> Stretch[P]:
        rows = self.page(after, limit)
        return [seq for seq, _, _ in rows], open_(self.pool_id, rows)

    def record_at(self, seq: int) -> RawRecord | None:
        return next(iter(self.page(seq - 1, 1)), None)

    def page(self, after: int, limit: int) -> list[RawRecord]:
        return self._records(statements.PAGE, after, limit)

    def pool_page(self, after: int, upto: int) -> list[RawRecord]:
        return self._records(statements.POOL_PAGE, after, upto)

    def first_pool_record(self) -> RawRecord | None:
        return self._record(statements.FIRST_POOL_RECORD)

    def member_before(self, run_id: str, seq: int) -> RawRecord | None:
        # Counted to the one before it, since there may be no number for the one itself.
        return self._record(statements.MEMBER_BEFORE, run_id, seq - 1)

    def _record(self, sql: str, *values: object) -> RawRecord | None:
        found = self._records(sql, *values)
        return found[0] if found else None

    def _records(self, sql: str, *values: object) -> list[RawRecord]:
        found = self._fetched(sql, self.pool_id, *values)
        self._check_numbers(map(_NUMBER, found))
        return found

    def _fetched(self, sql: str, *values: object) -> list[RawRecord]:
        # All of them at once, so that no cursor stays open.
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.OperationalError as error:
            if "no such index" in str(error):  # the doctor reads files of earlier versions, too
                return self._fetched(statements.without_index(sql), *values)
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
        found = fetched(self._connection, statements.ROW, self.pool_id, *key)
        return self._row(found[0]) if found else None

    def rows(self, kind: str, name: str, *, after: int, limit: int) -> list[Row]:
        return self._rows(statements.ROWS, kind, name, after, limit)

    def due(self, name: str, *, after: int, due_by: int, limit: int) -> list[Row]:
        return self._rows(statements.DUE, name, after, due_by, limit)

    def next_due(self, name: str) -> int | None:
        return self._number(statements.NEXT_DUE, name)

    def deadlines(self, due_by: int, limit: int) -> list[Row]:
        asked = (self.pool_id, due_by)
        if self._connection.execute(statements.ARE_ROWS, (*asked, limit)).fetchone() == (0,):
            self._pass_by_damaged(asked)
        return self._rows(statements.DEADLINES, due_by, limit)

    def _pass_by_damaged(self, asked: tuple[str, int]) -> None:
        """Take away some of what is due and no row: it would be due, and in the way, for ever."""
        if self._passes_by:
            self._passes_by = False  # once a transaction, so that it stays short
            query = statements.DELETE_DAMAGED
            found = self._connection.execute(query, (self.pool_id, *asked, _DAMAGED_AT_ONCE))
            _LOG.warning(
                "passed by for good: pool %r: %s rows of kind 'deadline' that are damaged",
                self.pool_id,
                found.rowcount,
                extra={"action": "passed_by", "pool_id": self.pool_id},
            )
            self._numbers.pop(statements.NEXT_DEADLINE, None)

    def next_deadline(self) -> int | None:
        return self._known(statements.NEXT_DEADLINE)

    def _rows(self, sql: str, *values: object) -> list[Row]:
        return listed_rows(self._connection, sql, self.pool_id, *values)

    def _row(self, found: tuple[Any, ...]) -> Row:
        kind, name, number, value, due_at = found
        if (type(name), type(number), type(value), type(due_at)) != _TYPES or number < 0:
            msg = f"a row of kind {kind!r} is damaged; see `python -m agentpool doctor`"
            raise CorruptRecordError(msg, pool_id=self.pool_id)
        return Row(RowKey(kind, name, number), value, due_at)

    # --- writing

    def write(self, changes: Changes) -> None:
        self._numbers.clear()  # they change now
        self._prepare(changes)
        before = self._connection.total_changes
        self._write(changes)
        # Triggers count too, and what was not there to be deleted does not.
        meddled = self._connection.total_changes - before != count_of(changes)
        if meddled and not is_there(self, changes):
            self._refuse_swallowed(None, 1)

    def _prepare(self, changes: Changes) -> None:
        """See to all that comes before the records, and to the bodies, which see to themselves."""
        changes.refuse_beyond(self.pool_id)
        if changes.records and self._before_append is not None:
            count = len(changes.records)
            self._before_append(self.pool_id, changes.first + count - 1, count)
        if changes.bodies:
            content.keep(self._connection, changes.bodies)

    def _write(self, changes: Changes) -> None:
        if changes.records:
            self._insert(changes.first, changes.records)
            if changes.millis is not None:
                self._put(statements.PUT_TIME, changes.first, changes.millis)
        if changes.rows:
            self._write_rows(changes.rows)
        if changes.event_sequence is not None:
            self._put(statements.PUT_EVENT_SEQUENCE, changes.event_sequence)
        if changes.projected is not None:
            self._put(statements.PUT_PROJECTED, changes.projected)
        if changes.checkpoint is not None:
            seq, state_json = changes.checkpoint
            self._put(statements.PUT_CHECKPOINT, seq, state_json.decode())

    def _insert(self, first: int, records: Sequence[SealedPayload]) -> None:
        """Append records, numbered from ``first`` on."""
        rows = [(self.pool_id, first + i, kind, text) for i, (_, kind, text) in enumerate(records)]
        for size, cursor in self._together(statements.INSERT, rows):
            self._refuse_swallowed(cursor, size)
            if self._rows_appended is not None and cursor.lastrowid is not None:
                self._rows_appended.add(size, cursor.lastrowid)

    def _write_rows(self, changed: Mapping[RowKey, Row | None]) -> None:
        puts = [(self.pool_id, *key, row.value, row.due_at) for key, row in changed.items() if row]
        for size, cursor in self._together(statements.PUT_ROWS, puts):
            self._refuse_swallowed(cursor, size)
        if len(puts) < len(changed):
            deletes = [(self.pool_id, *key) for key, row in changed.items() if not row]
            self._together(statements.DELETE_ROWS, deletes)

    def _together(
        self, sql: Mapping[int, str], rows: Sequence[tuple[object, ...]]
    ) -> list[tuple[int, sqlite3.Cursor]]:
        """Execute a statement for as many rows at a time as there is one for, and give each.

        One statement is one stretch without the interpreter lock, in which the event loop can run.
        Row by row the threads would hand it to and fro, and one that computes keeps it for
        milliseconds each time, in which nobody else can write.
        """
        done: list[tuple[int, sqlite3.Cursor]] = []
        start = 0
        for size, together in sql.items():
            while len(rows) - start >= size:
                values = tuple(chain.from_iterable(rows[start : start + size]))
                done.append((size, self._connection.execute(together, values)))
                start += size
        return done

    def _put(self, sql: str, *values: object) -> None:
        self._refuse_swallowed(self._connection.execute(sql, (self.pool_id, *values)), 1)

    def _refuse_swallowed(self, inserted: sqlite3.Cursor | None, count: int) -> None:
        """Roll back rather than acknowledge what is not there: a trigger can take an insert away.

        :raises StoreError: fewer rows were inserted than there were
        """
        if inserted is None or inserted.rowcount != count:
            msg = "what was inserted is not there: a trigger, or a view, stands in the way; drop it"
            raise StoreError(msg, pool_id=self.pool_id)


_NUMBER: Final = itemgetter(0)
_SEQ: Final = itemgetter(1)
_TYPES: Final = (str, int, str, int)
