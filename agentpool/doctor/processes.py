"""Who has a file open, and who is reading it right now, as far as Linux says.

Only names and locks are looked at, nothing is opened: closing a descriptor of the database would
drop SQLite's locks. Sources: proc(5); the places of the locks in sqlite.org/walformat.html.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ("PROC", "Lock", "locks", "name_of", "openers", "readers", "workers_on_deleted")

PROC: Final = Path("/proc")

_READ_MARKS: Final = range(123, 128)
"""The bytes of the ``-shm`` file that a reader locks while it needs what stands in the log."""
_BETWEEN_LOOKS: Final = 0.05


class Lock(NamedTuple):
    """A lock that a process has on a range of bytes."""

    pid: int
    mode: str
    start: int
    end: int


def locks(path: Path, proc: Path = PROC) -> set[Lock] | None:
    """List the locks on a file; ``None`` where that cannot be told.

    Compares inodes only: some file systems give their locks another device number.
    """
    try:
        inode = path.stat().st_ino
        lines = (proc / "locks").read_text("utf-8").splitlines()
    except FileNotFoundError:
        return None if not (proc / "locks").exists() else set()
    except OSError:
        return None
    return {lock for line in lines if (lock := _lock(line, inode)) is not None}


def _lock(line: str, inode: int) -> Lock | None:
    fields = line.split()
    if "->" in fields or int(fields[5].rpartition(":")[2]) != inode:
        return None
    end = 2**63 if fields[7] == "EOF" else int(fields[7])
    return Lock(int(fields[4]), fields[3], int(fields[6]), end)


def readers(shm: Path, proc: Path = PROC) -> list[int]:
    """List the processes that have kept the log from being emptied for a while.

    A short read comes and goes; what is seen twice is worth a word.
    """
    first = _readers(shm, proc)
    if not first:
        return []
    time.sleep(_BETWEEN_LOOKS)
    return sorted(lock.pid for lock in first & _readers(shm, proc))


def _readers(shm: Path, proc: Path) -> set[Lock]:
    return {
        lock
        for lock in locks(shm, proc) or ()
        if lock.mode == "READ" and any(lock.start <= mark <= lock.end for mark in _READ_MARKS)
    }


def openers(path: Path, proc: Path = PROC) -> list[int]:
    """List the processes that have a file open, of those that may be looked at."""
    try:
        found = path.stat()
    except OSError:
        return []
    return sorted(
        {
            pid
            for pid, descriptor in _descriptors(proc)
            if _identity(descriptor) == (found.st_dev, found.st_ino)
        }
    )


def workers_on_deleted(path: Path, proc: Path = PROC) -> list[int]:
    """List the processes that go on with a file of this name which was deleted or replaced.

    SQLite deletes its own files just before it closes them, so only what is seen twice counts.
    """
    first = _on_deleted(path, proc)
    if not first:
        return []
    time.sleep(_BETWEEN_LOOKS)
    return sorted(first & _on_deleted(path, proc))


def _on_deleted(path: Path, proc: Path) -> set[int]:
    wanted = f"{path} (deleted)"
    return {pid for pid, descriptor in _descriptors(proc) if _target(descriptor) == wanted}


def _descriptors(proc: Path) -> Iterator[tuple[int, Path]]:
    for process in proc.glob("[0-9]*"):
        try:
            descriptors = list((process / "fd").iterdir())
        except OSError:  # another user's, or gone
            continue
        for descriptor in descriptors:
            yield int(process.name), descriptor


def _identity(descriptor: Path) -> tuple[int, int] | None:
    try:
        found = descriptor.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:
        return ""


def name_of(pid: int, proc: Path = PROC) -> str:
    """Name a process for people."""
    try:
        command = (proc / str(pid) / "comm").read_text("utf-8", "replace").strip()
    except OSError:
        return f"process {pid}"
    return f"process {pid} ({command})"
