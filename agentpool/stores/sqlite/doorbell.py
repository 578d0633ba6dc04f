"""The doorbell: a small file beside the database that says "something was committed".

A writer touches it after its commit; watchers hear it through inotify. Watching the ``-wal`` file
instead would ring before the commit can be seen. The bell is a hint only: a slow poll covers
writers that do not know of it, a writer killed before it rang, and systems without inotify.

Source: inotify(7). The calls come from the C library because Python has none.
"""

import asyncio
import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

__all__ = ("Doorbell", "Listener")

_IN_MODIFY: Final = 0x2
_IN_NONBLOCK: Final = os.O_NONBLOCK
_IN_CLOEXEC: Final = os.O_CLOEXEC
_EVENTS_AT_ONCE: Final = 65536


class Doorbell:
    """The ringing side. Ringing costs about a microsecond and never fails."""

    def __init__(self, database: Path) -> None:
        self.path: Path = database.with_name(database.name + "-bell")
        try:
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:
            self._fd = -1

    def ring(self) -> None:
        """Tell every listener that something was committed."""
        if self._fd >= 0:
            try:
                os.pwrite(self._fd, b"\a", 0)
            except OSError:  # a full disk, say; the listeners' poll will notice the commit
                return

    def close(self) -> None:
        """Let go of the file. The file stays, others may hold it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Listener:
    """The listening side: calls back on the event loop for every ring, or for several at once."""

    def __init__(self, bell: Path, on_ring: Callable[[], None]) -> None:
        self._on_ring = on_ring
        self._fd = _inotify(bell)
        if self._fd >= 0:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._fd, self._heard)

    @property
    def hears(self) -> bool:
        """Whether this system lets rings be heard."""
        return self._fd >= 0

    def _heard(self) -> None:
        try:
            os.read(self._fd, _EVENTS_AT_ONCE)
        except BlockingIOError:
            return
        self._on_ring()

    def close(self) -> None:
        """Stop listening."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1


def _inotify(path: Path) -> int:
    """Open an inotify descriptor on a file; -1 where that is not to be had."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        fd = int(libc.inotify_init1(_IN_NONBLOCK | _IN_CLOEXEC))
    except (OSError, AttributeError):
        return -1
    if fd >= 0 and libc.inotify_add_watch(fd, os.fsencode(path), _IN_MODIFY) < 0:
        os.close(fd)
        return -1
    return fd
