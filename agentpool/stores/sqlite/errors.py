"""The one border where errors of the engine become ours.

Source: the result codes at sqlite.org/rescode.html. The extended code decides before the primary
one, which is its low byte.
"""

import errno
import os
import resource
import sqlite3
import tempfile
from glob import escape
from pathlib import Path
from typing import Final

from agentpool.errors import (
    AgentPoolError,
    IncompatibleStoreError,
    InvalidValueError,
    StoreBusyError,
    StoreError,
    StoreFullError,
)
from agentpool.stores.batch.engine_errors import Border

__all__ = ("FOREIGN", "in_our_terms", "not_opened", "ours", "translated")

_PRIMARY_CODE = 0xFF

_MEANING: Final[dict[int, tuple[type[AgentPoolError], str]]] = {
    sqlite3.SQLITE_BUSY: (StoreBusyError, "another connection holds the lock"),
    sqlite3.SQLITE_LOCKED: (StoreBusyError, "another connection holds the lock"),
    sqlite3.SQLITE_PROTOCOL: (StoreBusyError, "the locking protocol gave up"),
    sqlite3.SQLITE_FULL: (StoreFullError, "the disk, or the file's own limit, is full"),
    # The shared-memory file could not grow: nothing but a full disk does that.
    sqlite3.SQLITE_IOERR_SHMSIZE: (StoreFullError, "the disk is full"),
    sqlite3.SQLITE_NOTADB: (IncompatibleStoreError, "the file is not a SQLite database"),
    sqlite3.SQLITE_READONLY: (
        IncompatibleStoreError,
        "the file cannot be written; see who may, and how its disk is mounted",
    ),
    sqlite3.SQLITE_TOOBIG: (InvalidValueError, "a value is larger than SQLite takes"),
    sqlite3.SQLITE_CANTOPEN: (IncompatibleStoreError, "the file cannot be opened"),
    sqlite3.SQLITE_PERM: (IncompatibleStoreError, "access to the file is denied"),
    sqlite3.SQLITE_CORRUPT: (StoreError, "the file is damaged"),
    sqlite3.SQLITE_IOERR: (StoreError, "the file could not be read or written"),
}


FOREIGN: Final = (sqlite3.Error, UnicodeDecodeError)
"""What the engine raises; it quotes a damaged schema in its messages, which need not be UTF-8."""


def ours(error: sqlite3.Error | UnicodeDecodeError, path: str) -> AgentPoolError:
    """Say in our terms what the engine raised, naming the file."""
    if isinstance(error, UnicodeDecodeError):
        return StoreError(
            f"{path}: the file is damaged ({error.reason} in a message of the engine)"
        )
    code = getattr(error, "sqlite_errorcode", None) or sqlite3.SQLITE_ERROR
    type_, meaning = (
        _MEANING.get(code)
        or _MEANING.get(code & _PRIMARY_CODE)
        or (StoreError, "the storage engine failed")
    )
    if code in _FAILED_WRITES and (why := _why_not_written(Path(path))) is not None:
        type_, meaning = why
    if code & _PRIMARY_CODE == sqlite3.SQLITE_CANTOPEN:
        if not _descriptors_are_left():
            return _too_many_files(path)
        if (why := _why_not_made(Path(path))) is not None:
            type_, meaning = why
        else:
            meaning = f"{meaning}: see who may read and write it and its folder"
    return type_(f"{path}: {meaning} ({error})")


_BORDER: Final = Border(FOREIGN, ours)
translated: Final = _BORDER.translated
in_our_terms: Final = _BORDER.outcome


_NO_DESCRIPTOR: Final = {errno.EMFILE, errno.ENFILE}
_FAILED_WRITES: Final = {
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_FSYNC,
    sqlite3.SQLITE_IOERR_DIR_FSYNC,
    sqlite3.SQLITE_IOERR_TRUNCATE,
}
_PROBE: Final = 2**16
_LARGEST_WRITE: Final = 2**25  # where it would have ended is not known
_NO_ROOM: Final = {
    errno.ENOSPC: "the disk is full, or has as many files as it takes; make room",
    errno.EDQUOT: "the quota of this user is used up; make room, or have it raised",
    errno.EFBIG: "the file may not grow any more; see the limits of the file system",
}


def _why_not_written(path: Path) -> tuple[type[AgentPoolError], str] | None:
    return _why_not_made(path) or _what_limits(path)


def _why_not_made(path: Path) -> tuple[type[AgentPoolError], str] | None:
    """Find out what the engine does not say, by making and writing a file of our own beside it.

    Not by the database: whoever closes it drops the locks of the engine.
    """
    try:
        with tempfile.TemporaryFile(dir=path.parent) as probe:
            probe.write(bytes(_PROBE))
            probe.flush()
    except OSError as error:
        if error.errno in _NO_ROOM:
            return StoreFullError, _NO_ROOM[error.errno]
        if error.errno == errno.EROFS:
            return IncompatibleStoreError, "the disk is mounted for reading only; mount it to write"
    return None


def _what_limits(path: Path) -> tuple[type[AgentPoolError], str] | None:
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        largest = max(each.stat().st_size for each in path.parent.glob(f"{escape(path.name)}*"))
    except (OSError, ValueError):  # nothing is there any more
        return None
    if limit != resource.RLIM_INFINITY and largest + _LARGEST_WRITE > limit:
        return StoreFullError, "RLIMIT_FSIZE keeps the file from growing; raise it (`ulimit -f`)"
    return None


def _too_many_files(path: object) -> StoreBusyError:
    return StoreBusyError(
        f"{path}: too many files are open; close some, or raise the limit (ulimit -n)"
    )


def _descriptors_are_left() -> bool:
    """Find out what the engine does not say."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno not in _NO_DESCRIPTOR
    return True


def not_opened(error: OSError, path: Path) -> AgentPoolError:
    """Say in our terms why a file cannot be made, or looked at."""
    if error.errno in _NO_DESCRIPTOR:
        return _too_many_files(path)
    if error.errno in _NO_ROOM:
        return StoreFullError(f"{path}: {_NO_ROOM[error.errno]} ({error.strerror})")
    if error.errno == errno.ENOENT:
        why = f"the folder {path.parent} does not exist; create it first"
    elif error.errno == errno.ENOTDIR:
        why = f"{path.parent} is no folder"
    else:
        why = f"{error.strerror}; see who may write to its folder, and how the disk is mounted"
    return IncompatibleStoreError(f"{path}: the file cannot be opened: {why}")
