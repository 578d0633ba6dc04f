"""What is checked before a file is opened: the SQLite library and the mount that it lies on.

Sources: sqlite.org/wal.html ("The WAL-Reset Bug"; WAL needs shared memory that all processes see
alike) and sqlite.org/howtocorrupt.html. None of this opens the file: closing a descriptor of it
would drop SQLite's own locks.
"""

import logging
import re
import sqlite3
from pathlib import Path
from typing import Final

from agentpool.errors import IncompatibleStoreError

__all__ = ("check_mount", "has_wal_reset_bug", "mount_type", "tell_of_wal_reset_bug")

_LOG = logging.getLogger("agentpool")

UNSAFE_MOUNTS: Final = frozenset(
    {"9p", "virtiofs", "nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs"}
)
_MENDED: Final = (3, 51, 3)
_MENDED_BRANCHES: Final = {(3, 44): 6, (3, 50): 7}


def has_wal_reset_bug(version: tuple[int, ...]) -> bool:
    """Say whether a SQLite version can, rarely, lose a commit of a WAL file with two writers."""
    if version >= _MENDED:
        return False
    patch = _MENDED_BRANCHES.get((version[0], version[1]))
    return patch is None or version[2] < patch


def tell_of_wal_reset_bug() -> None:
    """Write a line for who debugs: processes of ours are safe from it (see `Backfill`)."""
    if has_wal_reset_bug(sqlite3.sqlite_version_info):
        _LOG.debug(
            "SQLite %s has the WAL-reset bug; checkpoints are made so that it cannot strike",
            sqlite3.sqlite_version,
            extra={"action": "sqlite_wal_reset_bug"},
        )


def check_mount(path: Path, *, mountinfo: Path = Path("/proc/self/mountinfo")) -> None:
    """Refuse a file on a mount where the write-ahead log is known to corrupt.

    :raises IncompatibleStoreError: naming the kind of mount
    """
    kind = mount_type(path, mountinfo)
    if kind in UNSAFE_MOUNTS:
        msg = (
            f"{path} is on a {kind} mount, where SQLite's write-ahead log can corrupt;"
            " keep the file on a local disk, or pass allow_unsafe_mount=True"
        )
        raise IncompatibleStoreError(msg)


def mount_type(path: Path, mountinfo: Path) -> str | None:
    """Find the file system type of the mount that holds a path; ``None`` where it cannot be told.

    Source: proc(5), section ``/proc/pid/mountinfo``.
    """
    try:
        lines = mountinfo.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    try:
        target = path.resolve()
    except (OSError, RuntimeError):  # links in a circle, say; opening the file will tell
        return None
    best: tuple[int, str | None] = (-1, None)
    for line in lines:
        fields = line.split(" ")
        mount_point = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[4]))
        if target.is_relative_to(mount_point) and len(mount_point.parts) >= best[0]:
            best = (len(mount_point.parts), fields[fields.index("-") + 1])
    return best[1]
