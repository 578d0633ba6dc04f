"""Looks out for what nobody rang for: the records of other programs, and of killed writers.

One process at a time, the *ear*, hears of every write to the ``-wal`` file, by inotify and without
opening it, and rings for those that were not ours; so all others sleep. The event comes before the
commit can be seen, so the ear looks again and again for a while. That all was told of shows one
number: whoever commits notes the last row of the log in the book of the bells, if all rows before
its own were noted. When the ear ends, by whatever death, another hears that and is it from then on.

An ear that is suspended ends nothing and hears nothing. So another process, its *deputy*, hears of
the writes too, but looks only after the ear has had its time, and finds nothing left to tell.

Everybody looks for themselves every few seconds: for when both are suspended, or both a writer and
the bell were. Where no bell can be heard that is the only way, and has to be quick.
"""

import asyncio
import logging
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeVar

from agentpool.errors import AgentPoolError
from agentpool.rules.topics import ANY, DEADLINES, LOOK_NOW, SOME, AllTouched
from agentpool.stores.sqlite import log
from agentpool.stores.sqlite.bell_files import BellFiles
from agentpool.stores.sqlite.doorbell import EVERYTHING, Heard, Listener, Ringer, ring_in
from agentpool.stores.sqlite.inotify import MODIFY, Inotify
from agentpool.stores.sqlite.place import beside
from agentpool.stores.tail import Tail
from agentpool.support.clock import Clock
from agentpool.support.tasks import cancel, start

__all__ = ("Lookout",)

R = TypeVar("R")

_LOG = logging.getLogger("agentpool")

NET_SECONDS: Final = 5.0
POLL_SECONDS: Final = 0.15
_TRY_AGAIN_SECONDS: Final = 5.0
_CONFIRM_SECONDS: Final = 0.0015
_AFTER_WRITES: Final = (*[0.001] * 8, *[0.002] * 4, 0.004, 0.008, 0.016, 0.032, 0.064)
"""When to look after a write to the ``-wal`` file, one pause after another, from the start again
after the next write: with the disk to wait for, it takes some milliseconds until a commit can be
seen."""
_AFTER_OURS: Final = (0.008, 0.024)
"""The same when it was most likely one of ours, who rings itself."""
_AS_DEPUTY: Final = (0.05, 0.1)
"""The same for the deputy: seldom enough to cost nothing where there are many writes."""
_OURS_NANOSECONDS: Final = 20_000_000
_BEHIND_SECONDS: Final = 0.004
"""How long after a ring to look for what is another's turn to take; it may be busy, or gone."""


class Read(Protocol):
    """Reads in the file, on the reader's thread and as of one moment."""

    async def __call__(self, function: Callable[[sqlite3.Connection], R], /) -> R:
        """Run a function over the connection."""


class Lookout:
    """The lookout of one handle, from its making, on the event loop, until it is closed.

    :param database: the file itself, not a link to it
    :param ringer: is told which listener is the one of this handle
    """

    def __init__(
        self, database: Path, read: Read, tail: Tail, ringer: Ringer, clock: Clock
    ) -> None:
        self._database = database
        self._read = read
        self._tail = tail
        self._ringer = ringer
        self._clock = clock
        self._listener: Listener | None = None
        self._ear: Ear | None = None
        self._version: int | None = None
        self._known = 0
        self._suspected: int | None = None
        self._pauses: tuple[float, ...] = ()
        self._news = asyncio.Event()
        self._open()
        self._task = start(self._run())

    def _open(self) -> None:
        self._try_again_at = time.monotonic() + _TRY_AGAIN_SECONDS
        try:
            self._listener = Listener(self._database, self._hear, self._wake)
        except OSError as error:
            _LOG.warning(
                "no bell can be heard beside %s, so it is looked at every %s s: %s",
                self._database,
                POLL_SECONDS,
                error,
                extra={"action": "bell_unavailable"},
            )
            return
        self._ringer.mine = self._listener.number
        self._ear = Ear(self._listener.files, beside(self._database, "-wal"), self._wake)
        for pool_id, topic in list(self._tail.followed):
            self.follow(pool_id, topic)

    def follow(self, pool_id: str, topic: str) -> None:
        """Look out for what concerns a topic, too."""
        if self._listener is not None:
            with suppress(OSError):
                due = self._listener.follow(pool_id, topic)
                if due > self._clock():
                    self._tail.touch({pool_id: {DEADLINES: due}})

    def _hear(self, heard: list[Heard]) -> None:
        for pool_id, topic, due, behind in heard:
            if pool_id == EVERYTHING:
                self._tail.notify()
            elif topic == DEADLINES:
                # The time is to be looked at even if nothing is due by then: see `ring_in`. And
                # there may be more than one sound can say.
                self._tail.touch({pool_id: {DEADLINES: max(due, 1)}})
                self._tail.touch({pool_id: {DEADLINES: LOOK_NOW}})
            elif behind:
                touched = {pool_id: {topic: SOME}}
                asyncio.get_running_loop().call_later(_BEHIND_SECONDS, self._tail.touch, touched)
            else:
                self._tail.touch({pool_id: {topic: SOME}})

    def _wake(self) -> None:
        self._news.set()

    async def _run(self) -> None:
        while True:
            try:
                await self._look()
            except AgentPoolError:
                self._tail.notify()  # the followers find out what is wrong when they read
            except OSError:
                self._reopen()
            await self._rest()

    async def _look(self) -> None:
        if self._listener is None and self._try_again_at <= time.monotonic():
            self._reopen()
        if self._listener is None or self._ear is None:
            await self._look_at_version()
        elif self._listener.files.is_gone:
            self._reopen()
        else:
            self._ear.try_to_be()
            await self._look_at_rows(self._listener, hears=self._ear.hears)

    def _reopen(self) -> None:
        self._close_listener()
        self._open()
        self._tail.notify()

    async def _look_at_version(self) -> None:
        version = await self._read(log.version)
        if version != self._version:
            self._version = version
            self._tail.notify()

    async def _look_at_rows(self, listener: Listener, *, hears: bool) -> None:
        """Find rows that nobody was told of.

        At the second look only, where one of ours has just written: its ring may be under way.
        """
        told, _ = listener.files.head()
        last = await self._read(log.last_row)
        if last == told or (last == self._known and not hears):
            self._suspected = None
        elif self._suspected != told and self._is_ours(listener):
            self._suspected = told
        else:
            self._suspected = None
            touched = await self._read(partial(log.touched_after, after=told, last=last))
            if hears:
                self._ring_for_others(listener, touched)
                listener.files.write_told(last)
            self._known = last
            if touched is None:
                self._tail.notify()
            else:
                self._tail.touch(touched)

    def _ring_for_others(self, listener: Listener, touched: AllTouched | None) -> None:
        rung: AllTouched = {EVERYTHING: {ANY: 1}} if touched is None else touched
        ring_in(listener.files, rung, self._clock(), but=listener.number)

    async def _rest(self) -> None:
        """Wait until it is time to look again."""
        if self._listener is None or self._ear is None:
            await asyncio.sleep(POLL_SECONDS)
            return
        if self._suspected is not None:
            await asyncio.sleep(_CONFIRM_SECONDS)
            return
        wrote = self._ear.take()
        if not wrote and self._looks_for_strangers and self._is_ours(self._listener):
            self._pauses = _AFTER_OURS
        elif wrote or await self._is_news(self._ear, self._seconds_to_rest(self._listener)):
            self._pauses = self._after_write(self._listener, self._ear)
        else:
            return
        if self._pauses:
            # So much is not cut short, or each of many writes would be looked for by itself.
            await asyncio.sleep(self._next_pause())

    @property
    def _looks_for_strangers(self) -> bool:
        """Whether it is not known yet that the last write was one of ours."""
        left = self._pauses
        return bool(left) and left == _AFTER_WRITES[-len(left) :]

    def _after_write(self, listener: Listener, ear: "Ear") -> tuple[float, ...]:
        if not ear.is_it:
            return _AS_DEPUTY
        return _AFTER_OURS if self._is_ours(listener) else _AFTER_WRITES

    def _seconds_to_rest(self, listener: Listener) -> float:
        if self._pauses:
            return self._next_pause()
        listener.follow_only(self._tail.followed)
        return NET_SECONDS

    def _next_pause(self) -> float:
        pause, *rest = self._pauses
        self._pauses = tuple(rest)
        return pause

    async def _is_news(self, ear: "Ear", seconds: float) -> bool:
        """Wait for something to happen, for so long at most, and say whether it has."""
        ear.call()
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        finally:
            ear.rest()
            self._news.clear()
        return True

    def _is_ours(self, listener: Listener) -> bool:
        with suppress(OSError):
            _, wrote = listener.files.head()
            return 0 <= time.monotonic_ns() - wrote < _OURS_NANOSECONDS
        return False

    def _close_listener(self) -> None:
        self._ringer.mine = -1
        if self._ear is not None:
            self._ear.close()
            self._ear = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def close(self) -> None:
        """Look out no longer."""
        cancel([self._task])
        self._close_listener()


class Ear:
    """Whoever of all listeners hears of the writes to the ``-wal`` file, and its deputy.

    :ivar is_it: whether this one is the ear
    :param told: called when something was written, between `call` and `rest`
    """

    def __init__(self, files: BellFiles, wal: Path, told: Callable[[], None]) -> None:
        self.is_it: bool = False
        self._files = files
        self._wal = wal
        self._told = told
        self._inotify: Inotify | None = None
        self._lock = self._alive = -1

    @property
    def hears(self) -> bool:
        """Whether this one hears of the writes, as the ear or as its deputy."""
        return self._inotify is not None

    def try_to_be(self) -> None:
        """Be the ear, or its deputy, if nobody else is; listen to the file that has the name now.

        :raises OSError: the files cannot be used
        """
        if not self.is_it and (lock := self._files.lock("ear")) >= 0:
            self.close()
            # Closed when this process ends, however it does, which the others hear.
            self._lock, self._alive = lock, self._files.hold("ear", os.O_WRONLY)
            self.is_it = True
            _heard_here.add(self._wal)
        elif not self.is_it and self._wal in _heard_here:
            self.close()  # what suspends the one suspends the other
        elif self._lock < 0:
            self._lock = self._files.lock("book")
        if self._lock >= 0:
            self._inotify = self._inotify or Inotify()
            with suppress(FileNotFoundError):
                self._inotify.watch(self._wal, MODIFY)

    def take(self) -> bool:
        """Say whether something was written since the last time."""
        return self._inotify is not None and bool(self._inotify.take())

    def call(self) -> None:
        """Have writes told of from now on, those that were not taken yet at once."""
        if self._inotify is not None:
            self._inotify.call(self._told)

    def rest(self) -> None:
        """Have nothing told of; it is kept to be taken."""
        if self._inotify is not None:
            self._inotify.rest()

    def close(self) -> None:
        """Let another be the ear, or its deputy."""
        if self.is_it:
            self.is_it = False
            _heard_here.discard(self._wal)
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None
        # In this order: who hears of the second finds the first free.
        self._files.let_go(self._lock, self._alive)
        self._lock = self._alive = -1


_heard_here: Final[set[Path]] = set()
"""The files of which this process is the ear."""
