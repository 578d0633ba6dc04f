"""SQL over the rows beside the records. Synchronous, on the worker."""

import sqlite3
from collections.abc import Mapping
from typing import Any, Final

from agentpool.rules.command import Row, RowKey

__all__ = ("deadlines", "get", "listing", "next_deadline", "next_due", "write")

_GET: Final = """
    SELECT kind, name, number, value, due_at FROM agentpool_rows
    WHERE pool_id = ? AND kind = ? AND name = ? AND number = ?
"""
_LISTING: Final = """
    SELECT kind, name, number, value, due_at FROM agentpool_rows
    WHERE pool_id = ? AND kind = ? AND name = ? AND number > ? AND due_at <= ?
    ORDER BY number LIMIT ?
"""
_NEXT_DUE: Final = """
    SELECT min(due_at) FROM agentpool_rows WHERE pool_id = ? AND kind = 'inbox' AND name = ?
"""
_DEADLINES: Final = """
    SELECT kind, name, number, value, due_at FROM agentpool_rows
    WHERE pool_id = ? AND kind = 'deadline' AND due_at <= ? ORDER BY due_at, name LIMIT ?
"""
_NEXT_DEADLINE: Final = """
    SELECT min(due_at) FROM agentpool_rows WHERE pool_id = ? AND kind = 'deadline'
"""
_PUT: Final = """
    INSERT OR REPLACE INTO agentpool_rows (pool_id, kind, name, number, value, due_at)
    VALUES (?, ?, ?, ?, ?, ?)
"""
_DELETE: Final = """
    DELETE FROM agentpool_rows WHERE pool_id = ? AND kind = ? AND name = ? AND number = ?
"""
_EVER: Final = 2**63 - 1


def get(connection: sqlite3.Connection, pool_id: str, key: RowKey) -> Row | None:
    """Look up a row."""
    found = connection.execute(_GET, (pool_id, *key)).fetchone()
    return None if found is None else _row(found)


def listing(
    connection: sqlite3.Connection,
    pool_id: str,
    kind: str,
    name: str,
    *,
    after: int,
    limit: int,
    due_by: int | None,
) -> list[Row]:
    """List rows in order of their numbers."""
    due = _EVER if due_by is None else due_by
    found = connection.execute(_LISTING, (pool_id, kind, name, after, due, limit)).fetchall()
    return [_row(each) for each in found]


def next_due(connection: sqlite3.Connection, pool_id: str, name: str) -> int | None:
    """Find the earliest time that the rows of one inbox are due at."""
    [due_at] = connection.execute(_NEXT_DUE, (pool_id, name)).fetchone()
    return due_at if due_at is None else int(due_at)


def deadlines(connection: sqlite3.Connection, pool_id: str, due_by: int, limit: int) -> list[Row]:
    """List deadlines that have come, the earliest first."""
    found = connection.execute(_DEADLINES, (pool_id, due_by, limit)).fetchall()
    return [_row(each) for each in found]


def next_deadline(connection: sqlite3.Connection, pool_id: str) -> int | None:
    """Find the earliest deadline of a pool."""
    [due_at] = connection.execute(_NEXT_DEADLINE, (pool_id,)).fetchone()
    return due_at if due_at is None else int(due_at)


def write(
    connection: sqlite3.Connection, pool_id: str, changed: Mapping[RowKey, Row | None]
) -> None:
    """Insert or replace rows; where there is ``None``, delete the row, if it is there."""
    puts = [(pool_id, *key, row.value, row.due_at) for key, row in changed.items() if row]
    if puts:
        connection.executemany(_PUT, puts)
    if len(puts) < len(changed):
        connection.executemany(
            _DELETE, [(pool_id, *key) for key, row in changed.items() if not row]
        )


def _row(found: tuple[Any, ...]) -> Row:
    kind, name, number, value, due_at = found
    return Row(RowKey(kind, name, number), value, due_at)
