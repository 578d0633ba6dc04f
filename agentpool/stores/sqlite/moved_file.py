"""Has a look at whether a file is still there: at once when something happens to it.

What happens to a file, to those beside it and to the folders above tells inotify. A look now and
then is the net; where nothing can be heard, it is the only way, and comes more often.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final
from weakref import WeakMethod

from agentpool.stores.sqlite.inotify import ATTRIB, DELETE_SELF, MOVE_SELF, Inotify
from agentpool.stores.sqlite.place import Guard

__all__ = ("Sentry",)

NET_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.5


class Sentry:
    """Looks after one open file, on the event loop, from its making until it is closed.

    It keeps nobody alive who forgot to close it.

    :param gone: called once, when the file is gone
    """

    def __init__(self, guard: Guard, gone: "WeakMethod[Callable[[], None]]") -> None:
        self._guard = guard
        self._gone = gone
        self._loop = asyncio.get_running_loop()
        self._inotify = _watching(guard)
        self._seconds = LOOK_SECONDS if self._inotify is None else NET_SECONDS
        look = WeakMethod(self._look)
        if self._inotify is not None:
            self._inotify.call(lambda: _call(look))
        self._timer = self._look_later()

    def _look_later(self) -> asyncio.TimerHandle:
        look = WeakMethod(self._look_in_time)
        return self._loop.call_later(self._seconds, lambda: _call(look))

    def _look_in_time(self) -> None:
        self._timer = self._look_later()
        self._look()

    def _look(self) -> None:
        if self._inotify is not None:
            with suppress(OSError):
                self._inotify.take()
        if not self._guard.look():
            self.close()
            _call(self._gone)

    def close(self) -> None:
        """Look no more."""
        self._timer.cancel()
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None


def _call(method: "WeakMethod[Callable[[], None]]") -> None:
    bound = method()
    if bound is not None:
        bound()


def _watching(guard: Guard) -> Inotify | None:
    """Watch what a guard looks at; ``None``: that cannot be done here."""
    inotify: Inotify | None = None
    try:
        inotify = Inotify()
        for path in guard.files:
            inotify.watch(path, ATTRIB | DELETE_SELF | MOVE_SELF)
        for folder in _above(guard.files):
            inotify.watch(folder, DELETE_SELF | MOVE_SELF)
    except OSError:
        if inotify is not None:
            inotify.close()
        return None
    return inotify


def _above(paths: list[Path]) -> set[Path]:
    return {folder for path in paths for folder in path.parents}
