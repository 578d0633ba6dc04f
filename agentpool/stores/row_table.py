"""Rows in memory, found by number, in order of their numbers, and by the time they are due at."""

from bisect import bisect_right, insort
from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Any, Generic, TypeVar

from agentpool.rules.command import Row

__all__ = ("RowTable",)

K = TypeVar("K", int, str)


class RowTable(Generic[K]):
    """Rows of one kind and name, or the deadlines of a pool.

    Nothing here looks at all rows: they are kept in order, and the heap of due times drops what
    has changed since when it comes to the top.
    """

    def __init__(self) -> None:
        self.rows: dict[K, Row] = {}
        self._order: list[K] = []
        self._due: list[tuple[int, K]] = []

    def put(self, key: K, row: Row) -> None:
        """Insert or replace a row."""
        if key not in self.rows:
            insort(self._order, key)
        self.rows[key] = row
        heappush(self._due, (row.due_at, key))

    def delete(self, key: K) -> bool:
        """Delete a row, if it is there, and say whether none is left."""
        if self.rows.pop(key, None) is not None:
            del self._order[bisect_right(self._order, key) - 1]
        return not self.rows

    def in_order(self, after: Any) -> Iterator[Row]:
        """Go through the rows after a number."""
        start = bisect_right(self._order, after)
        return (self.rows[key] for key in self._order[start:])

    def first_due(self) -> Row | None:
        """Find the row that is due first."""
        while self._due:
            due_at, key = self._due[0]
            row = self.rows.get(key)
            if row is not None and row.due_at == due_at:
                return row
            heappop(self._due)
        return None
