"""Values as a server takes them: text for most, and binary arrays for many at once.

Text arrays would have to be quoted, element by element. Source: ``array_recv`` in
src/backend/utils/adt/arrayfuncs.c of PostgreSQL.
"""

from collections.abc import Iterable, Sequence
from struct import pack
from typing import Final, NamedTuple, TypeAlias

__all__ = ("Array", "Parameter", "bigints", "byteas", "encoded", "texts")

_TEXT_OID: Final = 25
_BIGINT_OID: Final = 20
_BYTEA_OID: Final = 17
_NO_VALUE: Final = pack("!i", -1)
_EMPTY: Final = 0
_ONE_DIMENSION: Final = 1


class Array(NamedTuple):
    """Many values as one parameter."""

    raw: bytes


Parameter: TypeAlias = "str | int | bytes | Array | None"
"""Bytes are for ``bytea``, an array for one of its type, all others are written as text."""


def encoded(parameters: Sequence[Parameter]) -> tuple[list[bytes | None], list[int]]:
    """Write parameters down, and say of each whether it is binary."""
    values: list[bytes | None] = []
    formats: list[int] = []
    for each in parameters:
        if isinstance(each, str):
            values.append(each.encode())
        elif isinstance(each, int):
            values.append(b"%d" % each)
        else:
            values.append(each.raw if isinstance(each, Array) else each)
        formats.append(int(isinstance(each, (bytes, Array))))
    return values, formats


def texts(values: Iterable[str | None]) -> Array:
    """Make a ``text[]``."""
    return _array(_TEXT_OID, [None if each is None else each.encode() for each in values])


def bigints(values: Iterable[int]) -> Array:
    """Make a ``bigint[]``."""
    return _array(_BIGINT_OID, [pack("!q", each) for each in values])


def byteas(values: Iterable[bytes]) -> Array:
    """Make a ``bytea[]``."""
    return _array(_BYTEA_OID, list(values))


def _array(oid: int, values: Sequence[bytes | None]) -> Array:
    if not values:
        return Array(pack("!iii", _EMPTY, 0, oid))
    parts = [pack("!iiiii", _ONE_DIMENSION, int(None in values), oid, len(values), 1)]
    for each in values:
        if each is None:
            parts.append(_NO_VALUE)
        else:
            parts += (pack("!i", len(each)), each)
    return Array(b"".join(parts))
