"""What a batch declared to look up of a pool: asked for at once, and sorted when it has come."""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import groupby
from typing import Final, NamedTuple, TypeAlias

from agentpool.rules.command import DEADLINE, LookUps, Row, RowKey
from agentpool.stores.batch.source import RawRecord
from agentpool.stores.postgres import statements
from agentpool.stores.postgres.pipeline import Answer, Pipeline, Statement, Tuple
from agentpool.stores.postgres.values import Parameter, bigints, texts
from agentpool.wire.ids import I64_MAX

__all__ = ("Loaded", "Numbers", "ReplacedError", "columns_of", "record_of", "row_of")

_POOL_RECORDS: Final = 100
_BACK: Final = 8
_AT_ONCE: Final = (1, 16, 64, 256)
"""How much may be listed of an inbox, by how much is taken, as `MergedRows` does."""

_Take: TypeAlias = Callable[[list[Tuple]], None]


def record_of(row: Tuple) -> RawRecord:
    """Make a record of a row of its table."""
    seq, kind, payload = row
    return int(seq), kind.decode(), payload


def row_of(row: Tuple) -> Row:
    """Make a row of one of its table."""
    kind, name, number, value, due_at = row
    return Row(RowKey(kind.decode(), name.decode(), int(number)), value.decode(), int(due_at))


def columns_of(keys: Iterable[RowKey]) -> tuple[Parameter, Parameter, Parameter]:
    """Make the parameters that are the keys of rows."""
    kinds, names, numbers = zip(*keys, strict=True)
    return texts(kinds), texts(names), bigints(numbers)


class ReplacedError(Exception):
    """The number of a pool stands for it no more: the tables are others than before."""


class Numbers(NamedTuple):
    """What nearly every transaction looks up of a pool; see `Source`."""

    head: int = 0
    event_sequence: int = 0
    projected: int | None = None
    next_deadline: int | None = None


class Loaded:
    """What was asked for of one pool in one trip; nothing, of a pool that is not there.

    :param number: what stands for the pool; ``None``: it is not there
    """

    def __init__(self, pipeline: Pipeline, pool_id: str, number: int | None) -> None:
        self._pipeline = pipeline
        self._pool_id = pool_id
        self._number = number
        self._asked: list[tuple[Answer, _Take]] = []
        self._numbers: Numbers | None = None if number is not None else Numbers()
        self._records: dict[int, RawRecord] = {}
        self._rows: dict[RowKey, Row | None] = {}
        self._latest: dict[Statement, dict[str, RawRecord | None]] = {}
        self._inboxes: dict[str, _Inbox] = {}
        self._new: tuple[int, list[RawRecord]] | None = None

    def ask(self, wanted: LookUps, known: int | None) -> None:
        """Ask for what is declared, with the next trip.

        :param known: the record up to which the state of the pool is known; ``None``: it is not
        """
        self._ask(self._take_numbers, statements.NUMBERS)
        if known is not None:
            take_new = partial(self._take_new, known)
            self._ask(take_new, statements.POOL_PAGE, known, I64_MAX, _POOL_RECORDS)
        for statement, values in (
            (statements.MESSAGES_BY_KEY, wanted.message_keys),
            (statements.WAKES_BY_KEY, wanted.wake_keys),
            (statements.WAKES_BY_CONDITION, wanted.condition_ids),
        ):
            if values:
                self._ask(partial(self._take_latest, statement, values), statement, texts(values))
        if wanted.rows:
            take_rows = partial(self._take_rows, wanted.rows)
            self._ask(take_rows, statements.ROWS_BY_KEY, *columns_of(wanted.rows))
        for run_id, wanting in groupby(sorted(wanted.inboxes)):
            count = len(list(wanting))
            self._ask_for_inbox(run_id, next((each for each in _AT_ONCE if each >= count), count))

    def _ask_for_inbox(self, run_id: str, expected: int) -> None:
        limit = expected + 1  # so that it is known whether there is more
        inbox = self._inboxes[run_id] = _Inbox(limit)
        self._ask(partial(self._take_messages, inbox), statements.FIRST_TO_TAKE, run_id, limit)
        self._ask(inbox.take_back, statements.DUE, run_id, 0, I64_MAX, _BACK)

    def _ask(self, take: _Take, statement: Statement, *parameters: Parameter) -> None:
        if self._number is not None:
            answer = self._pipeline.ask(statement, self._number, *parameters)
            self._asked.append((answer, take))

    def _arrive(self) -> None:
        asked, self._asked = self._asked, []
        for answer, take in asked:
            take(answer.rows)

    # --- what came

    def _take_numbers(self, rows: list[Tuple]) -> None:
        if not rows or rows[0][-1].decode() != self._pool_id:
            raise ReplacedError(self._pool_id)
        head, event_sequence, projected, due, _ = rows[0]
        self._numbers = Numbers(
            int(head or 0),
            int(event_sequence),
            None if projected is None else int(projected),
            None if due is None else int(due),
        )

    def _take_new(self, known: int, rows: list[Tuple]) -> None:
        if len(rows) < _POOL_RECORDS:  # else there may be more of them
            self._new = known, [record_of(row) for row in rows]

    def _take_latest(
        self, statement: Statement, values: tuple[str, ...], rows: list[Tuple]
    ) -> None:
        found = self._latest.setdefault(statement, {})
        found.update(dict.fromkeys(values))
        found.update((row[0].decode(), record_of(row[1:])) for row in rows)

    def _take_rows(self, keys: tuple[RowKey, ...], rows: list[Tuple]) -> None:
        self._rows.update(dict.fromkeys(keys))
        self._rows.update((row.key, row) for row in map(row_of, rows))

    def _take_messages(self, inbox: "_Inbox", rows: list[Tuple]) -> None:
        """Keep what can be taken, the records, the latest of each message, and its expiry."""
        inbox.there = [row_of(row[:5]) for row in rows]
        latest = self._latest.setdefault(statements.MESSAGES_BY_KEY, {})
        for row in rows:
            seq, kind, payload, key, last, last_payload, expiry, value, due_at = row[5:]
            if seq is None or key is None:
                continue  # it names no message, whose reader finds that out
            record = record_of((seq, kind, payload))
            is_last = int(last) == record[0]
            self._records[record[0]] = record
            latest[key.decode()] = record if is_last else (int(last), record[1], last_payload)
            name = RowKey(DEADLINE, expiry.decode())
            self._rows[name] = None if due_at is None else Row(name, value.decode(), int(due_at))

    # --- what is asked for

    @property
    def numbers(self) -> Numbers:
        """What nearly every transaction looks up."""
        self._arrive()
        if self._numbers is None:
            self._ask(self._take_numbers, statements.NUMBERS)
            self._arrive()
        assert self._numbers is not None  # noqa: S101  # they have come
        return self._numbers

    @property
    def records(self) -> dict[int, RawRecord]:
        """Records by their numbers; others may be added."""
        self._arrive()
        return self._records

    @property
    def rows(self) -> dict[RowKey, Row | None]:
        """Rows by their keys, and ``None`` where there is none; others may be added."""
        self._arrive()
        return self._rows

    def latest(self, statement: Statement) -> dict[str, RawRecord | None]:
        """Give what was found by one kind of key; others may be added."""
        self._arrive()
        return self._latest.setdefault(statement, {})

    def new_pool_records(self, after: int) -> list[RawRecord] | None:
        """List all records after a number that are no messages; ``None``: they are not here."""
        self._arrive()
        if self._new is None or self._new[0] != after:
            return None
        return self._new[1]

    def due(self, name: str, after: int, due_by: int, limit: int) -> list[Row] | None:
        """List rows of an inbox as `Source.due` does; ``None``: they are not here."""
        self._arrive()
        inbox = self._inboxes.get(name)
        return None if inbox is None else inbox.due(after, due_by, limit)

    def next_due(self, name: str) -> tuple[int | None] | None:
        """Say when something of an inbox is due first; ``None``: that is not known here."""
        self._arrive()
        inbox = self._inboxes.get(name)
        return None if inbox is None else (inbox.next_due,)


class _Inbox:
    """What can be taken first from an inbox, and what comes back to it first.

    :param limit: how much was asked for of the one
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._back: list[Row] = []
        self.there: list[Row] = []

    def take_back(self, rows: list[Tuple]) -> None:
        """Keep what comes back."""
        self._back = [row_of(row) for row in rows]

    @property
    def next_due(self) -> int | None:
        """When something is due first; ``None``: nothing will ever be."""
        rows = self.there or self._back
        return rows[0].due_at if rows else None

    def due(self, after: int, due_by: int, limit: int) -> list[Row] | None:
        """List rows as `Source.due` does; ``None``: not all of them are here."""
        if after < 0 and due_by == 0:
            rows, is_all = self.there, len(self.there) < self._limit
        elif after == 0:
            rows = [row for row in self._back if row.due_at <= due_by]
            is_all = len(rows) < len(self._back) or len(self._back) < _BACK
        else:
            return None
        return rows[:limit] if is_all or limit <= len(rows) else None
