"""The beginnings of listings: what was fetched of each, and what can be told by it."""

from typing import Final

from agentpool.rules.command import Row, RowKey
from agentpool.stores.postgres.pipeline import Tuple

__all__ = ("BACK", "Inbox", "Listing", "row_of")

BACK: Final = 8
"""How much is fetched of what comes back to an inbox."""


def row_of(row: Tuple) -> Row:
    """Make a row of one of its table."""
    kind, name, number, value, due_at = row
    return Row(RowKey(kind.decode(), name.decode(), int(number)), value.decode(), int(due_at))


class Listing:
    """The first rows of one listing.

    :param after: the number after which they come
    :param limit: how many were asked for
    """

    def __init__(self, after: int, limit: int) -> None:
        self._after = after
        self._limit = limit
        self.rows: list[Row] = []

    def first(self, after: int, limit: int) -> list[Row] | None:
        """Give the first of them after a number; ``None``: they are not all here."""
        if after < self._after:
            return None
        rows = [row for row in self.rows if row.key.number > after]
        is_all = len(self.rows) < self._limit
        return rows[:limit] if is_all or limit <= len(rows) else None

    def covers(self, number: int) -> bool:
        """Say whether a row with this number would be among them."""
        if number <= self._after:
            return False
        return len(self.rows) < self._limit or number <= self.rows[-1].key.number


class Inbox:
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
            is_all = len(rows) < len(self._back) or len(self._back) < BACK
        else:
            return None
        return rows[:limit] if is_all or limit <= len(rows) else None
