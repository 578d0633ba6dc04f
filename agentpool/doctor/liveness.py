"""What nobody has taken care of: claims that ran out, dead letters, deadlines that are overdue.

A process that has a pool open carries out what is due within a fraction of a second. What is
much older shows that nobody has.
"""

import sqlite3
from collections.abc import Iterator
from typing import Final

from agentpool.doctor.report import Finding, Places, note, ok

__all__ = ("check_claims", "check_dead", "check_overdue")

GRACE_MILLIS: Final = 10_000

_CLAIMS: Final = """
    SELECT pool_id, name, count(*), min(due_at) FROM agentpool_rows
    WHERE kind = 'inbox' AND due_at > 0 AND due_at < ?
    AND CASE WHEN json_valid(value) THEN json_extract(value, '$.claimed_by') END IS NOT NULL
    GROUP BY pool_id, name
"""
_DEAD: Final = """
    SELECT pool_id, name, count(*) FROM agentpool_rows WHERE kind = 'dead' GROUP BY pool_id, name
"""
_OVERDUE: Final = """
    SELECT pool_id, name LIKE 'lease %' AS is_lease, count(*), min(due_at) FROM agentpool_rows
    WHERE kind = 'deadline' AND due_at < ? GROUP BY pool_id, is_lease
"""
_UNITS: Final = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000))


def check_claims(connection: sqlite3.Connection, now: int) -> Iterator[Finding]:
    """Look for claims that ran out and that nobody took over."""
    found = Places()
    for pool_id, run_id, count, since in connection.execute(_CLAIMS, (now - GRACE_MILLIS,)):
        found.add(f"pool {pool_id!r}, run {run_id!r}: {count}, for {_age(now - since)}")
    if found:
        what = f"messages whose claim ran out and that nobody took again: {found}"
        yield note("claims", what, "start a consumer of these inboxes")
    else:
        yield ok("claims", "none ran out and was left lying")


def check_dead(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Look for messages that failed too often and were put aside."""
    found = Places()
    for pool_id, run_id, count in connection.execute(_DEAD):
        found.add(f"pool {pool_id!r}, run {run_id!r}: {count}")
    if found:
        what = f"messages that failed too often and were put aside: {found}"
        yield note("dead letters", what, "see Inbox.dead(); retry() or discard() them")
    else:
        yield ok("dead letters", "no message was put aside")


def check_overdue(connection: sqlite3.Connection, now: int) -> Iterator[Finding]:
    """Look for leases of members and for deadlines that nobody carried out."""
    dead, late = Places(), Places()
    for pool_id, is_lease, count, since in connection.execute(_OVERDUE, (now - GRACE_MILLIS,)):
        (dead if is_lease else late).add(f"pool {pool_id!r}: {count}, for {_age(now - since)}")
    remedy = "nobody keeps these pools: AgentPool.open() in any process does"
    if dead:
        yield note("dead members", f"members whose lease ran out: {dead}", remedy)
    else:
        yield ok("dead members", "no member has outlived its lease")
    if late:
        yield note("overdue", f"deadlines that nobody carried out: {late}", remedy)
    else:
        yield ok("overdue", "no deadline is overdue")


def _age(millis: int) -> str:
    for unit, length in _UNITS:
        if millis >= length:
            return f"{millis // length} {unit}"
    return f"{millis} ms"
