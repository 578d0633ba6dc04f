"""The time of a store file, the same in all processes that have it open.

The first of them in a run of the machine writes down when that began, by its wall clock. All go on
from there with what the machine counts, so that nobody's time jumps when the wall clock is set. Who
opens a file that nobody has open takes the wall clock's word again, where that has gone on further.
"""

import os
import sqlite3
import threading
from pathlib import Path
from typing import Final

from agentpool.stores.sqlite.connection import write_transaction
from agentpool.stores.sqlite.place import beside
from agentpool.support.clock import StoreClock
from agentpool.support.process import boot_id

__all__ = ("is_at_rest", "know_time", "share_time")

_READ: Final = "SELECT boot_id, began, set_at FROM agentpool_clock WHERE one = 1"
_WRITE: Final = "INSERT OR REPLACE INTO agentpool_clock VALUES (1, ?, ?, ?)"
_LAST_TIME: Final = """
    SELECT max((
        SELECT millis FROM agentpool_times AS times
        WHERE times.pool_id = pools.pool_id AND typeof(millis) = 'integer'
        ORDER BY seq DESC LIMIT 1
    )) FROM agentpool_pools AS pools
"""
_LATEST: Final = 2**43  # in the 23rd century: what says more was not written by us
_SET_AFTER_MILLIS: Final = 1000


def is_at_rest(path: Path) -> bool:
    """Say whether nobody has a file open, and who had it closed it.

    :param path: the file itself, not a link to it
    """
    return not os.path.exists(beside(path, "-wal"))  # noqa: PTH110  # what cannot be seen is not there


def know_time(connection: sqlite3.Connection, clock: StoreClock) -> bool:
    """Take over the time of those who have the file open; say whether there is one."""
    boot = boot_id()
    if boot is None or not clock.is_shared:
        return False
    kept = connection.execute(_READ).fetchone()
    if kept is None or kept[0] != boot or not _is_sane(kept[1] + clock.elapsed()):
        return False
    clock.begin_at(kept[1])
    return True


def share_time(
    connection: sqlite3.Connection, clock: StoreClock, patience: float, *, at_rest_at: int | None
) -> None:
    """Take over the time of a file, or give it one, before anything is done there.

    :param at_rest_at: when, by what has gone by, nobody had the file open; ``None``: somebody may
    :raises StoreBusyError: others held the write lock for longer than ``patience``
    """
    boot, by_wall = boot_id(), clock.began
    if boot is None or not clock.is_shared:
        return
    if know_time(connection, clock) and (
        at_rest_at is None or by_wall <= clock.began + _SET_AFTER_MILLIS
    ):
        return
    with write_transaction(connection, patience, threading.Event()):
        if not know_time(connection, clock):
            [last] = connection.execute(_LAST_TIME).fetchone()
            floor = last if last is not None and _is_sane(last) else 0
            began = max(by_wall, floor - clock.elapsed())
        elif at_rest_at is not None and _set_at(connection) < at_rest_at:
            began = max(by_wall, clock.began)
        else:
            return  # somebody else was first
        clock.begin_at(began)
        connection.execute(_WRITE, (boot, began, clock.elapsed()))


def _set_at(connection: sqlite3.Connection) -> int:
    return int(connection.execute(_READ).fetchone()[2])


def _is_sane(millis: int) -> bool:
    return 0 <= millis < _LATEST
