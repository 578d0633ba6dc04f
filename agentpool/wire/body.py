"""How a body that a caller gives is written: text, bytes, or whatever JSON can hold."""

from typing import Final

import msgspec

from agentpool.errors import InvalidValueError
from agentpool.wire.content import OCTETS

__all__ = ("JSON", "TEXT", "written_body")

TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"

_json: Final = msgspec.json.Encoder()


def written_body(body: object) -> tuple[bytes, str]:
    """Write a body, and say of what media type it is then.

    :raises InvalidValueError: it is text that UTF-8 cannot hold, or nothing that JSON can
    """
    try:
        if isinstance(body, str):
            return str.encode(body), TEXT
        if isinstance(body, bytes | bytearray | memoryview):
            return bytes(body), OCTETS
        return _json.encode(body), JSON
    except Exception as error:  # whatever an object of the caller's raises
        msg = f"body: {type(body).__name__} can be written neither as text nor as JSON"
        raise InvalidValueError(msg) from error
