"""What an examination reads of the pools of a store, whatever engine keeps them."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final, Protocol

from agentpool.rules.command import Row
from agentpool.stores.batch.source import RawRecord, Source

__all__ = ("AT_ONCE", "Part", "Reader", "is_unicode", "pools")

AT_ONCE: Final = 500
"""How much is read at a time, so that the memory is bounded."""


class Part(StrEnum):
    """What a store keeps of its pools."""

    RECORDS = "records"
    POOLS = "pools"
    ROWS = "rows"
    TIMES = "times"
    CHECKPOINTS = "checkpoints"


class Reader(Protocol):
    """Reads a store as of one moment, and changes nothing.

    Nothing that is read is believed to be of its type: it may be damaged.
    """

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What may be raised of one damaged place, after which others can be read."""

    @property
    def clear_checkpoints(self) -> str:
        """The command by which people delete all checkpoints."""

    @property
    def clear_pieces(self) -> str:
        """The command by which people delete the pieces of bodies that are not there."""

    def pool_ids(self, part: Part) -> Iterator[object]:
        """List whatever stands for the pools that a part is of; nobody can open what is no text."""

    def source(self, pool_id: str) -> Source:
        """Look things up in a pool; what was looked up may be remembered there."""

    def head(self, pool_id: str) -> int:
        """Find the number of the last record, 0 for none; what is no number is passed by."""

    def records(self, pool_id: str) -> Iterator[RawRecord]:
        """Read all records of a pool by their numbers, up to the first that is no number."""

    def kinds(self, pool_id: str) -> Iterator[str]:
        """List the kinds of the rows of a pool."""

    def rows(self, pool_id: str, kind: str) -> Iterator[Row]:
        """Read all rows of a kind."""

    def last_time(self, pool_id: str) -> int:
        """Find the last record that a time was noted for."""

    def bodies(self) -> Iterator[tuple[str, bool]]:
        """List the refs of all bodies, and whether each is what its ref says."""

    def unfinished(self) -> Iterator[tuple[str, int]]:
        """List the refs of bodies that are not there but in some pieces, with their bytes."""


def pools(reader: Reader, part: Part = Part.RECORDS) -> Iterator[str]:
    """List the pools that a part is of; those whose ids are no text can never be opened."""
    for pool_id in reader.pool_ids(part):
        if isinstance(pool_id, str) and is_unicode(pool_id):
            yield pool_id


def is_unicode(text: str) -> bool:
    """Say whether a text was UTF-8; what was not is read with surrogates in place of its bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
