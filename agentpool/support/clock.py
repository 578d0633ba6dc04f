"""The one clock: milliseconds of the Unix epoch, from the machine's wall clock or from a test.

The wall clock is set by whoever likes, a store's time by nobody: it begins with the wall clock and
goes on with what has gone by since, also while the machine slept. A server has its own time, which
its handles follow.
"""

import time
from collections.abc import Callable
from typing import Final, TypeAlias, cast

from agentpool.errors import InvalidValueError, shown

__all__ = (
    "Clock",
    "SteadyClock",
    "StoreClock",
    "checked_clock",
    "machine_millis",
    "millis",
    "positive_millis",
    "wall_clock",
)

Clock: TypeAlias = Callable[[], int]


def wall_clock() -> int:
    """Read the machine's wall clock, in milliseconds of the Unix epoch."""
    return time.time_ns() // 1_000_000


# Goes on while the machine sleeps, where there is such a clock.
_ELAPSED: Final = getattr(time, "CLOCK_BOOTTIME", None)


def machine_millis() -> int:
    """Say how many milliseconds have gone by since some time that stays the same until a reboot."""
    if _ELAPSED is None:
        return time.monotonic_ns() // 1_000_000
    return time.clock_gettime_ns(_ELAPSED) // 1_000_000


class SteadyClock:
    """A clock that nobody sets, for tests: what it gives is the time, and how much has gone by."""

    def __init__(self, read: Clock) -> None:
        self.elapsed: Final = read

    def __call__(self) -> int:
        return self.elapsed()


_UNSURE_MILLIS: Final = 2
"""How far two clocks may seem apart that only count in whole milliseconds."""


class StoreClock:
    """The time of a store: it never goes back, nor stands still, whatever the wall clock does.

    That of a server does when the clock of the server is set. May be read from any thread.

    :ivar is_shared: whether what goes by is the machine's, the same for all its processes
    :param clock: the wall clock, asked once; where it has an ``elapsed()``, that counts the
        milliseconds that go by, and not the machine
    """

    def __init__(self, clock: Clock) -> None:
        wall = checked_clock(clock)()
        if not isinstance(wall, int):
            msg = f"clock: expected a function that gives milliseconds, it gave {wall!r}"
            raise InvalidValueError(msg)
        self.elapsed: Final[Clock] = getattr(clock, "elapsed", machine_millis)
        self.is_shared: Final = self.elapsed is machine_millis
        self._began = wall - self.elapsed()

    @classmethod
    def of(cls, clock: "Clock | StoreClock") -> "StoreClock":
        """Give a clock as one of a store, unless it is one."""
        return cast("StoreClock", clock) if issubclass(type(clock), cls) else cls(clock)

    @property
    def began(self) -> int:
        """The time at which nothing had gone by yet."""
        return self._began

    def begin_at(self, began: int) -> None:
        """Take over the time of others who share what goes by. Before anybody asks for it."""
        self._began = began

    def follow(self, now: int, asked_at: int) -> None:
        """Go by a clock that was asked for the time, unless it may well be the same as this one.

        :param now: what it said
        :param asked_at: what ``elapsed()`` gave before
        """
        if self.is_shared:
            earliest = now - self.elapsed() - _UNSURE_MILLIS
            latest = now - asked_at + _UNSURE_MILLIS
            self._began = min(max(self._began, earliest), latest)

    def __call__(self) -> int:
        return self._began + self.elapsed()


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
