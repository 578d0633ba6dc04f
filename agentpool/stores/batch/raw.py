"""A pool as it is kept, byte for byte and in pages: for who takes it to another store.

A pool that is on its way into a store is marked there by a record of a kind of its own, above all
that a log can have. So nobody takes it for a whole one: neither this library nor any other program
that reads or continues logs. The mark goes away in the transaction that makes the pool whole.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from agentpool.errors import PoolNotOpenError
from agentpool.stores.batch.source import Source
from agentpool.wire.ids import I64_MAX, I64_MIN

__all__ = (
    "BYTES_AT_ONCE",
    "INCOMING",
    "ITEMS_AT_ONCE",
    "PARTS",
    "RECORDS",
    "ROWS",
    "TIMES",
    "Item",
    "Part",
    "RawPool",
    "mark",
    "mark_of",
    "refuse_incomplete",
    "size_of",
)

ITEMS_AT_ONCE: Final = 256
BYTES_AT_ONCE: Final = 2**18
"""A page ends with the item that goes beyond either of these."""

INCOMING: Final = "agentpool_incoming"
"""The kind of the record that marks a pool that is on its way into a store."""

Item: TypeAlias = tuple[Any, ...]
"""What one row of a table holds, its key first."""


class Part(NamedTuple):
    """A part of a pool, whose items come in order of their keys.

    :ivar width: how many fields of an item are its key
    :ivar start: a key before all others
    """

    name: str
    width: int
    start: Item


RECORDS: Final = Part("records", 1, (I64_MIN,))
"""Number, kind and payload, these two as bytes, and 1 where the kind is no text, and 2 where the
payload is none, added up."""
TIMES: Final = Part("times", 1, (I64_MIN,))
"""Number of the first record, and the milliseconds."""
ROWS: Final = Part("rows", 3, ("", "", I64_MIN))
"""Kind, name, number, ``due_at`` and value."""
PARTS: Final = (RECORDS, TIMES, ROWS)


class RawPool(Protocol):
    """One pool inside of a transaction, which may write where that does.

    What is put or deleted may be carried out twice, so twice is the same as once.
    """

    @property
    def source(self) -> Source:
        """The same pool as commands and questions find it."""

    def page(self, part: Part, after: Item) -> list[Item]:
        """Read the items after a key, in order, as many as make a page; none after the last.

        :raises CorruptRecordError: one is damaged so that it cannot be told what it was
        """

    def put(self, part: Part, items: Sequence[Item]) -> None:
        """Insert or replace items.

        :raises CorruptRecordError: one holds what this engine cannot keep
        """

    def delete(self, part: Part, keys: Sequence[Item]) -> None:
        """Delete items by their keys."""


def size_of(item: Item) -> int:
    """Say about how many bytes an item has."""
    return sum(len(field) for field in item if isinstance(field, (str, bytes)))


def mark(token: str) -> Item:
    """Make the record that marks a pool as incomplete.

    :param token: names who brings it
    """
    payload = f'{{"type":"{INCOMING}","by":"{token}"}}'
    return I64_MAX, INCOMING.encode(), payload.encode(), 0


def mark_of(source: Source) -> Item | None:
    """Find the mark of a pool; ``None``: it has none."""
    if source.head() != I64_MAX:
        return None
    raw = source.record_at(I64_MAX)
    return (*raw[:1], INCOMING.encode(), raw[2], 0) if raw and raw[1] == INCOMING else None


def refuse_incomplete(source: Source, head: int) -> None:
    """Refuse a pool that is not whole.

    :param head: the number of its last record
    :raises PoolNotOpenError: it is not
    """
    if head == I64_MAX and mark_of(source) is not None:
        msg = (
            "this pool is being copied into this store and is not whole; wait for the copy, or run"
            " it again if it was interrupted: it goes on where it was"
        )
        raise PoolNotOpenError(msg, pool_id=source.pool_id)
