"""The doorbell: a small file beside the database that says "something was committed".

A writer touches it after its commit; followers hear it through inotify. Watching the ``-wal`` file
instead would ring before the commit can be seen. The bell is a hint only: a slow poll covers
writers that do not know of it, a writer killed before it rang, and systems without inotify.

The file is a row of slots of eight bytes. A pool has the slot that its name hashes to, and ringing
for it writes the time there, which is never the same twice; so whoever hears the bell learns from
one read which pools it may have rung for, and does nothing about others. Pools that share a slot
are woken together.

Source: inotify(7). The calls come from the C library because Python has none.
"""

import asyncio
import ctypes
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final
from zlib import crc32

from agentpool.stores.tail import Tail

__all__ = ("Doorbell", "Listener")

_SLOTS: Final = 512
_SLOT_BYTES: Final = 8
_SLOTS_AT_ONCE: Final = 32
_IN_MODIFY: Final = 0x2
_IN_NONBLOCK: Final = os.O_NONBLOCK
_IN_CLOEXEC: Final = os.O_CLOEXEC
_EVENTS_AT_ONCE: Final = 65536


class Doorbell:
    """The bell of one handle. Ringing costs about a microsecond a pool and never fails."""

    def __init__(self, database: Path) -> None:
        self.path: Path = database.with_name(database.name + "-bell")
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:
            self._fd = -1
        self._slots: dict[str, int] = {}
        self._rung: dict[int, bytes] = {}
        self._followed: dict[int, list[str]] = {}
        self._generation = -1
        self._seen = self._read()

    def ring(self, pool_ids: Iterable[str]) -> None:
        """Tell every listener that something was committed in these pools."""
        if self._fd < 0:
            return
        now = time.time_ns().to_bytes(_SLOT_BYTES, "little")
        for pool_id in pool_ids:
            slot = self.slot(pool_id)
            # Before it can be heard: `rung` has to know its own sound.
            self._rung[slot] = now
            try:
                os.pwrite(self._fd, now, slot * _SLOT_BYTES)
            except OSError:  # a full disk, say; the listeners' poll will notice the commit
                return

    def rung(self) -> set[int]:
        """Say for which slots others have rung since the last time.

        Not for those where this handle has rung last: it tells its own followers of its commits,
        after the ring, so they see what others had committed before that too.
        """
        seen, self._seen = self._seen, self._read()
        found: set[int] = set()
        for start in range(0, _SLOTS, _SLOTS_AT_ONCE):
            if _at(seen, start, _SLOTS_AT_ONCE) != _at(self._seen, start, _SLOTS_AT_ONCE):
                found.update(self._differing(seen, range(start, start + _SLOTS_AT_ONCE)))
        return found

    def _differing(self, seen: bytes, slots: range) -> Iterator[int]:
        for slot in slots:
            now = _at(self._seen, slot)
            if now not in (_at(seen, slot), self._rung.get(slot)):
                yield slot

    def followed_in(self, slots: Iterable[int], tail: Tail) -> list[str]:
        """List the followed pools that have one of these slots."""
        if self._generation != tail.generation:
            self._generation = tail.generation
            self._followed = {}
            for pool_id in tail.pool_ids:
                self._followed.setdefault(self.slot(pool_id), []).append(pool_id)
        return [pool_id for slot in slots for pool_id in self._followed.get(slot, ())]

    def slot(self, pool_id: str) -> int:
        """Say which slot a pool has."""
        slot = self._slots.get(pool_id)
        if slot is None:
            slot = self._slots[pool_id] = crc32(pool_id.encode()) % _SLOTS
        return slot

    def _read(self) -> bytes:
        if self._fd < 0:
            return b""
        try:
            return os.pread(self._fd, _SLOTS * _SLOT_BYTES, 0)
        except OSError:
            return b""

    def close(self) -> None:
        """Let go of the file. The file stays, others may hold it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _at(content: bytes, slot: int, count: int = 1) -> bytes:
    return content[slot * _SLOT_BYTES : (slot + count) * _SLOT_BYTES]


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
            if not self._loop.is_closed():
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
