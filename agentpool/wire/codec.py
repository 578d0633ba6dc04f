"""Bytes to structs and back: the only place that encodes or decodes.

Encoding is msgspec's, which is canonical for the structs of this library: fields in order of
definition, no spaces, UTF-8 raw. Decoding is stricter than msgspec's, because the wire format
refuses more. Whatever decodes and encodes back to the very same bytes is canonical, so it holds no
duplicate, missing or misspelt field, and no ``-0``. Bytes without a backslash, DEL or C1 sequence
hold no control character in any string, because JSON escapes the others. All that costs two thirds
of the decoding. Anything else goes through `agentpool.wire.strict`, which looks at every token.
"""

import re
import sys
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any, Final, TypeAlias, TypeVar, cast

import msgspec

from agentpool.errors import InvalidValueError, shown
from agentpool.wire.content import BYTES, octets
from agentpool.wire.ids import MAX_IDENTIFIER_BYTES
from agentpool.wire.strict import check_document

__all__ = ("decode", "decoder", "encode", "holds_c1", "is_canonical", "is_plain")

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode
_type_of: Callable[[object], type[object]] = type  # where a parameter has its name
_BACKSLASH: Final = 0x5C
_DEL: Final = 0x7F
_FIRST_OF_C1: Final = 0xC2
_C1 = re.compile(rb"\xc2[\x80-\x9f]").search
_MOST_DECODERS: Final = 128

_Decode: TypeAlias = Callable[[bytes], Any]

_UNENCODABLE: Final = (ValueError, OverflowError, TypeError, RecursionError, BufferError)

# By identity, since a union is slow to hash; the type is kept, so that no other gets its identity.
_DECODERS: Final[dict[int, tuple[Any, _Decode]]] = {}


def encode(value: Any) -> bytes:
    """Write a value as canonical JSON, byte for byte as every implementation writes it.

    :raises InvalidValueError: the value, or a part of it, has no JSON that could be read back
    """
    try:
        return _encode(value)
    except (msgspec.MsgspecError, *_UNENCODABLE) as error:
        msg = f"{type(value).__name__} cannot be encoded: {_cause(error)}"
        raise InvalidValueError(msg) from error


def decode(data: bytes | str, type: type[T]) -> T:  # noqa: A002  # the name that others rely on
    """Read a value of this type from JSON, refusing whatever the wire format refuses.

    :raises InvalidValueError: saying what is wrong, and at which path of the document
    """
    try:
        raw: bytes = data if _type_of(data) is bytes else _as_bytes(data)  # type: ignore[assignment]
        known = _DECODERS.get(id(type))
        value: T = known[1](raw) if known else _new_decoder(type)(raw)
        # As `is_canonical` says it, without a call: whatever is read alone comes by here.
        if (
            _BACKSLASH in raw
            or _DEL in raw
            or _encode(value) != raw
            or not (raw.isascii() or _is_tame(raw))
        ):
            check_document(raw, type)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidValueError(_cause(error)) from error
    return value


def _as_bytes(data: bytes | str) -> bytes:
    found = type(data)
    if issubclass(found, str):
        return str.encode(cast("str", data))
    if issubclass(found, BYTES):
        return octets(cast("bytes", data), sys.maxsize, "data")
    msg = f"data: expected bytes or text, got {found.__name__}"
    raise InvalidValueError(msg)


def _new_decoder(type_: Any) -> _Decode:
    try:
        return _make_decoder(cast("Hashable", type_))
    except Exception as error:  # whatever comes of taking it for a type
        msg = f"type: expected a type that can be read from JSON, got {shown(type_)}"
        raise InvalidValueError(msg) from error


def is_canonical(raw: bytes, value: Any) -> bool:
    """Say that this is how the value is written, and that no string in it needs a closer look."""
    return (
        _BACKSLASH not in raw
        and _DEL not in raw
        and _encode(value) == raw
        and (raw.isascii() or _is_tame(raw))
    )


def is_plain(raw: bytes) -> bool:
    """Say that no string in what was encoded can hold a control character, nor be too long."""
    return _BACKSLASH not in raw and _DEL not in raw and (raw.isascii() or _is_tame(raw))


def _is_tame(raw: bytes) -> bool:
    """Look at the characters that are not ASCII, in JSON without escapes.

    No control character is among them, and no string has more bytes than an identifier may have
    but no more characters: those msgspec has counted.
    """
    if holds_c1(raw):
        return False
    if len(raw) <= MAX_IDENTIFIER_BYTES:
        return True
    texts = raw.split(b'"')
    return max(map(len, texts)) <= MAX_IDENTIFIER_BYTES or all(
        len(text) <= MAX_IDENTIFIER_BYTES or len(text.decode()) > MAX_IDENTIFIER_BYTES
        for text in texts
    )


def holds_c1(raw: bytes) -> bool:
    """Say whether there is a character of U+0080 to U+009F in this UTF-8."""
    return _FIRST_OF_C1 in raw and _C1(raw) is not None


def decoder(type_: Any) -> _Decode:
    """Give what decodes a type, made once; making one costs more than using it."""
    known = _DECODERS.get(id(type_))
    return _make_decoder(type_) if known is None else known[1]


@lru_cache(maxsize=_MOST_DECODERS)
def _make_decoder(type_: Hashable) -> _Decode:
    decode_type: _Decode = msgspec.json.Decoder(type_).decode
    if len(_DECODERS) >= _MOST_DECODERS:
        _DECODERS.clear()
    _DECODERS[id(type_)] = (type_, decode_type)
    return decode_type


def _cause(error: BaseException) -> str:
    if isinstance(error, UnicodeError):
        return "text is not valid UTF-8"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error)
