"""Opening a store file: the options, the checks, the two connections."""

import os
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

from agentpool.errors import IncompatibleStoreError, InvalidValueError, StoreBusyError, shown
from agentpool.rules.requirements import require_flag
from agentpool.stores.sqlite import safety, schema
from agentpool.stores.sqlite.connection import WorkerConnection
from agentpool.stores.sqlite.forks import refuse_inherited
from agentpool.stores.sqlite.place import Guard, Place
from agentpool.stores.sqlite.time import is_at_rest, share_time
from agentpool.support.clock import Clock, StoreClock, checked_clock, millis
from agentpool.wire.content import checked_max_body

__all__ = ("Connected", "Options", "Synchronous", "checked_path", "connect")

Synchronous: TypeAlias = Literal["FULL", "NORMAL"]

_TRIES: Final = 3


@dataclass(frozen=True)
class Options:
    """How to open a store file; `SqliteAgentPoolStore.open` explains them.

    :raises InvalidValueError: an option is not one of those allowed
    """

    path: Path
    synchronous: Synchronous
    busy_timeout: float
    allow_unsafe_mount: bool
    allow_foreign_tables: bool
    clock: Clock
    max_body: int
    create: bool
    migrate: bool

    def __post_init__(self) -> None:
        if type(self.synchronous) is not str or self.synchronous not in {"FULL", "NORMAL"}:
            msg = f"synchronous: expected 'FULL' or 'NORMAL', got {shown(self.synchronous)}"
            raise InvalidValueError(msg)
        # In whole milliseconds, and without a type of its own.
        patience = millis(self.busy_timeout, "busy_timeout") / 1000
        object.__setattr__(self, "busy_timeout", patience)
        for name in ("allow_unsafe_mount", "allow_foreign_tables", "create", "migrate"):
            require_flag(getattr(self, name), name)
        checked_clock(self.clock)
        checked_max_body(self.max_body)


def checked_path(path: str | os.PathLike[str]) -> Path:
    """Make a path of what a caller gives.

    :raises InvalidValueError: it can be the path of no file
    """
    try:
        name = os.fspath(path)
    except Exception:  # noqa: BLE001  # it is no path, whatever it raises
        name = None
    if not issubclass(type(name), str):
        msg = f"path: expected a string or a path, got {type(path).__name__}"
        raise InvalidValueError(msg)
    name = str.__str__(name)  # of a type of its own, it might say anything
    try:
        has_null = b"\0" in os.fsencode(name)
    except UnicodeEncodeError:
        has_null = True
    if has_null:
        msg = f"path: {name!r} can be the name of no file"
        raise InvalidValueError(msg)
    checked = Path(name)
    if checked.name in {"", ":memory:"}:
        msg = (
            f"path: {name!r} is no file; for memory, give open_store or open_pool 'memory:',"
            " or use InMemoryAgentPoolStore"
        )
        raise InvalidValueError(msg)
    return checked


class Connected(NamedTuple):
    """A file that is open: where, two connections, and what notices that it is not the one."""

    place: Place
    writer: WorkerConnection
    reader: WorkerConnection
    guard: Guard


async def connect(options: Options, clock: StoreClock) -> Connected:
    """Check a file, bring it to the current schema, and connect a writer and a reader to it.

    What is refused is left as it was. Not to be cancelled half way.

    :param clock: is given the time of the file
    """
    safety.tell_of_wal_reset_bug()
    if not options.allow_unsafe_mount:
        safety.check_mount(options.path)
    for _ in range(_TRIES):
        place = Place.of(options.path)
        place.check_beside()
        if options.create:
            place.make()
        else:
            place.refuse_missing()
        connected = await _connect(options, clock, place)
        # Another file may have got the name meanwhile, or SQLite's own have been taken away.
        if connected.guard.look():
            return connected
        await connected.reader.close()
        await connected.writer.close()
    msg = f"{options.path}: it was replaced each time while it was being opened; try again"
    raise StoreBusyError(msg)


async def _connect(options: Options, clock: StoreClock, place: Place) -> Connected:
    file, patience = place.check(), options.busy_timeout
    refuse_inherited(place.given, file)
    at_rest_at = clock.elapsed() if is_at_rest(place.path) else None

    def set_up_writer(connection: sqlite3.Connection) -> None:
        schema.set_up_connection(connection, options.synchronous)
        try:
            schema.refuse_foreign_file(connection, allow_tables=options.allow_foreign_tables)
            schema.prepare_file(connection, patience, threading.Event(), migrate=options.migrate)
        except IncompatibleStoreError as error:
            error.message = f"{options.path}: {error.message}"
            raise
        share_time(connection, clock, patience, at_rest_at=at_rest_at)
        # From here on waiting for the lock is ours, in steps that are fair.
        connection.execute("PRAGMA busy_timeout = 0")

    def set_up_reader(connection: sqlite3.Connection) -> None:
        schema.set_up_connection(connection, options.synchronous)
        connection.execute("PRAGMA query_only = ON")

    writer = await WorkerConnection.open(place.path, patience, set_up_writer)
    try:
        reader = await WorkerConnection.open(place.path, patience, set_up_reader)
    except BaseException:
        await writer.close()
        raise
    return Connected(place, writer, reader, Guard(place, file))
