"""How long a thread that computes may keep the interpreter from a thread that is in a hurry."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ("in_a_hurry",)

_SECONDS: Final = 0.0005
"""Ten times more often than by default: 0.1 ms a switch would cost those that compute."""
_HALF_MICROSECOND: Final = 0.5e-6

_counting = threading.Lock()
_hurried = 0
_former = _short = 0.0


@contextmanager
def in_a_hurry() -> Iterator[None]:
    """Have the interpreter handed over sooner, for the block, to whoever waits for it.

    Every call into SQLite lets go of it, and a thread that computes then keeps it for as long as
    `sys.getswitchinterval` says, some 15 times in a transaction. The setting is the process's, so
    it is put back at the end of the last block, unless somebody else has changed it meanwhile.
    """
    global _hurried, _former, _short  # noqa: PLW0603  # as the setting is
    with _counting:
        _hurried += 1
        if _hurried == 1:
            _former = sys.getswitchinterval()
            _short = _set(min(_SECONDS, _former))
    try:
        yield
    finally:
        with _counting:
            _hurried -= 1
            if not _hurried and sys.getswitchinterval() == _short:
                _set(_former)


def _begin_anew() -> None:
    """Forget, in a child of a fork, the threads that it has not: they will never leave."""
    global _counting, _hurried  # noqa: PLW0603  # as the setting is
    _counting = threading.Lock()
    if _hurried:
        _hurried = 0
        _set(_former)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


def _set(seconds: float) -> float:
    """Set the interval, and say what it is now: it is cut to whole microseconds."""
    sys.setswitchinterval(seconds + _HALF_MICROSECOND)
    return sys.getswitchinterval()
