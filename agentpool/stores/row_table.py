"""Rows in memory, found by number, in order of their numbers, and by the time they are due at."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from itertools import count
from operator import itemgetter
from typing import Any, Generic, TypeVar

from agentpool.rules.command import Row

__all__ = ("RowTable",)

K = TypeVar("K", int, str)


class RowTable(Generic[K]):
    """Rows of one kind and name, or the deadlines of a pool.

    Nothing here looks at all rows: they are kept in both orders.
    """

    def __init__(self) -> None:
        self.rows: dict[K, Row] = {}
        self._order: list[K] = []
        self._due: list[tuple[int, K]] = []

    def put(self, key: K, row: Row) -> None:
        """Insert or replace a row."""
        if key in self.rows:
            self._forget_due(key)
        else:
            insort(self._order, key)
        self.rows[key] = row
        insort(self._due, (row.due_at, key))

    def delete(self, key: K) -> bool:
        """Delete a row, if it is there, and say whether none is left."""
        if key in self.rows:
            self._forget_due(key)
            del self._order[bisect_left(self._order, key)]
            del self.rows[key]
        return not self.rows

    def _forget_due(self, key: K) -> None:
        del self._due[bisect_left(self._due, (self.rows[key].due_at, key))]

    def in_order(self, after: Any) -> Iterator[Row]:
        """Go through the rows after a number."""
        for place in count(bisect_right(self._order, after)):
            if place >= len(self._order):
                return
            yield self.rows[self._order[place]]

    def by_due(self, after: int, due_by: int) -> Iterator[Row]:
        """Go through the rows that are due between two times, the first of them excluded."""
        for place in count(bisect_right(self._due, after, key=itemgetter(0))):
            if place >= len(self._due) or self._due[place][0] > due_by:
                return
            yield self.rows[self._due[place][1]]

    def next_due(self) -> int | None:
        """Find the time that the first row is due at."""
        return self._due[0][0] if self._due else None
