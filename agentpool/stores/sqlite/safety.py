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

__all__ = (
    "check_mount",
    "has_wal_reset_bug",
    "is_mounted_alone",
    "is_unsafe",
    "mount_type",
    "tell_of_wal_reset_bug",
)

_LOG = logging.getLogger("agentpool")

UNSAFE_MOUNTS: Final = frozenset(
    {
        *("9p", "virtiofs", "vboxsf", "vmhgfs", "prl_fs", "drvfs"),  # of a virtual machine's host
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "coda", "davfs"),
        *("ceph", "lustre", "beegfs", "gpfs", "orangefs", "pvfs2", "panfs"),
    }
)
_LOCAL_FUSE: Final = frozenset({"fuseblk", "fuse.fuse-overlayfs"})
"""A disk of another system's, and the root of a container: the kernel keeps locks and memory."""
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

    Also one that is mounted by itself, as into a container: it has another name there, and with it
    another log.

    :raises IncompatibleStoreError: naming the kind of mount
    """
    kind = mount_type(path, mountinfo)
    if kind is not None and is_unsafe(kind):
        msg = (
            f"{path} is on a {kind} mount, where SQLite's write-ahead log can corrupt;"
            " keep the file on a local disk, or pass allow_unsafe_mount=True"
        )
        raise IncompatibleStoreError(msg)
    if is_mounted_alone(path, mountinfo):
        msg = (
            f"{path} is mounted by itself, so its write-ahead log is not the one beside it where it"
            " lies; mount its folder instead, or pass allow_unsafe_mount=True"
        )
        raise IncompatibleStoreError(msg)


def is_unsafe(kind: str) -> bool:
    """Say whether locks and shared memory cannot be relied on, on a mount of a kind.

    FUSE leaves both to a program, and only few of those that there are keep them as a disk does.
    """
    return kind in UNSAFE_MOUNTS or (kind.startswith("fuse") and kind not in _LOCAL_FUSE)


def mount_type(path: Path, mountinfo: Path) -> str | None:
    """Find the kind of file system that holds a path; ``None`` where it cannot be told."""
    innermost = _innermost(path, mountinfo)
    return None if innermost is None else innermost[1]


def is_mounted_alone(path: Path, mountinfo: Path) -> bool:
    """Say whether a path is itself the point of a mount, as far as that can be told."""
    innermost = _innermost(path, mountinfo)
    return innermost is not None and innermost[0] == path.resolve()


def _innermost(path: Path, mountinfo: Path) -> tuple[Path, str] | None:
    """Find the mount that holds a path: its point, and its type.

    Source: proc(5), section ``/proc/pid/mountinfo``.
    """
    try:
        lines = mountinfo.read_bytes().decode("utf-8", "surrogateescape").split("\n")
        target = path.resolve()
    except (OSError, RuntimeError):  # links in a circle, say; opening the file will tell
        return None
    found: tuple[Path, str] | None = None
    for line in lines:
        fields = line.split(" ")
        if "-" not in fields[5:-1]:  # no line of a mount
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[4]))
        if target.is_relative_to(point) and (
            found is None or len(point.parts) >= len(found[0].parts)
        ):
            found = point, fields[fields.index("-", 5) + 1]
    return found
