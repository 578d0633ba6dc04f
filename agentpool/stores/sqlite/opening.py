"""Opening a store file: the options, the checks, the two connections."""

import os
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from agentpool.errors import IncompatibleStoreError, InvalidValueError, shown
from agentpool.stores.sqlite import safety, schema
from agentpool.stores.sqlite.connection import WorkerConnection
from agentpool.support.clock import Clock, checked_clock, millis
from agentpool.wire.content import checked_max_body

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
    max_body: int

    def __post_init__(self) -> None:
        if type(self.synchronous) is not str or self.synchronous not in {"FULL", "NORMAL"}:
            msg = f"synchronous: expected 'FULL' or 'NORMAL', got {shown(self.synchronous)}"
            raise InvalidValueError(msg)
        # In whole milliseconds, and without a type of its own.
        patience = millis(self.busy_timeout, "busy_timeout") / 1000
        object.__setattr__(self, "busy_timeout", patience)
        allow = self.allow_unsafe_mount
        if type(allow) is not bool:
            msg = f"allow_unsafe_mount: expected True or False, got {shown(allow)}"
            raise InvalidValueError(msg)
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
        msg = f"path: {name!r} is no file; for memory use InMemoryAgentPoolStore"
        raise InvalidValueError(msg)
    return checked


async def connect(options: Options) -> tuple[WorkerConnection, WorkerConnection]:
    """Check a file, bring it to the current schema, and connect a writer and a reader to it.

    Not to be cancelled half way.
    """
    path, patience = options.path, options.busy_timeout
    safety.warn_of_wal_reset_bug()
    if not options.allow_unsafe_mount:
        safety.check_mount(path)

    def set_up_writer(connection: sqlite3.Connection) -> None:
        schema.set_up_connection(connection, options.synchronous)
        try:
            schema.prepare_file(connection, patience, threading.Event())
        except IncompatibleStoreError as error:
            error.message = f"{path}: {error.message}"
            raise
        schema.check_writable(path)
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
