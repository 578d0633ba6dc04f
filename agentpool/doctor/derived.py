"""What else was derived: the times of records, and bodies under their hashes."""

import sqlite3
from collections.abc import Iterator
from hashlib import sha256
from typing import Final

from agentpool.doctor.records import head, pools
from agentpool.doctor.report import Finding, Places, broken, ok

__all__ = ("check_bodies", "check_times")

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
    after = -(2**63)
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
