"""A copy of a file as of one moment, while everybody goes on writing to it."""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from agentpool.errors import IncompatibleStoreError, InvalidValueError
from agentpool.stores.sqlite.errors import translated
from agentpool.stores.sqlite.opening import checked_path
from agentpool.stores.sqlite.place import Place, no_file

__all__ = ("back_up",)

_PATIENCE: Final = 5.0


def back_up(path: str | os.PathLike[str], to: str | os.PathLike[str]) -> int:
    """Write a copy of a store file, which may be in use, and give its size in bytes.

    It blocks; not for a process that has the file open, whose locks it would drop. The copy is
    whole, on the disk and needs no other file beside it, or it is not there. Nobody waits for it;
    meanwhile the write-ahead log grows.

    :raises InvalidValueError: there is something where the copy is to be
    :raises IncompatibleStoreError: there is no such file, or it is no regular one
    :raises AgentPoolError: it cannot be read, or the copy not be written
    """
    source, target = checked_path(path), checked_path(to)
    place = Place.of(source)
    place.refuse_missing()
    found = place.path.stat()
    if why := no_file(found):
        msg = f"{source}: {why}"
        raise IncompatibleStoreError(msg)
    place.check_beside()
    part = target.with_name(f"{target.name}.part-{os.getpid()}")
    try:
        _make(part, found.st_mode)
        with translated(str(source)):
            _copy(place.path, part)
        os.link(part, target)  # not `rename`, which would replace what is there
        _sync(target.parent)
    except FileExistsError as error:
        msg = f"{target}: there is something of that name; name another"
        raise InvalidValueError(msg) from error
    except OSError as error:
        msg = f"{target}: it cannot be written: {error.strerror}"
        raise InvalidValueError(msg) from error
    finally:
        with suppress(FileNotFoundError):
            part.unlink()
    return target.stat().st_size


def _make(part: Path, mode: int) -> None:
    """Make an empty file for those who may read the database, which SQLite would not heed."""
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode & 0o777))


def _copy(source: Path, part: Path) -> None:
    uri = f"{source.as_uri()}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True, timeout=_PATIENCE)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("VACUUM INTO ?", (str(part),))
    with part.open("rb+") as copy:
        os.fsync(copy.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
