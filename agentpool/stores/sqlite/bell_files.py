"""The files of the bells, beside the database: they say who listens, and for what.

``pool.db-bell-book``
    The last record that was told of, and when one of ours last wrote (the head); then a row of
    *slots*, in each of which stands what rang there last; then for each listener a mask of the
    slots that it listens to. Pools and topics are hashed to slots.
``pool.db-bell-0``, ``pool.db-bell-1``, ...
    One for each listener, empty; it holds a lock on it for as long as it lives. Whoever rings
    changes the time of the file, which the listener hears, and nobody else.
``pool.db-bell-ear``
    Locked by the one process that listens to what other programs write. Another, its deputy, has
    locked the book.

Every file is made with the owner and the rights that the database has. None is followed if it is a
link, or used if it is anything but a plain file of one name; so whoever may write to the folder
cannot have us write elsewhere, nor wait.
"""

import fcntl
import os
import stat
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final
from weakref import WeakSet

from agentpool.stores.sqlite.place import beside

__all__ = ("SLOTS", "SLOT_BYTES", "BellFiles", "bell_of")

SLOTS: Final = 512
SLOT_BYTES: Final = 8
_MASK_BYTES: Final = SLOTS // 8
_HEAD: Final = struct.Struct("<QQ")
_HEAD_BYTES: Final = 64
_MASKS_AT: Final = _HEAD_BYTES + SLOTS * SLOT_BYTES
_MOST_LISTENERS: Final = 1024
_FLAGS: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class BellFiles:
    """The files, open.

    :param database: the file itself, not a link to it
    :raises OSError: they cannot be made, or are not fit for use
    """

    def __init__(self, database: Path) -> None:
        self._database: Final = database
        self._like: Final = database.stat()
        self._held: set[int] = set()
        self._folder = os.open(database.parent, _FOLDER_FLAGS)
        try:
            self._book = self.open("book", os.O_RDWR)
        except OSError:
            os.close(self._folder)
            raise
        _all.add(self)

    def path_of(self, name: object) -> Path:
        """Name one of the files."""
        return bell_of(self._database, name)

    def open(self, name: str, access: int) -> int:
        """Open one of the files, and make it if need be.

        :param access: whether to read, write or both
        :raises OSError: it cannot be had, or is no plain file
        """
        flags, file = _FLAGS | access, self.path_of(name).name
        try:
            fd = os.open(file, flags | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=self._folder)
        except FileExistsError:
            fd = os.open(file, flags, dir_fd=self._folder)
        else:
            _make_like(fd, self._like, stat.S_IMODE(self._like.st_mode) & 0o666)
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            os.close(fd)
            msg = f"{self.path_of(name)} is no plain file of its own; remove it"
            raise OSError(msg)
        return fd

    @property
    def held(self) -> tuple[int, ...]:
        """What is held open."""
        return tuple(self._held)

    @property
    def is_gone(self) -> bool:
        """Whether somebody has deleted them."""
        return os.fstat(self._book).st_nlink == 0

    def hold(self, name: str, access: int) -> int:
        """Open one of the files until it is let go of, or this process ends.

        :raises OSError: it cannot be had, or is no plain file
        """
        fd = self.open(name, access)
        self._held.add(fd)
        return fd

    def let_go(self, *held: int) -> None:
        """Close what is held, in this order."""
        for fd in held:
            if fd in self._held:
                self._held.remove(fd)
                os.close(fd)

    def close(self) -> None:
        """Let go of them, and of what is held. They stay, others may use them."""
        self.let_go(*self.held)
        for fd in (self._book, self._folder):
            os.close(fd)

    # --- the book

    def head(self) -> tuple[int, int]:
        """Read the last record that was told of, and when one of ours last wrote."""
        content = os.pread(self._book, _HEAD.size, 0)
        told, wrote = _HEAD.unpack(content.ljust(_HEAD.size, b"\0"))
        return told, wrote

    def write_told(self, row: int) -> None:
        """Write which record was the last that was told of."""
        os.pwrite(self._book, _HEAD.pack(row, 0)[:SLOT_BYTES], 0)

    def write_wrote(self, moment: int) -> None:
        """Write when one of ours last wrote."""
        os.pwrite(self._book, _HEAD.pack(0, moment)[SLOT_BYTES:], SLOT_BYTES)

    def slots(self) -> bytes:
        """Read what rang last in all slots."""
        return os.pread(self._book, SLOTS * SLOT_BYTES, _HEAD_BYTES)

    def slot(self, slot: int) -> int:
        """Read what rang last in one slot."""
        place = _HEAD_BYTES + slot * SLOT_BYTES
        return int.from_bytes(os.pread(self._book, SLOT_BYTES, place), "little")

    def write_slot(self, slot: int, sound: int) -> None:
        """Ring in a slot, of which `touch` tells."""
        place = _HEAD_BYTES + slot * SLOT_BYTES
        os.pwrite(self._book, sound.to_bytes(SLOT_BYTES, "little"), place)

    def masks(self) -> list[int]:
        """Read who listens to which slots."""
        content = os.pread(self._book, _MOST_LISTENERS * _MASK_BYTES, _MASKS_AT)
        starts = range(0, len(content), _MASK_BYTES)
        return [int.from_bytes(content[at : at + _MASK_BYTES], "little") for at in starts]

    def write_mask(self, listener: int, mask: int) -> None:
        """Write which slots a listener listens to."""
        place = _MASKS_AT + listener * _MASK_BYTES
        os.pwrite(self._book, mask.to_bytes(_MASK_BYTES, "little"), place)

    # --- the listeners

    def touch(self, listener: int) -> None:
        """Have a listener hear. Nothing is opened, so nothing can be followed or waited for."""
        file = self.path_of(listener).name
        os.utime(file, dir_fd=self._folder, follow_symlinks=False)

    def claim(self) -> int:
        """Become a listener, in the place of one that is gone if there is one.

        :return: its number, which is held until all is let go of
        :raises OSError: there are too many
        """
        for listener in range(_MOST_LISTENERS):
            if self.lock(str(listener)) >= 0:
                return listener
        msg = f"{self._database}: more than {_MOST_LISTENERS} listeners"
        raise OSError(msg)

    def lock(self, name: str) -> int:
        """Lock one of the files, and make it if need be.

        :return: the descriptor that holds the lock until it is let go of; -1: another has it
        """
        fd = self.hold(name, os.O_RDONLY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.let_go(fd)
            return -1
        return fd


_all: Final[WeakSet[BellFiles]] = WeakSet()


def _in_child() -> None:
    # A fork has a share in every lock: as long as it held one, nobody could take it over.
    for files in _all:
        files.let_go(*files.held)
    _all.clear()


os.register_at_fork(after_in_child=_in_child)


def bell_of(database: Path, name: object) -> Path:
    """Name a file of the bells of a database."""
    return beside(database, f"-bell-{name}")


def _make_like(fd: int, like: os.stat_result, mode: int) -> None:
    """Give a new file to those who have the database."""
    made = os.fstat(fd)
    for uid, gid in ((-1, like.st_gid), (like.st_uid, -1)):
        if uid not in {-1, made.st_uid} or gid not in {-1, made.st_gid}:
            with suppress(PermissionError):  # then it is for those who may use ours
                os.fchown(fd, uid, gid)
    os.fchmod(fd, mode)
