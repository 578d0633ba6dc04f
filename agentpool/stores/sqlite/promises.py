"""How far a log may have been shown before it was on the disk. Synchronous, on the worker.

With ``synchronous="NORMAL"`` a commit does not wait for the disk: others see its records, and a
power cut may take them. So before a handle shows records beyond what is promised of a pool, it
promises the next stretch of numbers, in a commit that does wait. When a cursor is beyond the end of
a log, and a handle of an earlier boot of the machine had promised to come that far, its record is
lost, and whoever holds the cursor is told. Otherwise it would wait, and miss the records that get
the lost numbers next. A promise is looked at before anything is decided, and made while half of it
is left, so that hardly ever a transaction has to be done anew for it.

Once a log has come that far again, a bare number does not tell the old record from the new one.
"""

import sqlite3
from typing import Final

from agentpool.errors import CorruptRecordError, StoreError
from agentpool.support import process

__all__ = ("STRETCH", "Promises", "lost_upto", "refuse_lost")

STRETCH: Final = 2000
"""Records that are promised at once, at least; the next while half of them are left."""
_LARGE_BATCH: Final = 10
"""A commit that appends more than so many promises as much more, to be as rare."""

_PROMISED: Final = "SELECT promised FROM agentpool_promises WHERE pool_id = ? AND boot_id = ?"
_LOST_UPTO: Final = """
    SELECT CASE boot_id WHEN ? THEN former ELSE max(former, promised) END
    FROM agentpool_promises WHERE pool_id = ?
"""
_PROMISE: Final = """
    INSERT INTO agentpool_promises (pool_id, boot_id, promised, former) VALUES (?, ?, ?, 0)
    ON CONFLICT (pool_id) DO UPDATE SET
        former = CASE boot_id WHEN excluded.boot_id THEN former ELSE max(former, promised) END,
        boot_id = excluded.boot_id,
        promised = excluded.promised
"""


class Promises:
    """What a handle knows to be promised. For the thread of its writer, inside transactions.

    :ivar stretch: how many records to promise at once, at least
    """

    def __init__(self) -> None:
        self.stretch = STRETCH
        self._boot = process.boot_id()
        self._known: dict[str, int] = {}

    def forget(self) -> None:
        """Look everything up again: the file may have been replaced by what it was before."""
        self._known.clear()

    def cover(self, connection: sqlite3.Connection, pool_id: str, head: int) -> bool:
        """Say whether records up to a number may be shown before they are on the disk."""
        if self._boot is None:
            return True  # nobody could tell a restart, so no promise would help
        if head > self._known.get(pool_id, 0):
            found = connection.execute(_PROMISED, (pool_id, self._boot)).fetchone()
            self._known[pool_id] = 0 if found is None else _number(found[0], pool_id)
        return head <= self._known[pool_id]

    def reaches(self, connection: sqlite3.Connection, pool_id: str, head: int) -> bool:
        """Say whether enough is left for what a transaction appends to a log that ends here."""
        return self.cover(connection, pool_id, head + self.stretch // 2)

    def extend(
        self, connection: sqlite3.Connection, pool_id: str, head: int, appended: int
    ) -> None:
        """Promise a stretch after a number; the commit has to wait for the disk.

        Known it is only when it is looked up again, for this transaction may still fail.

        :param appended: how many records this transaction appends
        """
        stretch = self.stretch * max(_LARGE_BATCH, appended) // _LARGE_BATCH
        connection.execute(_PROMISE, (pool_id, self._boot, head + stretch))


def refuse_lost(connection: sqlite3.Connection, pool_id: str, after: int, head: int) -> None:
    """Refuse a cursor beyond the end of a log if its record was lost.

    :raises StoreError: it was
    """
    if after > head and after <= lost_upto(connection, pool_id):
        msg = (
            f"the log ends at record {head}; what was seen of later ones was lost when the machine"
            " was restarted"
        )
        raise StoreError(msg, pool_id=pool_id, seq=after)


def lost_upto(connection: sqlite3.Connection, pool_id: str) -> int:
    """Say up to which number records that a log has not may have been shown, and lost since."""
    boot = process.boot_id()
    if boot is None:
        return 0
    found = connection.execute(_LOST_UPTO, (boot, pool_id)).fetchone()
    return 0 if found is None else _number(found[0], pool_id)


def _number(found: object, pool_id: str) -> int:
    if isinstance(found, int):
        return found
    msg = f"what is promised of the log is a {type(found).__name__}, not a number"
    raise CorruptRecordError(msg, pool_id=pool_id)
