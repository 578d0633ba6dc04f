"""SQL over the bodies of messages. Synchronous, on the worker.

A body of at most a piece is one row. A larger one is kept in pieces, a transaction each, so that
nobody waits for it; its row comes last, and without that it is not there.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final, NamedTuple

from agentpool.errors import CorruptRecordError, StoreError
from agentpool.stores.batch.bodies import Reading
from agentpool.wire.content import PIECE, Content, damaged_content, no_content

__all__ = ("SqliteReading", "keep", "keep_piece", "keep_row", "media_type")

# What was damaged is whole again, once it is put again. The first media type stays.
_PUT: Final = """
    INSERT INTO agentpool_content (sha256, media_type, data, size) VALUES (?, ?, ?, ?)
    ON CONFLICT (sha256) DO UPDATE SET data = excluded.data, size = excluded.size
    WHERE data IS NOT excluded.data OR size IS NOT excluded.size
"""
_PUT_PIECE: Final = """
    INSERT INTO agentpool_content_pieces (sha256, number, data) VALUES (?, ?, ?)
    ON CONFLICT (sha256, number) DO UPDATE SET data = excluded.data
    WHERE data IS NOT excluded.data
"""
_IS_KEPT: Final = """
    SELECT length(data) = ? AND size IS ? FROM agentpool_content WHERE sha256 = ?
"""
_IS_PIECE_KEPT: Final = """
    SELECT length(data) = ? FROM agentpool_content_pieces WHERE sha256 = ? AND number = ?
"""
_MEDIA_TYPE: Final = "SELECT media_type FROM agentpool_content WHERE sha256 = ?"
_FIND: Final = """
    SELECT rowid, typeof(data), length(data), size FROM agentpool_content WHERE sha256 = ?
"""
_PIECE: Final = f"""
    SELECT data FROM agentpool_content_pieces WHERE sha256 = ? AND number = ?
    AND typeof(data) = 'blob' AND length(data) BETWEEN 1 AND {PIECE}
"""


def keep(connection: sqlite3.Connection, bodies: Sequence[Content]) -> None:
    """Keep small bodies, those that are not there yet.

    :raises StoreError: one is not there afterwards
    """
    _put(connection, [(body.ref, body.media_type, body.data, None) for body in bodies])


def keep_piece(connection: sqlite3.Connection, ref: str, number: int, piece: memoryview) -> None:
    """Keep a piece of a body, if it is not there yet.

    :raises StoreError: it is not there afterwards
    """
    connection.execute(_PUT_PIECE, (ref, number, piece))
    _refuse_swallowed(connection.execute(_IS_PIECE_KEPT, (len(piece), ref, number)))


def keep_row(connection: sqlite3.Connection, ref: str, media_type: str, size: int) -> None:
    """Write the row that makes a body be there whose pieces are.

    :raises StoreError: it is not there afterwards
    """
    _put(connection, [(ref, media_type, b"", size)])


def _put(
    connection: sqlite3.Connection, rows: Sequence[tuple[str, str, bytes, int | None]]
) -> None:
    inserted = connection.executemany(_PUT, rows).rowcount
    if inserted == len(rows):
        return
    for ref, _, data, size in rows:  # some were there before, or were swallowed
        _refuse_swallowed(connection.execute(_IS_KEPT, (len(data), size, ref)))


def _refuse_swallowed(found: sqlite3.Cursor) -> None:
    if found.fetchone() != (1,):
        msg = "a body was inserted and is not there: a trigger stands in the way; drop it"
        raise StoreError(msg)


def media_type(connection: sqlite3.Connection, ref: str) -> str:
    """Give the media type of a body.

    :raises ContentNotFoundError: it is not there
    :raises CorruptRecordError: it is no text
    """
    row = connection.execute(_MEDIA_TYPE, (ref,)).fetchone()
    if row is None:
        raise no_content(ref)
    [found] = row
    if not isinstance(found, str):
        msg = f"the media type of the body kept under {ref!r} was damaged"
        raise CorruptRecordError(msg)
    return found


class _Kept(NamedTuple):
    """Where a body is.

    :ivar rowid: the row that it is in; ``None``: it is in pieces
    :ivar size: its bytes
    """

    rowid: int | None
    size: int


class SqliteReading(Reading[sqlite3.Connection]):
    """Reads a body in a file."""

    def __init__(self, ref: str) -> None:
        super().__init__(ref)
        self._kept: _Kept = _Kept(None, 0)

    def find(self, connection: sqlite3.Connection) -> int:
        found = connection.execute(_FIND, (self.ref,)).fetchone()
        if found is None:
            raise no_content(self.ref)
        rowid, type_, length, size = found
        if type_ != "blob" or type(size) not in {int, type(None)}:
            raise damaged_content(self.ref)
        self._kept = _Kept(rowid, length) if size is None else _Kept(None, size)
        return self._kept.size

    def read(self, connection: sqlite3.Connection, number: int, start: int) -> bytes:
        rowid, size = self._kept
        if rowid is None:
            found = connection.execute(_PIECE, (self.ref, number)).fetchone()
            if found is None:
                raise damaged_content(self.ref)
            return bytes(found[0])
        with connection.blobopen("agentpool_content", "data", rowid, readonly=True) as blob:
            blob.seek(start)
            piece = blob.read(PIECE)
        if len(piece) < min(PIECE, size - start):
            raise damaged_content(self.ref)  # meanwhile
        return piece
