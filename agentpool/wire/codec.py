"""Bytes to structs and back: the only place that encodes or decodes.

Encoding is msgspec's, which is canonical for the structs of this library: fields in order of
definition, no spaces, UTF-8 raw. Decoding is stricter than msgspec's, because the wire format
refuses more. Whatever decodes and encodes back to the very same bytes is canonical, so it holds no
duplicate, missing or misspelt field; and identifiers in bytes without escapes, DEL or non-ASCII
cannot hold a control character nor be longer than msgspec saw. That costs a third of the decoding.
Anything else goes through `agentpool.wire.strict`, which looks at every token.
"""

from collections.abc import Hashable
from functools import lru_cache
from typing import Any, TypeVar, cast

import msgspec

from agentpool.errors import InvalidValueError
from agentpool.wire.strict import check_document

__all__ = ("decode", "encode")

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode


def encode(value: Any) -> bytes:
    """Write a value as canonical JSON, byte for byte as every implementation writes it.

    :raises InvalidValueError: the value, or a part of it, has no JSON that could be read back
    """
    try:
        return _encode(value)
    except (msgspec.MsgspecError, UnicodeError, OverflowError, TypeError, RecursionError) as error:
        msg = f"{type(value).__name__} cannot be encoded: {_cause(error)}"
        raise InvalidValueError(msg) from error


def decode(data: bytes | str, type: type[T]) -> T:  # noqa: A002  # the name that others rely on
    """Read a value of this type from JSON, refusing whatever the wire format refuses.

    :raises InvalidValueError: saying what is wrong, and at which path of the document
    """
    try:
        raw = data.encode() if isinstance(data, str) else bytes(data)
        value: T = decoder(cast("Hashable", type)).decode(raw)
        if not is_canonical(raw, value):
            check_document(raw, type)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidValueError(_cause(error)) from error
    return value


def is_plain(raw: bytes) -> bool:
    """Say that no string in this document can hold a control character, nor a wide one."""
    return raw.isascii() and b"\\" not in raw and b"\x7f" not in raw


def is_canonical(raw: bytes, value: Any) -> bool:
    """Say that this is how the value is written, and that no string in it needs a closer look."""
    # The same as `is_plain`, without a call: every record that is read comes by here.
    return raw.isascii() and b"\\" not in raw and b"\x7f" not in raw and _encode(value) == raw


@lru_cache(maxsize=128)
def decoder(type_: Hashable) -> msgspec.json.Decoder[Any]:
    """Make the decoder of a type once; making one costs more than using it."""
    return msgspec.json.Decoder(type_)


def _cause(error: BaseException) -> str:
    if isinstance(error, UnicodeError):
        return "text is not valid UTF-8"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error)
