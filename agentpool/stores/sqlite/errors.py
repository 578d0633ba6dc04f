"""The one border where errors of the engine become ours.

Source: the result codes at sqlite.org/rescode.html. The extended code decides before the primary
one, which is its low byte.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from agentpool.errors import (
    AgentPoolError,
    IncompatibleStoreError,
    StoreBusyError,
    StoreError,
    StoreFullError,
)

__all__ = ("FOREIGN", "ours", "translated")

_PRIMARY_CODE = 0xFF

_MEANING: Final[dict[int, tuple[type[AgentPoolError], str]]] = {
    sqlite3.SQLITE_BUSY: (StoreBusyError, "another connection holds the lock"),
    sqlite3.SQLITE_LOCKED: (StoreBusyError, "another connection holds the lock"),
    sqlite3.SQLITE_PROTOCOL: (StoreBusyError, "the locking protocol gave up"),
    sqlite3.SQLITE_FULL: (StoreFullError, "the disk, or the file's own limit, is full"),
    # The shared-memory file could not grow: nothing but a full disk does that.
    sqlite3.SQLITE_IOERR_SHMSIZE: (StoreFullError, "the disk is full"),
    sqlite3.SQLITE_NOTADB: (IncompatibleStoreError, "the file is not a SQLite database"),
    sqlite3.SQLITE_READONLY: (IncompatibleStoreError, "the file cannot be written"),
    sqlite3.SQLITE_CANTOPEN: (IncompatibleStoreError, "the file cannot be opened"),
    sqlite3.SQLITE_PERM: (IncompatibleStoreError, "access to the file is denied"),
    sqlite3.SQLITE_CORRUPT: (StoreError, "the file is damaged"),
    sqlite3.SQLITE_IOERR: (StoreError, "the file could not be read or written"),
}


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Turn any ``sqlite3.Error`` that comes out of the block into one of ours, naming the file."""
    try:
        yield
    except FOREIGN as error:
        raise ours(error, path) from error


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
    if code & _PRIMARY_CODE == sqlite3.SQLITE_CANTOPEN:
        meaning = f"{meaning}: {_why_not_opened(Path(path))}"
    return type_(f"{path}: {meaning} ({error})")


def _why_not_opened(path: Path) -> str:
    """Find out what the engine does not say, without opening anything."""
    try:
        if path.is_dir():
            return "it is a directory; give the path of a file in it"
        if not path.parent.exists():
            return f"the folder {path.parent} does not exist; create it first"
        if not path.parent.is_dir():
            return f"{path.parent} is no folder"
    except OSError as error:
        return f"{error.strerror}"
    return "see who may read and write it and its folder"
