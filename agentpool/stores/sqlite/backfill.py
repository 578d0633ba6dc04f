"""Copying the write-ahead log into the file, in a way that no version of SQLite gets wrong.

SQLite checkpoints after the commit that finds the log long, beside the commits of others. Up to
version 3.51.2 that can, very rarely, lose a commit or damage the file: the checkpoint has read how
long the log is; all of it turns out to be copied already; a commit starts the log anew, which is
allowed just then; and the checkpoint marks as copied what has only now been written.

Only the holder of the write lock can start the log anew. So here a checkpoint is made while its own
process holds that lock, by a second connection, because none can do it inside its own transaction.
Automatic checkpoints are off. What closing the last connection copies, it copies alone.

Sources: sqlite.org/wal.html, "The WAL-Reset Bug"; ``sqlite3WalCheckpoint`` and ``walRestartLog`` in
SQLite's ``wal.c``; sqlite.org/fileformat2.html, section 4, for the log's header and frames.
"""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from agentpool.stores.sqlite.place import beside

__all__ = ("Backfill",)

LOG_FRAMES: Final = 1000
"""Frames, each a page of the file, that the log may gain before they are copied."""

_COMMITS_PER_LOOK: Final = 8
_HEADER: Final = 32
_PAGE_SIZE: Final = slice(8, 12)
_LOG_SALTS: Final = slice(16, 24)
_FRAME_HEADER: Final = 24
_SALTS: Final = slice(8, 16)


class Backfill:
    """Keeps the log of one handle's file short. For the thread that writes.

    :ivar frames: copy a log when as many have come since the last time
    """

    def __init__(self, path: Path) -> None:
        self.frames = LOG_FRAMES
        self._path = path
        self._log = beside(path, "-wal")
        self._commits = 0
        self._salts: bytes | None = None
        self._copied = 0

    def after_commit(self, writer: sqlite3.Connection) -> None:
        """Copy the log if it has grown long. Looks at every eighth commit, which costs least."""
        self._commits += 1
        if self._commits % _COMMITS_PER_LOOK == 0:
            self.look(writer)

    def look(self, writer: sqlite3.Connection, frames: int | None = None) -> None:
        """Copy the log if it has grown long.

        Waits for nobody and raises nothing: what was committed is safe in the log, and a later
        commit looks again.

        :param frames: copy it if it has as many that are not copied, instead of the usual number
        """
        salts = self._salts_of_long_log(frames or self.frames)
        if salts is None:
            return
        with suppress(sqlite3.Error):  # somebody else is writing, or the disk is full
            writer.execute("BEGIN IMMEDIATE")
            try:
                if frames := self._copy():
                    self._salts, self._copied = salts, frames
            finally:
                writer.execute("ROLLBACK")

    def _salts_of_long_log(self, frames: int) -> bytes | None:
        """Give the salts of the log if so many frames have come since it was copied last.

        A log that starts anew has new salts, which its frames have too. It does so only when
        nobody reads it, so it may go on behind what was copied. SQLite takes no locks on this
        file, so closing a descriptor of it drops none.
        """
        try:
            descriptor = os.open(self._log, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            header = os.pread(descriptor, _HEADER, 0)
            page_size, salts = int.from_bytes(header[_PAGE_SIZE], "big"), header[_LOG_SALTS]
            copied = self._copied if salts == self._salts else 0
            last = _HEADER + (copied + frames - 1) * (_FRAME_HEADER + page_size)
            is_long = os.pread(descriptor, _FRAME_HEADER, last)[_SALTS] == salts
        except OSError:
            return None
        finally:
            os.close(descriptor)
        return salts if salts and is_long else None

    def _copy(self) -> int:
        """Copy what no reader still needs in the log; if that was all, say how many frames."""
        with closing(sqlite3.connect(self._path, isolation_level=None, timeout=0)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            query = "PRAGMA wal_checkpoint(PASSIVE)"
            busy, frames, copied = connection.execute(query).fetchone()
            return int(frames) if frames == copied and not busy else 0
