"""The rows of a pool in a transaction: those that are stored, and over them those that it changed.

What was changed is listed without being written first, so a transaction needs one trip to write
and none between. Where nothing has changed, the source is asked and its answer is the answer.
"""

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from operator import itemgetter
from typing import Final

from agentpool.rules.command import DEADLINE, INBOX, Row, RowKey
from agentpool.stores.batch.source import Source
from agentpool.wire.ids import I64_MAX, I64_MIN

__all__ = ("MergedRows",)

_FIRST_SIZE: Final = 16
_GROWTH: Final = 4
_DUE_AT: Final = itemgetter(0)


class MergedRows:
    """Looks up and lists rows as `PoolView` does.

    :ivar changed: the rows that were put, and ``None`` for those that were deleted
    """

    __slots__ = (
        "_deadlines",
        "_inboxes",
        "_looked_up",
        "_names",
        "_next_deadline",
        "_source",
        "_windows",
        "changed",
    )

    def __init__(self, source: Source) -> None:
        self._source = source
        self.changed: dict[RowKey, Row | None] = {}
        self._looked_up: dict[RowKey, Row | None] = {}
        self._names: dict[tuple[str, str], dict[int, Row | None]] = {}
        self._windows: dict[object, _Window] = {}
        self._inboxes: dict[str, _DueRows] = {}
        self._deadlines: _DueRows | None = None  # `None` until one was changed or deleted
        self._next_deadline: tuple[int | None] | None = None  # `None`: not looked up yet

    def put(self, row: Row) -> None:
        """Insert or replace a row."""
        self._change(row.key, row)

    def delete(self, key: RowKey) -> None:
        """Delete a row, if it is there."""
        self._change(key, None)

    def _change(self, key: RowKey, row: Row | None) -> None:
        kind, name, number = key
        if kind == DEADLINE:
            self._deadlines = self._deadlines or _DueRows()
            self._deadlines.change(self.changed.get(key), row)
            self._next_deadline = None
        elif kind == INBOX:
            if name not in self._inboxes:
                self._inboxes[name] = _DueRows()
            self._inboxes[name].change(self.changed.get(key), row)
        self.changed[key] = row
        numbers = self._names.get((kind, name))
        if numbers is None:
            numbers = self._names[kind, name] = {}
        numbers[number] = row

    def row(self, key: RowKey) -> Row | None:
        """Look up a row."""
        if key in self.changed:
            return self.changed[key]
        # Kept, for many commands of a batch look at the same lease.
        if key not in self._looked_up:
            self._looked_up[key] = self._source.row(key)
        return self._looked_up[key]

    def rows(self, kind: str, name: str, *, after: int, limit: int) -> Sequence[Row]:
        """List the rows of one name."""
        numbers = self._names.get((kind, name))
        if numbers is None:
            return self._source.rows(kind, name, after=after, limit=limit)
        listing = partial(self._source.rows, kind, name, after=after)
        stored = self._unchanged((kind, name, after), listing, limit)
        changed = [row for number, row in numbers.items() if row is not None and number > after]
        return sorted([*stored, *changed], key=_number)[:limit]

    def due(self, name: str, *, after: int, due_by: int, limit: int) -> Sequence[Row]:
        """List the rows of one inbox by the time they are due at."""
        changed = self._inboxes.get(name)
        if changed is None:
            return self._source.due(name, after=after, due_by=due_by, limit=limit)
        listing = partial(self._source.due, name, after=after, due_by=due_by)
        stored = self._unchanged((INBOX, name, after, due_by), listing, limit)
        return changed.among(stored, after, due_by, limit)

    def next_due(self, name: str) -> int | None:
        """Find the earliest time that the rows of one inbox are due at."""
        if name not in self._inboxes:
            return self._source.next_due(name)
        first = self.due(name, after=I64_MIN, due_by=I64_MAX, limit=1)
        return first[0].due_at if first else None

    def deadlines(self, due_by: int, limit: int) -> Sequence[Row]:
        """List the deadlines that are due."""
        if self._deadlines is None:
            return self._source.deadlines(due_by, limit)
        stored = self._unchanged(DEADLINE, partial(self._source.deadlines, I64_MAX), limit)
        due = self._deadlines.among(stored, I64_MIN, due_by, limit)
        return [row for row in due if row.due_at <= due_by]

    def next_deadline(self) -> int | None:
        """Find the earliest deadline; it is remembered, for each command asks for it."""
        if self._next_deadline is None:
            self._next_deadline = (self._find_next_deadline(),)
        return self._next_deadline[0]

    def _find_next_deadline(self) -> int | None:
        if self._deadlines is None:
            return self._source.next_deadline()
        first = self.deadlines(I64_MAX, 1)
        return first[0].due_at if first else None

    def _unchanged(self, listing: object, fetch: Callable[..., list[Row]], limit: int) -> list[Row]:
        window = self._windows.get(listing)
        if window is None:
            window = self._windows[listing] = _Window(fetch)
        return window.first(self.changed, limit)


class _DueRows:
    """The rows of one listing that were changed and are there, by the time they are due at."""

    __slots__ = ("_order",)

    def __init__(self) -> None:
        self._order: list[tuple[int, RowKey, Row]] = []

    def change(self, former: Row | None, row: Row | None) -> None:
        """Put a row in the place of what it was changed to before, or take that away."""
        if former is not None:
            del self._order[bisect_left(self._order, (former.due_at, former.key))]
        if row is not None:
            insort(self._order, (row.due_at, row.key, row))

    def among(self, stored: list[Row], after: int, due_by: int, limit: int) -> list[Row]:
        """Give the first of these and of some that were not changed."""
        start = bisect_right(self._order, after, key=_DUE_AT)
        end = bisect_right(self._order, due_by, key=_DUE_AT)
        changed = [row for _, _, row in self._order[start : min(end, start + limit)]]
        return sorted([*stored, *changed], key=_due_order)[:limit] if changed else stored


class _Window:
    """The beginning of one listing of stored rows, as far as it was needed.

    A row that has changed stays changed, so what is passed by once is passed by for good: many
    commands that each take the first row cost one fetch, not one longer than the other.
    """

    __slots__ = ("_complete", "_fetch", "_rows", "_size")

    def __init__(self, fetch: Callable[..., list[Row]]) -> None:
        self._fetch = fetch
        self._rows: deque[Row] = deque()
        self._size = 0
        self._complete = False

    def first(self, changed: Mapping[RowKey, Row | None], limit: int) -> list[Row]:
        """Give the first rows that have not changed."""
        while True:
            rows = self._rows
            while rows and rows[0].key in changed:
                rows.popleft()
            found = list(islice((row for row in rows if row.key not in changed), limit))
            if len(found) == limit or self._complete:
                return found
            # From the start again, which the growth pays for: no listing but this one goes on.
            self._size = min(max(_FIRST_SIZE, limit, _GROWTH * self._size), I64_MAX)
            fetched = self._fetch(limit=self._size)
            self._complete = len(fetched) < self._size
            self._rows = deque(fetched)


def _number(row: Row) -> int:
    return row.key.number


def _due_order(row: Row) -> tuple[int, RowKey]:
    return row.due_at, row.key
