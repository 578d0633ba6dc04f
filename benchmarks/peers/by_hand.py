"""The floor: ``sqlite3`` and one table with a unique key, in single commits and in large ones."""

import sqlite3
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, ClassVar, Final

from benchmarks.peers.contender import (
    POLL,
    Contender,
    Handle,
    Message,
    expect_durable,
    make_messages,
    polled,
)

__all__ = ("BATCH", "ByHand", "ByHandEagerly", "batched_rate")

BATCH: Final = 1_000

_TABLE = """
    CREATE TABLE IF NOT EXISTS messages (
        seq INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, body TEXT NOT NULL
    )
"""
_INSERT = "INSERT INTO messages (key, body) VALUES (?, ?) ON CONFLICT DO NOTHING"
_AFTER = "SELECT seq, body FROM messages WHERE seq > ? ORDER BY seq"


def _connect(folder: str | Path) -> sqlite3.Connection:
    connection = sqlite3.connect(Path(folder) / "messages.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(_TABLE)
    (mode,), (level,) = (
        connection.execute(f"PRAGMA {name}").fetchone() for name in ("journal_mode", "synchronous")
    )
    expect_durable(mode, level)
    return connection


def _insert_all(connection: sqlite3.Connection, messages: Sequence[Message]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(_INSERT, [(message.key, message.body) for message in messages])
    connection.execute("COMMIT")


def batched_rate(folder: Path, batches: int) -> float:
    """Commit so many batches, and give the rows per second: no single append can have that."""
    messages = make_messages(batches * BATCH, "batched")
    with closing(_connect(folder)) as connection:
        start = time.perf_counter()
        for batch in range(batches):
            _insert_all(connection, messages[batch * BATCH : (batch + 1) * BATCH])
        return len(messages) / (time.perf_counter() - start)


class _Handle(Handle):
    def __init__(self, connection: sqlite3.Connection, poll: float) -> None:
        self._connection, self._poll = connection, poll

    async def append(self, message: Message) -> None:
        self._connection.execute(_INSERT, (message.key, message.body))

    async def fill(self, messages: Sequence[Message]) -> None:
        _insert_all(self._connection, messages)

    async def replay(self) -> list[Any]:
        return self._connection.execute(_AFTER, (0,)).fetchall()

    def follow(self) -> AsyncGenerator[Any, None]:
        last = 0

        async def take() -> list[Any]:
            nonlocal last
            rows = self._connection.execute(_AFTER, (last,)).fetchall()
            last = rows[-1][0] if rows else last
            return rows

        return polled(take, self._poll)

    def text(self, item: Any) -> str:
        return str(item[1])


class ByHand(Contender):
    """What one would write without any library."""

    name = "sqlite3 by hand"
    kind = "floor"
    settings = "WAL, synchronous=FULL, one row per commit, polled every 10 ms"
    poll: ClassVar[float] = POLL

    def missing(self) -> str | None:
        return None

    def version(self) -> str:
        return sqlite3.sqlite_version

    @asynccontextmanager
    async def open(self, place: str) -> AsyncIterator[Handle]:
        with closing(_connect(place)) as connection:
            yield _Handle(connection, self.poll)


class ByHandEagerly(ByHand):
    """The same with a poll that nobody would leave running for long."""

    name = "sqlite3 by hand, polled every 1 ms"
    settings = "WAL, synchronous=FULL, one row per commit, polled every 1 ms"
    poll = 0.001
    wakes_only = True
