"""What has changed in the file, whoever changed it. Synchronous, on the worker."""

import sqlite3
from collections.abc import Iterator
from typing import Final

from agentpool.errors import AgentPoolError
from agentpool.rules.topics import ANY, AllTouched, touch_by_foreign
from agentpool.stores.sqlite.statements import READABLE
from agentpool.wire.payload import open_payload

__all__ = ("last_row", "touched_after", "version")

_ROWS_AT_ONCE: Final = 1000
_LARGEST: Final = 100_000

_LAST_ROW: Final = "SELECT max(rowid) FROM agent_pool_records"
_ROWS_AFTER: Final = f"""
    SELECT pool_id, seq, kind,
        CASE WHEN {READABLE} AND length(payload_json) <= {_LARGEST}
            THEN CAST(payload_json AS BLOB) END
    FROM agent_pool_records WHERE rowid > ? AND rowid <= ? LIMIT {_ROWS_AT_ONCE}
"""


def version(connection: sqlite3.Connection) -> int:
    """Give a number that is another whenever somebody else has committed."""
    [found] = connection.execute("PRAGMA data_version").fetchone()
    return int(found)


def last_row(connection: sqlite3.Connection) -> int:
    """Find the last row of the log, which has the records of all pools; 0 for none."""
    [found] = connection.execute(_LAST_ROW).fetchone()
    return int(found or 0)


def touched_after(connection: sqlite3.Connection, after: int, last: int) -> AllTouched | None:
    """Say what the rows between two have touched; ``None``: there are too many to say."""
    if not 0 <= last - after <= _ROWS_AT_ONCE:
        return None
    touched: AllTouched = {}
    for pool_id, seq, kind, text in _rows(connection, after, last):
        topics = touched.setdefault(pool_id, {})
        try:
            touch_by_foreign(topics, open_payload(pool_id, seq, kind, text))
        except AgentPoolError:  # whoever needs the record finds that out
            topics[ANY] = 1
    return touched


def _rows(
    connection: sqlite3.Connection, after: int, last: int
) -> Iterator[tuple[str, int, str, bytes | None]]:
    for pool_id, seq, kind, text in connection.execute(_ROWS_AFTER, (after, last)).fetchall():
        if isinstance(pool_id, str) and isinstance(seq, int) and isinstance(kind, str):
            yield pool_id, seq, kind, text
