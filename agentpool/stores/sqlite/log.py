"""What has changed in the file, whoever changed it. Synchronous, on the worker."""

import sqlite3
from typing import Final, NamedTuple

__all__ = ("Changes", "changes", "pools_after")


class Changes(NamedTuple):
    """What there is in the file: its version, the last record and the last number for events."""

    version: int
    records: int | None
    events: int | None


_LAST_ROWS: Final = """
    SELECT (SELECT max(rowid) FROM agent_pool_records),
           (SELECT max(rowid) FROM agent_pool_event_seq)
"""


def changes(connection: sqlite3.Connection, last: Changes | None) -> Changes:
    """Say what has changed in the file: anything at all, the records, the event numbers.

    :param last: what it said before; where nothing at all has changed, it says the same again
    """
    [version] = connection.execute("PRAGMA data_version").fetchone()
    if last is not None and version == last[0]:
        return last
    [records, events] = connection.execute(_LAST_ROWS).fetchone()
    return Changes(version, records, events)


_POOLS_AFTER: Final = """
    SELECT pool_id FROM agent_pool_records WHERE rowid > ?
    UNION SELECT pool_id FROM agent_pool_event_seq WHERE rowid > ?
"""


def pools_after(connection: sqlite3.Connection, last: Changes) -> list[str]:
    """List the pools that got records, or numbers for events, since then."""
    after = (last.records or 0, last.events or 0)
    # What is no text is no pool of ours, whoever wrote it.
    found = connection.execute(_POOLS_AFTER, after).fetchall()
    return [pool_id for (pool_id,) in found if isinstance(pool_id, str)]
