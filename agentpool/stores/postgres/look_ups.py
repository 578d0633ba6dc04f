"""What a batch declared to look up of a pool: asked for at once, and sorted when it has come."""

from collections import Counter
from collections.abc import Callable, Collection
from functools import partial
from itertools import groupby
from typing import Final, NamedTuple, TypeAlias

from agentpool.rules.command import DEADLINE, LookUps, Row, RowKey
from agentpool.stores.batch.source import RawRecord
from agentpool.stores.postgres import statements
from agentpool.stores.postgres.listings import BACK, Inbox, Listing, row_of
from agentpool.stores.postgres.pipeline import Answer, Pipeline, Statement, Tuple
from agentpool.stores.postgres.values import Parameter, bigints, texts
from agentpool.wire.ids import I64_MAX

__all__ = ("Loaded", "Numbers", "ReplacedError", "columns_of", "record_of")

_LISTED: Final = 16
_NEW_RECORDS: Final = 64
_BEFORE_ALL: Final = -1
_AT_ONCE: Final = (1, 16, 64, 256)
"""How much may be listed of an inbox, by how much is taken, as `MergedRows` does."""

_Take: TypeAlias = Callable[[list[Tuple]], None]


def record_of(row: Tuple) -> RawRecord:
    """Make a record of a row of its table."""
    seq, kind, payload = row
    return int(seq), kind.decode(), payload


def columns_of(keys: Collection[RowKey]) -> tuple[Parameter, Parameter, Parameter]:
    """Make the parameters that are the keys of rows."""
    kinds, names, numbers = zip(*keys, strict=True) if keys else ((), (), ())
    return texts(kinds), texts(names), bigints(numbers)


class ReplacedError(Exception):
    """The number of a pool stands for it no more: the tables are others than before."""


class Numbers(NamedTuple):
    """What nearly every transaction looks up of a pool; see `Source`.

    :ivar now: where a transaction writes, the time of the server, in milliseconds
    :ivar xid: likewise, the number of the transaction
    """

    head: int = 0
    event_sequence: int = 0
    projected: int | None = None
    next_deadline: int | None = None
    now: int = 0
    xid: str = ""


class Loaded:
    """What was asked for of one pool in one trip; nothing, of a pool that is not there.

    :ivar was_asked: whether anything was asked for
    :param number: what stands for the pool; ``None``: it is not there
    :param writes: whether it is asked for in a transaction that writes
    :param fell_far_behind: told that more is new than was asked for to bring the state up to date
    """

    def __init__(
        self,
        pipeline: Pipeline,
        pool_id: str,
        number: int | None,
        fell_far_behind: Callable[[], None],
        *,
        writes: bool,
    ) -> None:
        self._pipeline = pipeline
        self._pool_id = pool_id
        self._number = number
        self._fell_far_behind = fell_far_behind
        self._writes = writes
        self._asked: list[tuple[Answer, _Take]] = []
        self.was_asked: bool = False
        self._numbers: Numbers | None = None if number is not None else Numbers()
        self._records: dict[int, RawRecord] = {}
        self._rows: dict[RowKey, Row | None] = {}
        self._latest: dict[Statement, dict[str, RawRecord | None]] = {}
        self._inboxes: dict[str, Inbox] = {}
        self._listings: dict[tuple[str, str], Listing] = {}
        self._deadlines: Listing | None = None
        self._reads_page = False
        self._page: tuple[int, list[RawRecord]] | None = None
        self._new: tuple[int, list[RawRecord]] | None = None

    def ask(self, wanted: LookUps, known: int | None) -> None:
        """Ask for what is declared, with the next trip.

        :param known: the record up to which the state of the pool is known; ``None``: it is not
        """
        self.was_asked = True
        self._ask_for_numbers(known)
        for statement, values in (
            (statements.MESSAGES_BY_KEY, _all_keys(wanted)),
            (statements.WAKES_BY_KEY, wanted.wake_keys),
            (statements.WAKES_BY_CONDITION, wanted.condition_ids),
        ):
            if values:
                self._ask(partial(self._take_latest, statement, values), statement, texts(values))
        if wanted.rows:
            take_rows = partial(self._take_rows, wanted.rows)
            self._ask(take_rows, statements.ROWS_BY_KEY, *columns_of(wanted.rows))
        if wanted.listings:
            self._ask_for_listings(wanted.listings)
        if wanted.read_after:
            after, self._reads_page = min(*wanted.read_after, I64_MAX), True
            self._ask(partial(self._take_page, after), statements.PAGE, after, _NEW_RECORDS)
        if wanted.deadlines:
            limit = _at_once(len(wanted.deadlines) + 1)
            take = partial(self._take_deadlines, limit)
            self._ask(take, statements.DEADLINES, I64_MAX, limit)
        for run_id, wanting in groupby(sorted(wanted.inboxes)):
            self._ask_for_inbox(run_id, _at_once(len(list(wanting))))

    def _ask_for_numbers(self, known: int | None) -> None:
        take = partial(self._take_numbers, known)
        if self._writes:
            self._ask(take, statements.LOOK, I64_MAX if known is None else known)
        elif known is None:
            self._ask(take, statements.NUMBERS)
        else:
            self._ask(take, statements.NUMBERS_AND_NEWS, known)

    def _ask_for_listings(self, wanted: tuple[RowKey, ...]) -> None:
        counts = Counter((key.kind, key.name) for key in wanted)
        limit = _at_once(max(_LISTED, *counts.values()))
        first = {(key.kind, key.name): key for key in sorted(wanted, reverse=True)}.values()
        self._listings = {(key.kind, key.name): Listing(key.number, limit) for key in first}
        self._ask(self._take_listings, statements.FIRST_ROWS, *columns_of(first), limit)

    def _ask_for_inbox(self, run_id: str, expected: int) -> None:
        limit = expected + 1  # so that it is known whether there is more
        inbox = self._inboxes[run_id] = Inbox(limit)
        self._ask(
            partial(self._take_messages, inbox), statements.FIRST_TO_TAKE, run_id, limit, DEADLINE
        )
        self._ask(inbox.take_back, statements.DUE, run_id, 0, I64_MAX, BACK)

    def _ask(self, take: _Take, statement: Statement, *parameters: Parameter) -> None:
        if self._number is not None:
            answer = self._pipeline.ask(statement, self._number, *parameters)
            self._asked.append((answer, take))

    def _arrive(self) -> None:
        asked, self._asked = self._asked, []
        for answer, take in asked:
            take(answer.rows)

    # --- what came

    def _take_numbers(self, known: int | None, rows: list[Tuple]) -> None:
        if not rows or rows[0][4].decode() != self._pool_id:
            raise ReplacedError(self._pool_id)
        head, event_sequence, projected, due = rows[0][:4]
        now, xid = rows[0][8:] if self._writes else (0, b"")
        self._numbers = Numbers(
            int(head or 0),
            int(event_sequence),
            None if projected is None else int(projected),
            None if due is None else int(due),
            int(now),
            xid.decode(),
        )
        if known is not None:
            self._take_news(known, [row[5:8] for row in rows if row[5] is not None])

    def _take_news(self, known: int, rows: list[Tuple]) -> None:
        if len(rows) < statements.MOST_NEWS:
            self._new = known, [record_of(row) for row in rows]
        else:  # there may be more of them
            self._fell_far_behind()

    def _take_latest(
        self, statement: Statement, values: tuple[str, ...], rows: list[Tuple]
    ) -> None:
        found = self._latest.setdefault(statement, {})
        found.update(dict.fromkeys(values))
        found.update((row[0].decode(), record_of(row[1:])) for row in rows)

    def _take_rows(self, keys: tuple[RowKey, ...], rows: list[Tuple]) -> None:
        self._rows.update(dict.fromkeys(keys))
        self._rows.update((row.key, row) for row in map(row_of, rows))

    def _take_listings(self, rows: list[Tuple]) -> None:
        for row in map(row_of, rows):
            self._rows[row.key] = row
            self._listings[row.key.kind, row.key.name].rows.append(row)

    def _take_page(self, after: int, rows: list[Tuple]) -> None:
        if len(rows) < _NEW_RECORDS:  # else there may be more of them
            self._page = after, [record_of(row) for row in rows]

    def _take_deadlines(self, limit: int, rows: list[Tuple]) -> None:
        self._deadlines = Listing(_BEFORE_ALL, limit)
        self._deadlines.rows += map(row_of, rows)

    def _take_messages(self, inbox: Inbox, rows: list[Tuple]) -> None:
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
        assert self._numbers is not None  # noqa: S101  # they were asked for
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

    def row(self, key: RowKey) -> tuple[Row | None] | None:
        """Give a row, or ``None`` in it where there is none; ``None``: that is not known here."""
        rows = self.rows
        if key not in rows:
            listing = self._listings.get((key.kind, key.name))
            if listing is None or not listing.covers(key.number):
                return None
        return (rows.get(key),)

    def listed(self, kind: str, name: str, after: int, limit: int) -> list[Row] | None:
        """List rows of a name as `Source.rows` does; ``None``: not all of them are here."""
        self._arrive()
        listing = self._listings.get((kind, name))
        return None if listing is None else listing.first(after, limit)

    def deadlines(self, due_by: int, limit: int) -> list[Row] | None:
        """List deadlines as `Source.deadlines` does; ``None``: not all of them are here."""
        self._arrive()
        found = None if self._deadlines is None else self._deadlines.first(_BEFORE_ALL, limit)
        return None if found is None else [row for row in found if row.due_at <= due_by]

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

    def page(self, after: int, limit: int) -> list[RawRecord] | None:
        """List records after a number; ``None``: they are not here."""
        if limit == 1 and (known := self.records.get(after + 1)):
            return [known]
        if self._reads_page:
            self._arrive()
        if self._page is None or after < self._page[0]:
            return None
        return [record for record in self._page[1] if record[0] > after][:limit]

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


def _all_keys(wanted: LookUps) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*wanted.message_keys, *wanted.likely_keys)))


def _at_once(count: int) -> int:
    return next((each for each in _AT_ONCE if each >= count), count)
