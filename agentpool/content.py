"""Refs of bodies that a store keeps: ``sha256:`` and the hex digest of the body."""

from hashlib import sha256
from typing import Final

from agentpool.errors import ContentNotFoundError

__all__ = ("OCTETS", "content_ref")

OCTETS: Final = "application/octet-stream"


def content_ref(data: bytes) -> str:
    """Make the ref of a body."""
    return f"sha256:{sha256(data).hexdigest()}"


def no_content(ref: str) -> ContentNotFoundError:
    """Make the error for a ref that a store keeps nothing under."""
    return ContentNotFoundError(f"this store keeps nothing under {ref!r}")
