"""The one clock: milliseconds of the Unix epoch, from the machine's wall clock or from a test."""

import time
from collections.abc import Callable
from typing import Final, TypeAlias

from agentpool.errors import InvalidValueError, shown

__all__ = ("Clock", "checked_clock", "millis", "positive_millis", "wall_clock")

Clock: TypeAlias = Callable[[], int]


def wall_clock() -> int:
    """Read the machine's wall clock, in milliseconds of the Unix epoch."""
    return time.time_ns() // 1_000_000


def checked_clock(clock: Clock) -> Clock:
    """Refuse what is no clock.

    :raises InvalidValueError: it cannot be called
    """
    if not callable(clock):
        msg = f"clock: expected a function that gives milliseconds, got {type(clock).__name__}"
        raise InvalidValueError(msg)
    return clock


# Far more than anybody waits, and few enough to add to any time.
_MOST_SECONDS: Final = 2**43


def millis(seconds: float, name: str) -> int:
    """Turn a caller's seconds into milliseconds.

    :raises InvalidValueError: it is negative, no number, or beyond all reason
    """
    plain = _plain(seconds)
    if plain is None or not 0 <= plain <= _MOST_SECONDS:
        msg = f"{name}: expected a number of seconds, got {shown(seconds)}"
        raise InvalidValueError(msg)
    return round(plain * 1000)


def _plain(number: float) -> float | None:
    """Give a number without a type of its own, which might compare and round as it likes."""
    type_ = type(number)
    if issubclass(type_, float):
        return float.__pos__(number)
    return int.__pos__(number) if issubclass(type_, int) and type_ is not bool else None


def positive_millis(seconds: float, name: str) -> int:
    """Turn a caller's seconds into milliseconds, at least one.

    :raises InvalidValueError: it is not above zero, no number, or beyond all reason
    """
    if _plain(seconds) == 0:
        msg = f"{name}: expected more than 0 seconds, got {shown(seconds)}"
        raise InvalidValueError(msg)
    return max(millis(seconds, name), 1)
