"""Checks of what a file depends on: the SQLite library, the mount, permissions, modes."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from agentpool.doctor.processes import PROC, name_of, openers, workers_on_deleted
from agentpool.doctor.reading import Way, journal_mode
from agentpool.doctor.report import Finding, broken, note, ok
from agentpool.stores.sqlite.place import BESIDE, beside, unfit
from agentpool.stores.sqlite.safety import (
    has_wal_reset_bug,
    is_mounted_alone,
    is_unsafe,
    mount_type,
)
from agentpool.stores.sqlite.schema import set_up_connection

__all__ = (
    "check_beside",
    "check_journal_mode",
    "check_library",
    "check_links",
    "check_mount",
    "check_permissions",
    "check_processes",
    "check_synchronous",
)

_FULL = 2


def check_library() -> Iterator[Finding]:
    """Look whether this SQLite library has the WAL-reset bug."""
    version = sqlite3.sqlite_version
    if has_wal_reset_bug(sqlite3.sqlite_version_info):
        yield note(
            "sqlite",
            f"SQLite {version} has the WAL-reset bug: this library is safe from it, but another"
            " program that writes to the file can, very rarely, damage it",
            "where others write too, use SQLite 3.51.3 or newer, 3.50.7 or 3.44.6 in all of them",
        )
    else:
        yield ok("sqlite", f"SQLite {version}, without the WAL-reset bug")


def check_mount(path: Path, proc: Path = PROC) -> Iterator[Finding]:
    """Look whether the mount is one where a write-ahead log can corrupt."""
    mountinfo = proc / "self" / "mountinfo"
    kind = mount_type(path, mountinfo)
    if kind is not None and is_unsafe(kind):
        yield note(
            "mount",
            f"on a {kind} mount, where SQLite's write-ahead log can corrupt",
            "move the file to a local disk",
        )
    elif is_mounted_alone(path, mountinfo):
        yield broken(
            "mount",
            "mounted by itself: its write-ahead log is not the one beside it where it lies",
            "stop all processes, and mount its folder instead",
        )
    else:
        yield ok("mount", f"on {kind or 'a mount of unknown kind'}")


def check_links(path: Path) -> Iterator[Finding]:
    """Look whether the file has one name only: each has a write-ahead log of its own."""
    names = path.stat().st_nlink
    if names > 1:
        yield broken(
            "links",
            f"the file has {names} names (hard links), each with a write-ahead log of its own: what"
            " was committed by one name is lost to the others, or damages the file",
            f"stop all processes, and delete the others: find / -xdev -samefile '{path}'",
        )
    else:
        yield ok("links", "the file has one name")


def check_beside(path: Path) -> Iterator[Finding]:
    """Look for what SQLite would take for its own, wait for, or write through."""
    for each in (beside(path, suffix) for suffix in BESIDE):
        try:
            why = unfit(each.lstat())
        except FileNotFoundError:
            continue
        if why:
            advice = "stop all processes first; the store is not opened as long as it is there"
            yield broken("file", f"{each.name} lies beside it: {why}", advice)


def check_permissions(path: Path) -> Iterator[Finding]:
    """Look whether this user may write all that a store writes."""
    kept = [beside(path, suffix) for suffix in ("", "-wal", "-shm", "-bell-book")]
    refused = [
        each.name or str(each)
        for each in (path.parent, *kept)
        if each.exists() and not os.access(each, os.W_OK)
    ]
    if refused:
        yield note(
            "permissions",
            f"this user may not write {', '.join(refused)}",
            "give the users of the store write access to the files and their folder",
        )
    else:
        yield ok("permissions", "this user may write the files and their folder")


def check_processes(path: Path, proc: Path = PROC) -> Iterator[Finding]:
    """Look who has the file open, and whether it is still the file that they opened."""
    if not (proc / "locks").exists():
        yield ok("processes", "who has the file open cannot be told on this system")
        return
    lost = {
        pid
        for suffix in ("", "-wal", "-shm")
        for pid in workers_on_deleted(beside(path, suffix), proc)
    }
    if lost:
        yield broken(
            "processes",
            f"{_names(lost, proc)} works on files of this name that were deleted or replaced",
            "stop these processes; what they commit is lost to all others",
        )
    users = openers(path, proc)
    yield ok("processes", f"open in {_names(users, proc)}" if users else "nobody has the file open")


def _names(pids: list[int] | set[int], proc: Path) -> str:
    return ", ".join(name_of(pid, proc) for pid in sorted(pids))


def check_journal_mode(connection: sqlite3.Connection, path: Path, way: Way) -> Iterator[Finding]:
    """Look whether the file is in WAL mode."""
    mode = journal_mode(connection, path, way)
    if mode == "wal":
        yield ok("journal", "in WAL mode")
    else:
        yield note(
            "journal",
            f"in journal mode {mode!r} instead of WAL",
            "opening the store switches it; until then readers and writers block each other",
        )


def check_synchronous(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Look whether SQLite does as it is told about waiting for the disk."""
    set_up_connection(connection, "FULL")
    [level] = connection.execute("PRAGMA synchronous").fetchone()
    if level == _FULL:
        yield ok("synchronous", "FULL, as connections of this library set it")
    else:
        yield note(
            "synchronous",
            f"level {level} although FULL was asked for; a power cut may take the last commits",
            "use a SQLite library that is not built to ignore PRAGMA synchronous",
        )
