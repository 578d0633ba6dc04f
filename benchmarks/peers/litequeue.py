"""litequeue: a queue in one SQLite table."""

import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from benchmarks.peers.contender import Contender, Handle, Message, expect_durable, polled
from benchmarks.peers.optional import load

__all__ = ("LiteQueue",)

_ALL = "SELECT data FROM [Queue] ORDER BY message_id"


class _Handle(Handle):
    def __init__(self, queue: Any) -> None:
        self._queue = queue

    async def append(self, message: Message) -> None:
        # Straight from the loop: threads only add the handing over.
        self._queue.put(message.body)

    async def fill(self, messages: Sequence[Message]) -> None:
        with self._queue.transaction():
            for message in messages:
                self._queue.put(message.body)

    async def replay(self) -> list[Any]:
        rows = self._queue.conn.execute(_ALL).fetchall()
        return [row[0] for row in rows]

    def follow(self) -> AsyncGenerator[Any, None]:
        peeked = None

        async def take() -> list[str]:
            # Given before it is consumed, as a reader is; pop() commits, and peek() does not.
            nonlocal peeked
            if peeked is not None:
                self._queue.pop()
            peeked = self._queue.peek()
            return [] if peeked is None else [peeked.data]

        return polled(take)


class LiteQueue(Contender):
    """litequeue, at the durability of the others: it sets synchronous=NORMAL itself."""

    name = "litequeue"
    distribution = "litequeue"
    deduplicates = False
    settings = (
        "WAL, synchronous=FULL instead of its NORMAL, polled every 10 ms; given when peeked, popped"
        " with the next look; no deduplication;"
        " its table is selected to replay, as it has no call for that"
    )

    @asynccontextmanager
    async def open(self, place: str) -> AsyncIterator[Handle]:
        queue = load("litequeue").LiteQueue(Path(place) / "queue.db")
        connection: sqlite3.Connection = queue.conn
        with closing(connection):
            connection.execute("PRAGMA synchronous = FULL")
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
            (level,) = connection.execute("PRAGMA synchronous").fetchone()
            expect_durable(mode, level)
            yield _Handle(queue)
