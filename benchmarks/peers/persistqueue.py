"""persist-queue: its SQLite queue of unique items."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from typing import Any

from benchmarks.peers.contender import Contender, Handle, Message, expect_durable, polled
from benchmarks.peers.optional import load

__all__ = ("PersistQueue",)


class _Handle(Handle):
    def __init__(self, queue: Any, empty: type[Exception]) -> None:
        self._queue, self._empty = queue, empty

    async def append(self, message: Message) -> None:
        # Straight from the loop: threads only add the handing over.
        self._queue.put(message.body)

    async def fill(self, messages: Sequence[Message]) -> None:
        _connection(self._queue).execute("PRAGMA synchronous = OFF")
        await super().fill(messages)

    async def replay(self) -> list[Any]:
        items: list[Any] = self._queue.queue()
        return items

    def follow(self) -> AsyncGenerator[Any, None]:
        async def take() -> list[Any]:
            try:
                return [{"data": self._queue.get(block=False)}]
            except self._empty:
                return []

        return polled(take)

    def text(self, item: Any) -> str:
        return str(item["data"])


class PersistQueue(Contender):
    """UniqueQ, which refuses what it holds already."""

    name = "persist-queue UniqueQ"
    distribution = "persist-queue"
    settings = (
        "WAL, synchronous=FULL, auto_commit, polled every 10 ms; consuming commits;"
        " deduplicates by the whole body, and only until it is consumed"
    )

    @asynccontextmanager
    async def open(self, place: str) -> AsyncIterator[Handle]:
        persistqueue = load("persistqueue")
        with closing(persistqueue.UniqueQ(place, auto_commit=True)) as queue:
            (mode,) = _connection(queue).execute("PRAGMA journal_mode").fetchone()
            (level,) = _connection(queue).execute("PRAGMA synchronous").fetchone()
            expect_durable(mode, level)
            yield _Handle(queue, persistqueue.Empty)


def _connection(queue: Any) -> Any:
    return queue._putter  # noqa: SLF001  # the only way to see what it runs at
