"""What is asked of every contender: durable, deduplicated appends, replay, and live following."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, NamedTuple

from benchmarks.checks import expect
from benchmarks.peers.optional import version_of
from benchmarks.workloads import Sent, messages, payload

__all__ = ("POLL", "Contender", "Handle", "Message", "expect_durable", "make_messages", "polled")

POLL: Final = 0.010
"""Seconds between two looks of a consumer whose store has nothing to wait on."""

_FULL: Final = 2


class Message(NamedTuple):
    """One message, made before the clock runs: as we take it, and as text for the others."""

    key: str
    body: str
    sent: Sent


def make_messages(count: int, prefix: str) -> list[Message]:
    """Make messages of about 600 bytes, each with a key of its own."""
    made = messages(count, prefix=prefix)
    return [Message(sent.message.idempotency_key, payload(sent), sent) for sent in made]


class Handle(ABC):
    """An open contender."""

    @abstractmethod
    async def append(self, message: Message) -> None:
        """Store a message; it is durable when this returns. A key seen before changes nothing."""

    async def fill(self, messages: Sequence[Message]) -> None:
        """Store many messages by the shortest way there is. Not measured."""
        for message in messages:
            await self.append(message)

    @abstractmethod
    async def replay(self) -> list[Any]:
        """Read all that was stored, in order, as the store gives it."""

    @abstractmethod
    def follow(self) -> AsyncGenerator[Any, None]:
        """Yield what is stored, then what any process adds, for ever."""

    def text(self, item: Any) -> str:
        """Take the body out of what `replay` or `follow` gave. Not measured."""
        return str(item)


class Contender(ABC):
    """A store that can do the job, and how it is set up here.

    :cvar settings: what a reader has to know of the set-up, in words
    :cvar distribution: the package it comes in
    :cvar kind: a ``floor`` is no product, but what plain ``sqlite3`` can do
    :cvar wakes_only: it differs from another one in how it waits, and in nothing else
    """

    name: ClassVar[str]
    settings: ClassVar[str]
    distribution: ClassVar[str]
    kind: ClassVar[Literal["ours", "floor", "embedded", "server"]] = "embedded"
    deduplicates: ClassVar[bool] = True
    wakes_only: ClassVar[bool] = False

    def missing(self) -> str | None:
        """Say why it cannot run here."""
        if version_of(self.distribution) is None:
            return f"{self.distribution} is not installed"
        return None

    def version(self) -> str:
        """Say which version runs here."""
        return version_of(self.distribution) or "?"

    @contextmanager
    def running(self, folder: Path) -> Iterator[str]:
        """Give the place to open it at; a server runs for that long, with its files in a folder."""
        yield str(folder)

    @abstractmethod
    def open(self, place: str) -> AbstractAsyncContextManager[Handle]:
        """Open it in this process."""


def expect_durable(journal_mode: object, synchronous: object) -> None:
    """Insist that a connection's PRAGMAs are WAL and FULL: then all commits cost the same sync.

    :raises Violation: they are not
    """
    found = f"journal_mode={journal_mode}, synchronous={synchronous}"
    expect(str(journal_mode).lower() == "wal" and synchronous == _FULL, f"it runs at {found}")


async def polled(
    take: Callable[[], Awaitable[Sequence[Any]]], seconds: float = POLL
) -> AsyncGenerator[Any, None]:
    """Follow by asking again and again; it sleeps only after it found nothing."""
    while True:
        found = await take()
        for item in found:
            yield item
        if not found:
            await asyncio.sleep(seconds)
