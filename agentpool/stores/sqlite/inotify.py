"""Hearing of what happens to files, without opening them.

Source: inotify(7). The calls come from the C library because Python has none.
"""

import asyncio
import ctypes
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

__all__ = ("ATTRIB", "CLOSE_WRITE", "DELETE_SELF", "MODIFY", "MOVE_SELF", "Inotify")

MODIFY: Final = 0x2
ATTRIB: Final = 0x4
CLOSE_WRITE: Final = 0x8
DELETE_SELF: Final = 0x400
MOVE_SELF: Final = 0x800
_DONT_FOLLOW: Final = 0x2000000
_FLAGS: Final = os.O_NONBLOCK | os.O_CLOEXEC
_EVENT: Final = struct.Struct("iIII")
_EVENTS_AT_ONCE: Final = 65536


class Inotify:
    """Watches of files.

    :raises OSError: this system has none, or no more of them
    """

    def __init__(self) -> None:
        try:
            self._libc = ctypes.CDLL(None, use_errno=True)
            self._fd = int(self._libc.inotify_init1(_FLAGS))
        except AttributeError as error:
            msg = "this system has no inotify"
            raise OSError(msg) from error
        if self._fd < 0:
            raise _last_error()
        self._loop: asyncio.AbstractEventLoop | None = None

    def watch(self, path: Path, events: int) -> int:
        """Watch a file, not one that it links to; the same file again is the same watch.

        :return: the number of the watch
        :raises OSError: the file is not there, or the system has no more watches
        """
        name = os.fsencode(path)
        watch = int(self._libc.inotify_add_watch(self._fd, name, events | _DONT_FOLLOW))
        if watch < 0:
            raise _last_error()
        return watch

    def call(self, told: Callable[[], None]) -> None:
        """Call a function on the event loop whenever there is something to take, until `rest`."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, told)

    def rest(self) -> None:
        """Call nobody any more; what happens is kept to be taken."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._fd)
        self._loop = None

    def take(self) -> set[int]:
        """Take what has happened: the numbers of the watches."""
        try:
            events = os.read(self._fd, _EVENTS_AT_ONCE)
        except BlockingIOError:
            return set()
        found, start = set[int](), 0
        while start < len(events):
            watch, _, _, length = _EVENT.unpack_from(events, start)
            found.add(watch)
            start += _EVENT.size + length
        return found

    def close(self) -> None:
        """End all watches."""
        self.rest()
        os.close(self._fd)


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
