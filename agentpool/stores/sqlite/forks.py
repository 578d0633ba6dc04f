"""Which files this process has open in SQLite, and which its parents had when they forked.

SQLite keeps what it knows of the locks of a process in the memory of that process. A fork copies
it, while the locks stay with the parent: a child that opens the same file, by any name, works
without locks, and whoever of the two closes first deletes the log under the other. Only ``exec``
begins anew. Sources: sqlite.org/howtocorrupt.html, section 2.6, and ``unixInodeInfo`` in os_unix.c.
"""

import ctypes
import os
from pathlib import Path
from typing import Final, TypeAlias
from weakref import WeakKeyDictionary

from agentpool.errors import StoreClosedError

__all__ = ("Identity", "holds", "identity", "let_go", "refuse_inherited", "take_hold")

Identity: TypeAlias = tuple[int, int]
"""The device and the inode of a file: what it is, whatever its name."""

_open: Final[WeakKeyDictionary[object, Identity | None]] = WeakKeyDictionary()
_inherited: Final[set[Identity | None]] = set()


def identity(path: Path, *, follow: bool = True) -> Identity | None:
    """Say which file has a name; ``None``: none has.

    :param follow: whether to say where a link leads, rather than which link it is
    :raises OSError: that cannot be seen
    """
    try:
        found = path.stat(follow_symlinks=follow)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def take_hold(connection: object, path: Path) -> None:
    """Take note of a connection, before SQLite opens a file that is there."""
    _open[connection] = identity(path)


def let_go(connection: object) -> None:
    """Take note that a connection is closed."""
    _open.pop(connection, None)


def holds(connection: object) -> bool:
    """Say whether a connection is open, and was opened by this very process."""
    return connection in _open


def refuse_inherited(path: Path, file: Identity) -> None:
    """Refuse a file that a parent had open when it forked.

    :raises StoreClosedError: saying how to start processes instead
    """
    if file in _inherited:
        msg = (
            f"{path}: a parent of this process had the file open when it forked, and SQLite's"
            " locks do not survive that; start processes by 'spawn' or 'forkserver', or fork"
            " before the file is opened"
        )
        raise StoreClosedError(msg)


def _in_child() -> None:
    for connection, file in list(_open.items()):
        _inherited.add(file)
        # Never freed here, not even at the end of the interpreter: SQLite would close it as if it
        # were the last, and might delete the log that others write.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
    _open.clear()


os.register_at_fork(after_in_child=_in_child)
