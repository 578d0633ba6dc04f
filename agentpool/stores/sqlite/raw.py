"""A pool of the file as it is kept, for who takes it to another store."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from agentpool.errors import CorruptRecordError
from agentpool.stores.batch.raw import (
    BYTES_AT_ONCE,
    ITEMS_AT_ONCE,
    RECORDS,
    ROWS,
    TIMES,
    Item,
    Part,
    size_of,
)
from agentpool.stores.sqlite.source import SqliteSource

__all__ = ("SqliteRawPool",)

_IN_ORDER: Final = f"ORDER BY {{}} LIMIT {ITEMS_AT_ONCE}"
_BY_NUMBER: Final = f"WHERE pool_id = ? AND seq > ? {_IN_ORDER.format('seq')}"
# As bytes, since another program may have written what is no UTF-8, or no text.
_PAGE: Final = {
    RECORDS: f"""
        SELECT seq, CAST(kind AS BLOB), CAST(payload_json AS BLOB),
            (typeof(kind) <> 'text') + 2 * (typeof(payload_json) <> 'text')
        FROM agent_pool_records {_BY_NUMBER}
    """,
    TIMES: f"SELECT seq, millis FROM agentpool_times {_BY_NUMBER}",
    ROWS: f"""
        SELECT kind, name, number, due_at, value FROM agentpool_rows
        WHERE pool_id = ? AND (kind, name, number) > (?, ?, ?)
        {_IN_ORDER.format("kind, name, number")}
    """,
}
_TYPES: Final = {
    RECORDS: (int, bytes, bytes, int),
    TIMES: (int, int),
    ROWS: (str, str, int, int, str),
}
_AS_TEXT: Final = "CAST(? AS TEXT)"
_PUT: Final = {
    TIMES: "INSERT OR REPLACE INTO agentpool_times (pool_id, seq, millis) VALUES (?, ?, ?)",
    ROWS: """
        INSERT OR REPLACE INTO agentpool_rows (pool_id, kind, name, number, due_at, value)
        VALUES (?, ?, ?, ?, ?, ?)
    """,
}
_PUT_RECORDS: Final = tuple(
    "INSERT OR REPLACE INTO agent_pool_records (pool_id, seq, kind, payload_json)"
    f" VALUES (?, ?, {kind}, {payload})"
    for payload in (_AS_TEXT, "?")
    for kind in (_AS_TEXT, "?")
)
"""By what is no text, as `RECORDS` counts it."""
_DELETE: Final = {
    RECORDS: "DELETE FROM agent_pool_records WHERE pool_id = ? AND seq = ?",
    TIMES: "DELETE FROM agentpool_times WHERE pool_id = ? AND seq = ?",
    ROWS: "DELETE FROM agentpool_rows WHERE pool_id = ? AND kind = ? AND name = ? AND number = ?",
}


class SqliteRawPool:
    """A `RawPool` on a connection, inside of a transaction."""

    __slots__ = ("_connection", "source")

    def __init__(self, connection: sqlite3.Connection, source: SqliteSource) -> None:
        self._connection = connection
        self.source: Final = source

    def page(self, part: Part, after: Item) -> list[Item]:
        cursor = self._connection.execute(_PAGE[part], (self.source.pool_id, *after))
        try:
            return [self._checked(part, item) for item in _up_to_a_page(cursor)]
        except sqlite3.OperationalError as error:
            if hasattr(error, "sqlite_errorcode"):
                raise  # of the engine, and not of what was made of its bytes
            raise self._damaged(part) from error
        finally:
            cursor.close()

    def _checked(self, part: Part, item: Item) -> Item:
        if tuple(map(type, item)) != _TYPES[part]:
            raise self._damaged(part)
        return item

    def _damaged(self, part: Part) -> CorruptRecordError:
        msg = (
            f"one of its {part.name} is damaged, and cannot be taken elsewhere; see"
            " `python -m agentpool doctor`"
        )
        return CorruptRecordError(msg, pool_id=self.source.pool_id)

    def put(self, part: Part, items: Sequence[Item]) -> None:
        if part == RECORDS:
            for odd, sql in enumerate(_PUT_RECORDS):
                self._execute(sql, [item[:-1] for item in items if item[-1] == odd])
        else:
            self._execute(_PUT[part], items)

    def delete(self, part: Part, keys: Sequence[Item]) -> None:
        self._execute(_DELETE[part], keys)

    def _execute(self, sql: str, items: Sequence[Item]) -> None:
        self._connection.executemany(sql, [(self.source.pool_id, *item) for item in items])


def _up_to_a_page(cursor: Iterable[Item]) -> Iterable[Item]:
    size = 0
    for item in cursor:
        yield item
        size += size_of(item)
        if size > BYTES_AT_ONCE:
            return
