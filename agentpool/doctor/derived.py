"""What else stands beside the records: their times, promises, and bodies under their hashes."""

import sqlite3
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, Final

from agentpool.doctor.records import head, pools
from agentpool.doctor.report import Finding, Places, broken, in_bytes, note, ok
from agentpool.errors import AgentPoolError
from agentpool.stores.sqlite.content import Reading
from agentpool.stores.sqlite.promises import lost_upto
from agentpool.wire.content import PIECE
from agentpool.wire.ids import I64_MIN

__all__ = ("check_bodies", "check_pieces", "check_promises", "check_times")

_HAS_PROMISES: Final = "SELECT 1 FROM sqlite_master WHERE name = 'agentpool_promises'"
_LAST_TIME: Final = "SELECT max(seq) FROM agentpool_times WHERE pool_id = ?"
_HAS_PIECES: Final = "SELECT 1 FROM sqlite_master WHERE name = 'agentpool_content_pieces'"
_BODIES: Final = """
    SELECT rowid, sha256, typeof(data), {size} FROM agentpool_content WHERE rowid > ?
    ORDER BY rowid LIMIT 500
"""
_UNFINISHED: Final = """
    SELECT sha256, sum(length(data)) FROM agentpool_content_pieces AS piece
    WHERE NOT EXISTS (
        SELECT 1 FROM agentpool_content AS body
        WHERE body.sha256 = piece.sha256 AND body.size IS NOT NULL
    )
    GROUP BY sha256
"""


def check_times(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Look whether times are those of records that are there."""
    wrong = Places()
    for pool_id in pools(connection, "agentpool_times"):
        [last] = connection.execute(_LAST_TIME, (pool_id,)).fetchone()
        there = head(connection, pool_id)
        if last > there:
            wrong.add(f"pool {pool_id!r}: record {last} of {there}")
    if wrong:
        what = f"times of records that are not there: {wrong}"
        yield broken("times", what, "the log has lost its end; restore a backup")
    else:
        yield ok("times", "are times of records that are there")


def check_promises(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Look whether a restart of the machine may have taken records that were shown."""
    if connection.execute(_HAS_PROMISES).fetchone() is None:
        return  # an earlier version made the file
    found = Places()
    for pool_id in pools(connection, "agentpool_promises"):
        there, upto = head(connection, pool_id), lost_upto(connection, pool_id)
        if upto > there:
            found.add(f"pool {pool_id!r} after record {there}, at most up to {upto}")
    if found:
        what = f"a power cut at synchronous=NORMAL may have taken records that were seen: {found}"
        advice = "let those with saved cursors read before anybody appends: lost ones are refused"
        yield note("promises", what, advice)
    else:
        yield ok("promises", "no restart can have taken records that were seen")


def check_bodies(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Look whether each body has the hash that it is kept under."""
    count, wrong = 0, Places()
    for rowid, ref, type_, size in _bodies(connection):
        count += 1
        in_row = size is None
        if not (_is_row(connection, rowid, ref, type_) if in_row else _is_whole(connection, ref)):
            wrong.add(str(ref))
    if wrong:
        what = f"{len(wrong)} of {count} are not what their hash says: {wrong}"
        yield broken("bodies", what, "restore them from a backup, or put them again")
    else:
        yield ok("bodies", f"{count}, each what its hash says")


def check_pieces(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Look for what is left of bodies that were not put to the end."""
    if connection.execute(_HAS_PIECES).fetchone() is None:
        return  # an earlier version made the file
    unfinished = Places()
    for ref, size in connection.execute(_UNFINISHED):
        unfinished.add(f"{ref} ({in_bytes(size)})")
    if unfinished:
        what = f"of {len(unfinished)} bodies that are not, or not yet, put to the end: {unfinished}"
        advice = (
            "put them again, or, while nobody puts any: sqlite3 FILE 'DELETE FROM"
            " agentpool_content_pieces WHERE sha256 NOT IN (SELECT sha256 FROM agentpool_content)'"
        )
        yield note("pieces", what, advice)
    else:
        yield ok("pieces", "are those of bodies that are there")


def _bodies(connection: sqlite3.Connection) -> Iterator[tuple[int, str, str, Any]]:
    in_pieces = connection.execute(_HAS_PIECES).fetchone() is not None
    query = _BODIES.format(size="size" if in_pieces else "NULL")
    after = I64_MIN
    while rows := connection.execute(query, (after,)).fetchall():
        yield from rows
        after = rows[-1][0]


def _is_row(connection: sqlite3.Connection, rowid: int, ref: str, type_: str) -> bool:
    """Hash a body that is in its row."""
    if type_ != "blob":
        return False
    digest = sha256()
    with connection.blobopen("agentpool_content", "data", rowid, readonly=True) as body:
        while piece := body.read(PIECE):
            digest.update(piece)
    return f"sha256:{digest.hexdigest()}" == ref


def _is_whole(connection: sqlite3.Connection, ref: str) -> bool:
    """Hash a body that is in pieces."""
    reading = Reading(ref)
    try:
        while not reading.has_ended:
            reading.step(connection)
    except AgentPoolError:
        return False
    return True
