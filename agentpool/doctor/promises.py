"""Whether a power cut may have taken records of a file that were seen."""

import sqlite3
from collections.abc import Iterator
from typing import Final

from agentpool.doctor.file_reader import FileReader, pool_ids
from agentpool.doctor.reader import is_unicode
from agentpool.doctor.report import Finding, Places, note, ok
from agentpool.stores.sqlite.promises import lost_upto

__all__ = ("check_promises",)

_HAS_PROMISES: Final = "SELECT 1 FROM sqlite_master WHERE name = 'agentpool_promises'"


def check_promises(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Look whether a restart of the machine may have taken records that were shown."""
    if connection.execute(_HAS_PROMISES).fetchone() is None:
        return  # an earlier version made the file
    found, reader = Places(), FileReader(connection)
    for pool_id in pool_ids(connection, "agentpool_promises"):
        if not (isinstance(pool_id, str) and is_unicode(pool_id)):
            continue
        there, upto = reader.head(pool_id), lost_upto(connection, pool_id)
        if upto > there:
            found.add(f"pool {pool_id!r} after record {there}, at most up to {upto}")
    if found:
        what = f"a power cut at synchronous=NORMAL may have taken records that were seen: {found}"
        advice = "let those with saved cursors read before anybody appends: lost ones are refused"
        yield note("promises", what, advice)
    else:
        yield ok("promises", "no restart can have taken records that were seen")
