"""Refs of bodies that a store keeps: ``sha256:`` and the hex digest of the body."""

from hashlib import sha256
from typing import Final

from agentpool.errors import ContentNotFoundError, InvalidValueError
from agentpool.wire.ids import check_identifier

__all__ = ("OCTETS", "content_ref")

OCTETS: Final = "application/octet-stream"


def content_ref(data: bytes) -> str:
    """Make the ref of a body."""
    return f"sha256:{sha256(data).hexdigest()}"


def checked_content(data: bytes, media_type: str) -> bytes:
    """Refuse a body that is no bytes, or has no name of its kind.

    :raises InvalidValueError: saying which
    """
    check_identifier(media_type, "media_type")
    if not isinstance(data, bytes | bytearray | memoryview):
        msg = f"data: expected bytes, got {type(data).__name__}"
        raise InvalidValueError(msg)
    return bytes(data)


def no_content(ref: str) -> ContentNotFoundError:
    """Make the error for a ref that a store keeps nothing under."""
    return ContentNotFoundError(f"this store keeps nothing under {ref!r}")
