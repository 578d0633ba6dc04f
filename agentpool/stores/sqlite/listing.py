"""What is fetched from a file so that nothing damaged hides the rest."""

import sqlite3
from typing import Any, Final

from agentpool.rules.command import Row, RowKey
from agentpool.stores.sqlite import statements
from agentpool.wire.ids import I64_MAX, identifier_problem

__all__ = ("fetched", "listed_pools", "listed_rows")

_NEVER: Final = I64_MAX


def fetched(connection: sqlite3.Connection, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Fetch rows as they are; where one is no text of UTF-8, what is damaged as bytes."""
    # All of them at once, so that no cursor stays open.
    try:
        return connection.execute(sql, values).fetchall()
    except sqlite3.OperationalError as error:
        if hasattr(error, "sqlite_errorcode"):
            raise  # of the engine, and not of what was made of its bytes
    return connection.execute(statements.with_damaged_as_bytes(sql), values).fetchall()


def listed_rows(connection: sqlite3.Connection, sql: str, *values: object) -> list[Row]:
    """List rows; a damaged one has a value that nobody can read, for its reader to suffer."""
    return [_row(*each) for each in fetched(connection, sql, *values)]


def _row(kind: str, name: str, number: int, value: object, due_at: object) -> Row:
    if type(value) is str and type(due_at) is int:
        return Row(RowKey(kind, name, number), value, due_at)
    # As Python writes it: that is no JSON, and keeps what was there for people to see.
    return Row(RowKey(kind, name, number), repr(value), due_at if type(due_at) is int else _NEVER)


def listed_pools(connection: sqlite3.Connection) -> list[str]:
    """List the pools that have records, but for those whose id nobody could name."""
    raw = [bytes(name) for (name,) in connection.execute(statements.POOLS).fetchall()]
    ids = [name.decode(errors="replace") for name in raw]
    return [each for each, name in zip(ids, raw, strict=True) if _is_id(each, name)]


def _is_id(pool_id: str, name: bytes) -> bool:
    return pool_id.encode() == name and identifier_problem(pool_id) is None
