"""Seconds and moments as people write them: ``90``, ``500ms``, ``10m``, ``2026-11-27T17:00``."""

import re
from argparse import ArgumentTypeError
from datetime import UTC, datetime
from typing import Final, NamedTuple

from agentpool.errors import InvalidValueError
from agentpool.support.clock import millis

__all__ = ("Since", "age", "iso", "seconds", "since")

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")


def seconds(text: str) -> float:
    """Read a span of time; without a unit it is in seconds."""
    found = _SPAN.fullmatch(text)
    if found is None:
        msg = f"{text!r} is no span of time; write 90, 500ms, 10m, 2h or 1d"
        raise ArgumentTypeError(msg)
    span = float(found[1]) * _UNITS[found[2] or "s"]
    try:
        millis(span, "span")
    except InvalidValueError as error:
        msg = "it is more than anybody waits"
        raise ArgumentTypeError(msg) from error
    return span


class Since(NamedTuple):
    """A moment: at a time, or so many milliseconds before now."""

    at: int | None
    ago: int = 0

    def millis(self, now: int) -> int:
        """Give the moment in milliseconds of the Unix epoch."""
        return now - self.ago if self.at is None else self.at


def since(text: str) -> Since:
    """Read a moment: how long ago it is, or a time in ISO 8601, of this place unless it says."""
    if _SPAN.fullmatch(text):
        return Since(None, round(seconds(text) * 1000))
    try:
        return Since(round(datetime.fromisoformat(text).timestamp() * 1000))
    except (ValueError, OverflowError, OSError) as error:
        msg = f"{text!r} is no time; write 10m for ten minutes ago, or 2026-11-27T17:00"
        raise ArgumentTypeError(msg) from error


def iso(millis: int | None) -> str | None:
    """Write a time of the store's clock."""
    if millis is None:
        return None
    try:
        written = datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return f"{millis} ms"
    return written.replace("+00:00", "Z")


def age(millis: int | None, now: int) -> float | None:
    """Say for how many seconds something has been there."""
    return None if millis is None else round(max(now - millis, 0) / 1000, 3)
