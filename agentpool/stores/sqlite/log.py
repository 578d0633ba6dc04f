"""What has changed in the file, whoever changed it. Synchronous, on the worker."""

import sqlite3
from typing import Final, TypeAlias

__all__ = ("Changes", "changes")

Changes: TypeAlias = tuple[int, int | None, int | None]

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
    return version, records, events
