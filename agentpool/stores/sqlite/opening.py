"""Opening a store file: the options, the checks, the two connections."""

import os
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from agentpool.errors import IncompatibleStoreError, InvalidValueError
from agentpool.stores.sqlite import safety, schema
from agentpool.stores.sqlite.connection import WorkerConnection
from agentpool.stores.sqlite.time import is_at_rest, share_time
from agentpool.support.clock import Clock, StoreClock, checked_clock, millis

__all__ = ("Options", "Synchronous", "checked_path", "connect")

Synchronous: TypeAlias = Literal["FULL", "NORMAL"]


@dataclass(frozen=True)
class Options:
    """How to open a store file; `SqliteAgentPoolStore.open` explains them.

    :raises InvalidValueError: an option is not one of those allowed
    """

    path: Path
    synchronous: Synchronous
    busy_timeout: float
    allow_unsafe_mount: bool
    clock: Clock

    def __post_init__(self) -> None:
        if not isinstance(self.synchronous, str) or self.synchronous not in {"FULL", "NORMAL"}:
            msg = f"synchronous: expected 'FULL' or 'NORMAL', got {self.synchronous!r}"
            raise InvalidValueError(msg)
        millis(self.busy_timeout, "busy_timeout")
        if not isinstance(self.allow_unsafe_mount, bool):
            msg = f"allow_unsafe_mount: expected True or False, got {self.allow_unsafe_mount!r}"
            raise InvalidValueError(msg)
        checked_clock(self.clock)


def checked_path(path: str | os.PathLike[str]) -> Path:
    """Make a path of what a caller gives.

    :raises InvalidValueError: it can be the path of no file
    """
    try:
        name = os.fspath(path)
    except TypeError:
        name = None
    if not isinstance(name, str):
        msg = f"path: expected a string or a path, got {type(path).__name__}"
        raise InvalidValueError(msg)
    try:
        has_null = b"\0" in os.fsencode(name)
    except UnicodeEncodeError:
        has_null = True
    if has_null:
        msg = f"path: {name!r} can be the name of no file"
        raise InvalidValueError(msg)
    checked = Path(name)
    if checked.name in {"", ":memory:"}:
        msg = f"path: {name!r} is no file; for memory use InMemoryAgentPoolStore"
        raise InvalidValueError(msg)
    return checked


async def connect(options: Options, clock: StoreClock) -> tuple[WorkerConnection, WorkerConnection]:
    """Check a file, bring it to the current schema, and connect a writer and a reader to it.

    Not to be cancelled half way.

    :param clock: is given the time of the file
    """
    path, patience = options.path, options.busy_timeout
    safety.warn_of_wal_reset_bug()
    if not options.allow_unsafe_mount:
        safety.check_mount(path)
    at_rest_at = clock.elapsed() if is_at_rest(path) else None

    def set_up_writer(connection: sqlite3.Connection) -> None:
        schema.set_up_connection(connection, options.synchronous)
        try:
            schema.prepare_file(connection, patience, threading.Event())
        except IncompatibleStoreError as error:
            error.message = f"{path}: {error.message}"
            raise
        schema.check_writable(path)
        share_time(connection, clock, patience, at_rest_at=at_rest_at)
        # From here on waiting for the lock is ours, in steps that are fair.
        connection.execute("PRAGMA busy_timeout = 0")

    def set_up_reader(connection: sqlite3.Connection) -> None:
        schema.set_up_connection(connection, options.synchronous)
        connection.execute("PRAGMA query_only = ON")

    writer = await WorkerConnection.open(path, patience, set_up_writer)
    try:
        reader = await WorkerConnection.open(path, patience, set_up_reader)
    except BaseException:
        await writer.close()
        raise
    return writer, reader
