"""The one clock: milliseconds of the Unix epoch, from the machine's wall clock or from a test."""

import time
from collections.abc import Callable
from typing import TypeAlias

__all__ = ("Clock", "wall_clock")

Clock: TypeAlias = Callable[[], int]


def wall_clock() -> int:
    """Read the machine's wall clock, in milliseconds of the Unix epoch."""
    return time.time_ns() // 1_000_000
