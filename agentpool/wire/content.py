"""Refs of bodies that a store keeps: ``sha256:`` and the hex digest of the body."""

from hashlib import sha256
from typing import Final, NamedTuple

from agentpool.errors import ContentNotFoundError, CorruptRecordError, InvalidValueError, shown
from agentpool.wire.ids import check_identifier

__all__ = (
    "BYTES",
    "MAX_BODY",
    "OCTETS",
    "PIECE",
    "Content",
    "checked_content",
    "checked_max_body",
    "content_ref",
    "damaged_content",
    "no_content",
    "octets",
    "refuse_large",
)

OCTETS: Final = "application/octet-stream"
MAX_BODY: Final = 16 * 2**20
"""Bytes that a body may have, unless a store is told otherwise."""
LARGEST_BODY: Final = 999_999_000
"""Bytes of the largest body that SQLite takes, which bounds a whole row by 1,000,000,000."""
PIECE: Final = 2**18
"""Bytes of the pieces in which large bodies are read, at most."""


BYTES: Final = (bytes, bytearray, memoryview)


class Content(NamedTuple):
    """A body, what it is, and the ref that it is kept under."""

    ref: str
    media_type: str
    data: bytes


def content_ref(data: bytes) -> str:
    """Make the ref of a body."""
    return f"sha256:{sha256(data).hexdigest()}"


def checked_content(data: bytes, media_type: str, max_body: int = MAX_BODY) -> bytes:
    """Refuse a body that is no bytes, is too large, or has no name of its kind.

    :param max_body: the most bytes that it may have
    :raises InvalidValueError: saying which
    """
    check_identifier(media_type, "media_type")
    if not issubclass(type(data), BYTES):
        msg = f"data: expected bytes, got {type(data).__name__}"
        raise InvalidValueError(msg)
    return octets(data, max_body, "data")


def octets(data: bytes | bytearray | memoryview, max_body: int, name: str) -> bytes:
    """Copy bytes, if they are not too many.

    :raises InvalidValueError: they are, or they cannot be read, as those of a released view
    """
    try:
        with memoryview(data) as view:
            refuse_large(view.nbytes, max_body, name)
            return data if type(data) is bytes else bytes(view)
    except (ValueError, BufferError) as error:
        msg = f"{name}: these bytes cannot be read: {error}"
        raise InvalidValueError(msg) from error


def refuse_large(size: int, max_body: int, name: str) -> None:
    """Refuse a body that has more bytes than it may have.

    :raises InvalidValueError: naming the argument
    """
    if size > max_body:
        msg = (
            f"{name}: {size:,} bytes are more than the {max_body:,} that a body may have; keep it"
            " elsewhere and send a ref of your own, or open the store with a larger max_body"
        )
        raise InvalidValueError(msg)


def checked_max_body(max_body: int) -> int:
    """Refuse what no store can keep as one body.

    :raises InvalidValueError: it is no number of bytes, or too many
    """
    if type(max_body) is not int or not 0 <= max_body <= LARGEST_BODY:
        msg = f"max_body: expected 0 to {LARGEST_BODY:,} bytes, got {shown(max_body)}"
        raise InvalidValueError(msg)
    return max_body


def damaged_content(ref: str) -> CorruptRecordError:
    """Make the error for a body that is not what its ref says."""
    msg = f"the body kept under {ref!r} was damaged; put it again, or restore a backup"
    return CorruptRecordError(msg)


def no_content(ref: str) -> ContentNotFoundError:
    """Make the error for a ref that a store keeps nothing under."""
    return ContentNotFoundError(f"this store keeps nothing under {ref!r}")
