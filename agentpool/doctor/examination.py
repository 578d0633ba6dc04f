"""All checks of a file, in order."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from agentpool.doctor import environment, file
from agentpool.doctor.file_reader import FileReader
from agentpool.doctor.pools import check_pools, guarded
from agentpool.doctor.promises import check_promises
from agentpool.doctor.reading import Way, footprint, looking, way_of
from agentpool.doctor.records import check_records
from agentpool.doctor.report import Finding, Report, broken, note
from agentpool.stores.sqlite.connection import is_busy
from agentpool.stores.sqlite.opening import checked_path
from agentpool.stores.sqlite.place import beside, no_file
from agentpool.stores.sqlite.time import know_time
from agentpool.support.clock import Clock, StoreClock

__all__ = ("examine_file",)

_TRIES: Final = 3


def examine_file(path: str | os.PathLike[str], clock: Clock) -> Report:
    """Examine a store file; see `agentpool.doctor.examine`."""
    named = checked_path(path)
    try:
        return _report(named, Path(os.path.realpath(named)), clock)
    except OSError as error:
        what = f"cannot be looked at: {error.strerror or error}"
        advice = "examine it as a user who may read it and its folder"
        return Report(named, (broken("file", what, advice),))


def _report(path: Path, place: Path, clock: Clock) -> Report:
    try:
        why = no_file(place.stat())
    except (FileNotFoundError, NotADirectoryError):
        why = "there is no such file"
    if why:
        return Report(path, (broken("file", why, "name another"),))
    for _ in range(_TRIES):
        before, way = footprint(place), way_of(place)
        findings = tuple(_examine(place, way, clock))
        if way.isolated or footprint(place) == before:
            return Report(path, findings)
    unsteady = note("file", "was changed each time while it was read", "examine it again")
    return Report(path, (unsteady, *findings))


def _examine(path: Path, way: Way, clock: Clock) -> Iterator[Finding]:
    yield from environment.check_library()
    yield from environment.check_mount(path)
    yield from environment.check_links(path)
    yield from environment.check_permissions(path)
    yield from environment.check_processes(path)
    yield from file.check_wal(path)
    if strange := tuple(environment.check_beside(path)):  # reading the file would open it
        yield from strange
        return
    if beside(path, "-journal").exists():
        yield broken(
            "file",
            "a rollback journal lies beside it: a program without WAL is writing, or was killed",
            "let it end; if none is running: sqlite3 FILE 'SELECT count(*) FROM sqlite_master'",
        )
        return
    yield from guarded("file", lambda: _examine_content(path, way, clock), _told)


def _examine_content(path: Path, way: Way, clock: Clock) -> Iterator[Finding]:
    with looking(path, way) as connection:
        yield from environment.check_journal_mode(connection, path, way)
        yield from environment.check_synchronous(connection)
        connection.execute("BEGIN")  # from here on, all is looked at as of one moment
        yield from guarded("schema", lambda: file.check_schema(connection), _told)
        yield from guarded("pages", lambda: file.check_pages(connection), _told)
        if file.is_store(connection):
            yield from _examine_store(connection, _time_of(connection, clock))


def _time_of(connection: sqlite3.Connection, clock: Clock) -> int:
    """Give the time by which those tell it who have the file open."""
    its_own = StoreClock(clock)
    with suppress(sqlite3.Error, TypeError):  # of an older version, or damaged: told of elsewhere
        know_time(connection, its_own)
    return its_own()


def _examine_store(connection: sqlite3.Connection, now: int) -> Iterator[Finding]:
    reader = FileReader(connection)
    if not file.has_our_tables(connection):
        yield from guarded("records", lambda: check_records(reader), _told)
        return
    yield from check_pools(reader, now, _told)
    yield from guarded("promises", lambda: check_promises(connection), _told)


def _told(name: str, error: Exception) -> Finding:
    if isinstance(error, sqlite3.OperationalError) and is_busy(error):
        return note(name, f"another process kept it locked: {error}", "examine it again")
    return broken(name, f"cannot be read: {error}", "restore a backup")
