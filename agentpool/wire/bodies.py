"""Bodies: how text, bytes and values become one, and how it is read back.

No error says anything of what is in a body.
"""

from typing import Final, TypeVar, cast, overload

import msgspec

from agentpool.errors import InvalidValueError, shown
from agentpool.wire.content import BYTES, OCTETS, Content, content_ref, octets, refuse_large

__all__ = ("JSON", "TEXT", "content_of", "encoded", "json_of", "text_of")

T = TypeVar("T")

TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"

# The same value is the same body, hence has the same ref, whatever the order of a set or dict was.
_encode = msgspec.json.Encoder(order="deterministic").encode
_encode_as_it_is = msgspec.json.Encoder().encode
_TOLD: Final = ("Expected ", "Object missing ")
"""How the errors begin that say what was expected, and nothing of what is there."""


def content_of(body: object, max_body: int) -> Content:
    """Make a body, as `encoded` does, with its ref."""
    data, media_type = encoded(body, max_body)
    return Content(content_ref(data), media_type, data)


def encoded(body: object, max_body: int) -> tuple[bytes, str]:
    """Make the bytes of a body: of text, of bytes, or else of whatever msgspec encodes as JSON.

    :return: the bytes, and what they are

    :raises InvalidValueError: it is none of these, or has more bytes than a body may have
    """
    type_ = type(body)
    if issubclass(type_, str):
        data, media_type = _encoded_text(body), TEXT
    elif issubclass(type_, BYTES):
        data, media_type = octets(cast("bytes", body), max_body, "body"), OCTETS
    else:
        data, media_type = _encoded_json(body), JSON
    refuse_large(len(data), max_body, "body")
    return data, media_type


def _encoded_text(text: object) -> bytes:
    try:
        return str.encode(cast("str", text))  # of a type of its own, maybe
    except UnicodeEncodeError:
        msg = "body: text is not valid UTF-8; send it as bytes"
        raise InvalidValueError(msg) from None


def _encoded_json(value: object) -> bytes:
    try:
        try:
            return _encode(value)
        except TypeError:  # also of keys that are no text, which only the other can write
            return _encode_as_it_is(value)
    except RecursionError:
        reason = ": it is nested too deeply"
    except TypeError as error:  # which type it is that has no JSON
        reason = f": {error}"
    except Exception:  # noqa: BLE001  # of a type of the caller's
        reason = ""
    msg = f"body: {type(value).__name__} has no JSON{reason}; send text, bytes or what has"
    raise InvalidValueError(msg)


def text_of(data: bytes, what: str) -> str:
    """Read a body as UTF-8.

    :param what: which body it is, for the error
    :raises InvalidValueError: it is no text
    """
    try:
        return data.decode()
    except UnicodeDecodeError:
        msg = f"{what} is no text; read it as bytes"
        raise InvalidValueError(msg) from None


@overload
def json_of(data: bytes, what: str, type_: None) -> object: ...


@overload
def json_of(data: bytes, what: str, type_: type[T]) -> T: ...


def json_of(data: bytes, what: str, type_: type[T] | None) -> T | object:
    """Read a body as JSON, of a type if one is given.

    :param what: which body it is, for the error
    :raises InvalidValueError: it is no JSON, or none of that type
    """
    try:
        if type_ is None:
            value: object = msgspec.json.decode(data)
            return value
        return msgspec.json.decode(data, type=type_)
    except TypeError:
        msg = f"type: expected a type that can be read from JSON, got {shown(type_)}"
    except msgspec.ValidationError as error:
        told = str(error)
        reason = f": {told}" if told.startswith(_TOLD) else ""
        msg = f"{what} is no {shown(type_)}{reason}"
    except (msgspec.DecodeError, RecursionError):
        msg = f"{what} is no JSON; read it as text or bytes"
    except Exception:  # noqa: BLE001  # of a type of the caller's
        msg = f"{what} is no {shown(type_)}"
    raise InvalidValueError(msg)
