"""What else stands beside the records: their times, promises, and bodies under their hashes."""

import sqlite3
from collections.abc import Iterator
from hashlib import sha256
from typing import Final

from agentpool.doctor.records import head, pools
from agentpool.doctor.report import Finding, Places, broken, note, ok
from agentpool.stores.sqlite.promises import lost_upto
from agentpool.wire.ids import I64_MIN

__all__ = ("check_bodies", "check_promises", "check_times")

_HAS_PROMISES: Final = "SELECT 1 FROM sqlite_master WHERE name = 'agentpool_promises'"
_LAST_TIME: Final = "SELECT max(seq) FROM agentpool_times WHERE pool_id = ?"
_BODIES: Final = """
    SELECT rowid, sha256, typeof(data) FROM agentpool_content WHERE rowid > ?
    ORDER BY rowid LIMIT 500
"""
_CHUNK: Final = 2**20


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
    for rowid, ref, type_ in _bodies(connection):
        count += 1
        if type_ != "blob" or _ref(connection, rowid) != ref:
            wrong.add(str(ref))
    if wrong:
        what = f"{len(wrong)} of {count} are not what their hash says: {wrong}"
        yield broken("bodies", what, "restore them from a backup, or put them again")
    else:
        yield ok("bodies", f"{count}, each what its hash says")


def _bodies(connection: sqlite3.Connection) -> Iterator[tuple[int, str, str]]:
    after = I64_MIN
    while rows := connection.execute(_BODIES, (after,)).fetchall():
        yield from rows
        after = rows[-1][0]


def _ref(connection: sqlite3.Connection, rowid: int) -> str:
    """Hash a body piece by piece."""
    digest = sha256()
    with connection.blobopen("agentpool_content", "data", rowid, readonly=True) as body:
        while chunk := body.read(_CHUNK):
            digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"
