"""What a worker was told, written down at once: a line for each acknowledgement.

The journal is written without a buffer, so it is as true as the kernel when its writer is killed.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

__all__ = ("EVENTS", "LOG", "RUNS", "WORK", "Entry", "Journal", "Told", "parse", "read")

LOG: Final = "pool.log"
"""The pool that messages are only recorded in."""
WORK: Final = "pool.work"
"""The coordinated pool."""
EVENTS: Final = "pool.events"
"""The pool that only numbers are taken from."""
RUNS: Final = ("run.a", "run.b", "run.c")


class Told(StrEnum):
    """What was acknowledged."""

    APPENDED = "appended"
    """A message with this key was recorded under this number."""
    SENT = "sent"
    """A message with this key was delivered to these runs."""
    CLAIMED = "claimed"
    """A run took the message of this record, for the n-th time."""
    ACKING = "acking"
    """It is about to acknowledge it: from here on it may be gone."""
    ACKED = "acked"
    """It has acknowledged it."""
    REGISTERED = "registered"
    """This wake waits, or waited."""
    TRIGGERED = "triggered"
    """What this wake waits for was sent."""
    OPENED = "opened"
    """This pool was opened."""
    NUMBER = "number"
    """This number was taken."""
    CONTENT = "content"
    """The body with this ref is kept."""
    SHOWN = "shown"
    """A watcher of this pool has seen the record of this number."""


class Entry(NamedTuple):
    """One line of a journal."""

    told: Told
    values: tuple[Any, ...]


class Journal:
    """The writing side: a ``with`` block around a worker's life."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, told: Told, *values: str | int) -> None:
        """Write something down; once this has returned, a kill cannot take it back."""
        os.write(self._fd, json.dumps([told, *values]).encode() + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._fd)


def parse(lines: Iterable[str]) -> Iterator[Entry]:
    """Read lines; a last one that was cut counts as never written."""
    for line in lines:
        with suppress(json.JSONDecodeError):
            told, *values = json.loads(line)
            yield Entry(Told(told), tuple(values))


def read(paths: Iterable[Path]) -> list[Entry]:
    """Read journals."""
    texts = [path.read_text(encoding="utf-8") for path in paths if path.exists()]
    return [entry for text in texts for entry in parse(text.splitlines())]
