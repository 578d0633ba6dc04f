"""The lines of the store in `jsonl_store`, and a pool that is made of them.

A line is a transaction. Before it stands its checksum, so that one that a crash left torn shows.
"""

from collections.abc import Iterator
from typing import Any, Final
from zlib import crc32

import msgspec

from agentpool.stores import (
    Clock,
    Content,
    Decision,
    MemoryPool,
    Row,
    RowKey,
    SealedPayload,
    StoreError,
    open_payload,
)

__all__ = ("Entry", "LoggedPool", "from_lines", "to_line")


class Change(msgspec.Struct, omit_defaults=True):
    """What was applied to a pool, or how far its records have been worked in."""

    projected: int | None = None
    records: tuple[tuple[str, str], ...] = ()
    event_sequence: int | None = None
    puts: tuple[Row, ...] = ()
    deletes: tuple[RowKey, ...] = ()
    announce: bool = False
    bodies: tuple[Content, ...] = ()


class Entry(msgspec.Struct, omit_defaults=True):
    """The work of a command on a pool, or bodies for none."""

    pool_id: str = ""
    at: int = 0
    changes: list[Change] = []


class LoggedPool(MemoryPool):
    """A pool in memory that knows which of its changes stand in no line yet."""

    def __init__(self, pool_id: str, clock: Clock) -> None:
        super().__init__(pool_id, clock)
        self.unsaved: list[Change] = []

    def apply(self, decision: Decision[Any]) -> None:
        records = tuple((each.kind, each.payload_json) for each in decision.records)
        self.unsaved.append(Change(None, records, *decision[2:]))
        super().apply(decision)

    def set_projected(self, seq: int) -> None:
        self.unsaved.append(Change(seq))
        super().set_projected(seq)

    def take_in(self, change: Change) -> None:
        """Make a change that stands in a line."""
        if change.projected is not None:
            super().set_projected(change.projected)
            return
        records = tuple(
            SealedPayload(open_payload(self.pool_id, seq, kind, text.encode()), kind, text)
            for seq, (kind, text) in enumerate(change.records, start=self.head + 1)
        )
        rest = (change.event_sequence, change.puts, change.deletes, change.announce)
        super().apply(Decision(None, records, *rest))


# Made here: two threads that use new types for the first time at once would crash msgspec.
_DECODE: Final = msgspec.json.Decoder(list[Entry]).decode


def to_line(entries: list[Entry]) -> bytes:
    """Write down what is committed together."""
    body = msgspec.json.encode(entries)
    return b"%08x %s\n" % (crc32(body), body)


def from_lines(data: bytes) -> Iterator[tuple[int, list[Entry]]]:
    """Read lines, each with its length, up to one at the end that a crash left torn.

    :raises StoreError: another line is damaged
    """
    lines = data.splitlines(keepends=True)
    for line in lines:
        body = line[9:-1]
        if line == b"%08x %s\n" % (crc32(body), body):
            yield len(line), _DECODE(body)
        elif line is not lines[-1]:
            msg = "the file is damaged"
            raise StoreError(msg)
