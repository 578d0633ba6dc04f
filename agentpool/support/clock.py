"""The one clock: milliseconds of the Unix epoch, from the machine's wall clock or from a test."""

import time
from collections.abc import Callable
from typing import Final, TypeAlias

from agentpool.errors import InvalidValueError

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
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not 0 <= seconds <= _MOST_SECONDS:
        msg = f"{name}: expected a number of seconds, got {seconds!r}"
        raise InvalidValueError(msg)
    return round(seconds * 1000)


def positive_millis(seconds: float, name: str) -> int:
    """Turn a caller's seconds into milliseconds, at least one.

    :raises InvalidValueError: it is not above zero, no number, or beyond all reason
    """
    if seconds == 0:
        msg = f"{name}: expected more than 0 seconds"
        raise InvalidValueError(msg)
    return max(millis(seconds, name), 1)
