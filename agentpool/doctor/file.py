"""Checks of the file as SQLite sees it: the write-ahead log, the pages, the schema."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Final

from agentpool.doctor.processes import PROC, name_of, readers
from agentpool.doctor.reading import length
from agentpool.doctor.report import Finding, Places, broken, in_bytes, note, ok
from agentpool.stores.sqlite.place import beside
from agentpool.stores.sqlite.schema import MIGRATIONS, SCHEMA_VERSION

__all__ = ("check_pages", "check_schema", "check_wal", "has_our_tables", "is_store", "version")

WAL_LIMIT: Final = 64 * 2**20
"""Up to this a log is left as it is when it is reused; it is larger only while it is held."""

_COMPLAINTS: Final = 100
WIRE_TABLES: Final = ("agent_pool_records", "agent_pool_event_seq")


def check_wal(path: Path, proc: Path = PROC) -> Iterator[Finding]:
    """Look how large the write-ahead log is, and who keeps it from being emptied."""
    size = length(beside(path, "-wal")) or 0
    pids = readers(beside(path, "-shm"), proc)
    held = ", ".join(name_of(pid, proc) for pid in pids)
    what = f"the write-ahead log has {in_bytes(size)}"
    if held:
        what += f"; {held} is reading and keeps it from being emptied"
    if size <= WAL_LIMIT:
        yield ok("wal", what)
    elif held:
        yield note("wal", what, "let these processes end their read transactions")
    else:
        # With an old SQLite, emptying it beside processes that write can damage the file.
        advice = "when no process has it open: sqlite3 FILE 'PRAGMA wal_checkpoint(TRUNCATE)'"
        yield note("wal", what, advice)


def check_pages(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Look whether pages and indexes are what SQLite wrote."""
    complaints = connection.execute(f"PRAGMA integrity_check({_COMPLAINTS})")
    pages, indexes = Places(), Places()
    for [complaint] in complaints:
        if complaint != "ok":
            about_index = " index " in complaint and "***" not in complaint
            (indexes if about_index else pages).add(complaint)
    if pages:
        yield broken(
            "pages",
            f"the file is damaged: {pages}",
            "restore a backup, or save what `.recover` of sqlite3 finds",
        )
    else:
        yield ok("pages", "every page is in its place")
    if indexes:
        yield broken(
            "indexes",
            f"indexes do not agree with the records: {indexes}",
            "stop all processes, then: sqlite3 FILE REINDEX",
        )
    else:
        yield ok("indexes", "every index agrees with its table")


def version(connection: sqlite3.Connection) -> int:
    """Give the schema version of a file."""
    [found] = connection.execute("PRAGMA user_version").fetchone()
    return int(found)


def is_store(connection: sqlite3.Connection) -> bool:
    """Say whether the table of records is there, with its columns."""
    return _columns(connection, WIRE_TABLES[0]) >= _expected(1)[WIRE_TABLES[0]]


def has_our_tables(connection: sqlite3.Connection) -> bool:
    """Say whether this library has opened the file, in a version that we know."""
    found = version(connection)
    return 0 < found <= SCHEMA_VERSION and not _missing(connection, found)


def check_schema(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Look whether the tables and indexes of the schema version are there."""
    found = version(connection)
    missing = _missing(connection, found)
    if not _names(connection):
        yield note("schema", "the file is empty: nothing was ever stored")
    elif not is_store(connection):
        yield broken("schema", "no store: there is no table of records", "name another file")
    elif found > SCHEMA_VERSION:
        yield note(
            "schema",
            f"version {found}; this library knows up to {SCHEMA_VERSION}, so only the records"
            " were examined",
            "use the version that wrote it, or a newer one",
        )
    elif strange := _in_the_way(connection):
        yield broken(
            "schema",
            f"in the way of what is written: {', '.join(strange)}",
            "drop them: a trigger or view under these names can swallow what is acknowledged",
        )
    elif found <= 0:
        yield _without_version(connection)
    elif missing:
        yield broken(
            "schema",
            f"version {found}, but without {', '.join(missing)}",
            "restore a backup, or copy the records into a new file",
        )
    elif found < SCHEMA_VERSION:
        what = f"version {found}, of an earlier version of this library, with all its tables"
        yield note("schema", what, "nothing: opening the store adds what is missing")
    else:
        yield ok("schema", f"version {found}, with all its tables and indexes")


def _in_the_way(connection: sqlite3.Connection) -> list[str]:
    """List the triggers on our tables that are not ours, and the views in their place."""
    ours, triggers = tuple(_expected(SCHEMA_VERSION)), _triggers()
    return [
        f"{kind} {name!r}"
        for kind, name, table, sql in connection.execute(_ACTING)
        if (table in ours or name in ours) and (name, sql) not in triggers
    ]


_ACTING: Final = """
    SELECT type, name, tbl_name, sql FROM sqlite_master WHERE type IN ('trigger', 'view')
"""


def _without_version(connection: sqlite3.Connection) -> Finding:
    ours = sorted(name for name in _names(connection) if name.startswith("agentpool_"))
    if not ours:
        return note(
            "schema",
            "version 0: written by another implementation, without tables of ours; only the"
            " records were examined",
            "nothing: opening the store adds what is missing",
        )
    what = f"no version, but tables of ours: {', '.join(ours[:3])}"
    whole = [each for each in range(1, SCHEMA_VERSION + 1) if not _missing(connection, each)]
    if not whole:
        return broken("schema", what, "restore a backup, or copy the records into a new file")
    return broken("schema", what, f"sqlite3 FILE 'PRAGMA user_version = {whole[-1]}'")


def _missing(connection: sqlite3.Connection, number: int) -> list[str]:
    """List what the schema of a version has and a file has not."""
    names, expected = _names(connection), _expected(number)
    missing = [name for name in expected if name not in names]
    for table, columns in expected.items():
        if table in names:
            lost = columns - _columns(connection, table)
            missing += [f"{table}.{column}" for column in sorted(lost)]
    return missing


@cache
def _expected(number: int) -> dict[str, frozenset[str]]:
    """List what is in the schema of a version, with its columns."""
    with _schema(number) as connection:
        return {name: _columns(connection, name) for name in _names(connection)}


@cache
def _triggers() -> frozenset[tuple[str, str]]:
    """List our triggers, with what they do."""
    with _schema(SCHEMA_VERSION) as connection:
        return frozenset((name, sql) for _, name, _, sql in connection.execute(_ACTING))


@contextmanager
def _schema(number: int) -> Iterator[sqlite3.Connection]:
    """Make the schema of a version in memory."""
    connection = sqlite3.connect(":memory:")
    try:
        for statement in chain.from_iterable(MIGRATIONS[:number]):
            connection.execute(statement)
        yield connection
    finally:
        connection.close()


def _names(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")
    return [name for [name] in rows]


def _columns(connection: sqlite3.Connection, table: str) -> frozenset[str]:
    rows = connection.execute("SELECT name FROM pragma_table_info(?)", (table,))
    return frozenset(name for [name] in rows)
