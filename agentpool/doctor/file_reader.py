"""Reading the pools of a file."""

import sqlite3
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, Final

from agentpool.doctor.reader import AT_ONCE, Part
from agentpool.rules.command import Row, RowKey
from agentpool.stores.batch.source import RawRecord
from agentpool.stores.sqlite.content import SqliteReading
from agentpool.stores.sqlite.source import SqliteSource
from agentpool.stores.sqlite.statements import PAGE, without_index
from agentpool.wire.content import PIECE
from agentpool.wire.ids import I64_MAX, I64_MIN

__all__ = ("FileReader", "pool_ids")

_TABLES: Final = {
    Part.RECORDS: "agent_pool_records",
    Part.POOLS: "agentpool_pools",
    Part.ROWS: "agentpool_rows",
    Part.TIMES: "agentpool_times",
    Part.CHECKPOINTS: "agentpool_checkpoints",
}
_PAGE: Final = without_index(PAGE)  # which an earlier version has not made
_HEAD: Final = f"""
    SELECT max(seq) FROM agent_pool_records
    WHERE pool_id = ? AND seq <= {I64_MAX} AND typeof(seq) = 'integer'
"""
_ROWS: Final = """
    SELECT name, number, value, due_at FROM agentpool_rows
    WHERE pool_id = ? AND kind = ? AND (name, number) > (?, ?) ORDER BY name, number LIMIT ?
"""
_KINDS: Final = "SELECT min(kind) FROM agentpool_rows WHERE pool_id = ? AND kind > ?"
_LAST_TIME: Final = "SELECT max(seq) FROM agentpool_times WHERE pool_id = ?"
_HAS_PIECES: Final = "SELECT 1 FROM sqlite_master WHERE name = 'agentpool_content_pieces'"
_BODIES: Final = """
    SELECT rowid, sha256, typeof(data), {size} FROM agentpool_content WHERE rowid > ?
    ORDER BY rowid LIMIT ?
"""
_UNFINISHED: Final = """
    SELECT sha256, sum(length(data)) FROM agentpool_content_pieces AS piece
    WHERE NOT EXISTS (
        SELECT 1 FROM agentpool_content AS body
        WHERE body.sha256 = piece.sha256 AND body.size IS NOT NULL
    )
    GROUP BY sha256
"""


def pool_ids(connection: sqlite3.Connection, table: str) -> Iterator[object]:
    """List whatever stands for a pool in a table, looking up one after another."""
    [pool_id] = connection.execute(f"SELECT min(pool_id) FROM {table}").fetchone()
    while pool_id is not None:
        yield pool_id
        is_text = isinstance(pool_id, str)
        # As bytes: text that is no UTF-8 could not be given back as text.
        after = pool_id.encode(errors="surrogateescape") if is_text else pool_id
        given = "CAST(? AS TEXT)" if is_text else "?"
        [pool_id] = connection.execute(
            f"SELECT min(pool_id) FROM {table} WHERE pool_id > {given}", (after,)
        ).fetchone()


class FileReader:
    """A `Reader` on a connection, in a transaction that reads."""

    errors: Final = (sqlite3.Error,)
    clear_checkpoints: Final = "sqlite3 FILE 'DELETE FROM agentpool_checkpoints'"
    clear_pieces: Final = (
        "sqlite3 FILE 'DELETE FROM agentpool_content_pieces"
        " WHERE sha256 NOT IN (SELECT sha256 FROM agentpool_content)'"
    )

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def pool_ids(self, part: Part) -> Iterator[object]:
        return pool_ids(self._connection, _TABLES[part])

    def source(self, pool_id: str) -> SqliteSource:
        return SqliteSource(self._connection, pool_id)

    def head(self, pool_id: str) -> int:
        [seq] = self._connection.execute(_HEAD, (pool_id,)).fetchone()
        return int(seq or 0)

    def records(self, pool_id: str) -> Iterator[RawRecord]:
        # Not by way of a source, which refuses a page with numbers that are none: here all before
        # them is to be read.
        after: object = I64_MIN
        asked = self._connection.execute
        while rows := asked(_PAGE, (pool_id, after, AT_ONCE)).fetchall():
            for row in rows:
                yield row
                after = row[0]
                if not isinstance(after, int):
                    return

    def kinds(self, pool_id: str) -> Iterator[str]:
        kind = ""
        while kind is not None:
            [kind] = self._connection.execute(_KINDS, (pool_id, kind)).fetchone()
            if kind is not None:
                yield kind

    def rows(self, pool_id: str, kind: str) -> Iterator[Row]:
        name, number = "", I64_MIN
        asked = self._connection.execute
        while page := asked(_ROWS, (pool_id, kind, name, number, AT_ONCE)).fetchall():
            for name, number, value, due_at in page:
                yield Row(RowKey(kind, name, number), value, due_at)

    def last_time(self, pool_id: str) -> int:
        [last] = self._connection.execute(_LAST_TIME, (pool_id,)).fetchone()
        return int(last)

    def bodies(self) -> Iterator[tuple[str, bool]]:
        for rowid, ref, type_, size in self._bodies():
            if size is None:
                yield str(ref), self._is_row(rowid, ref, type_)
            else:
                yield str(ref), SqliteReading(ref).is_sound(self._connection)

    def _bodies(self) -> Iterator[tuple[int, str, str, Any]]:
        query = _BODIES.format(size="size" if self._has_pieces() else "NULL")
        after = I64_MIN
        while rows := self._connection.execute(query, (after, AT_ONCE)).fetchall():
            yield from rows
            after = rows[-1][0]

    def _has_pieces(self) -> bool:
        """Say whether bodies may be in pieces, which an earlier version did not make."""
        return self._connection.execute(_HAS_PIECES).fetchone() is not None

    def _is_row(self, rowid: int, ref: str, type_: str) -> bool:
        """Hash a body that is in its row."""
        if type_ != "blob":
            return False
        digest = sha256()
        with self._connection.blobopen("agentpool_content", "data", rowid, readonly=True) as body:
            while piece := body.read(PIECE):
                digest.update(piece)
        return f"sha256:{digest.hexdigest()}" == ref

    def unfinished(self) -> Iterator[tuple[str, int]]:
        if self._has_pieces():
            yield from self._connection.execute(_UNFINISHED)
