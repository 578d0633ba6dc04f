"""The place of a file: its one name, what lies beside it, and whether it is still there.

All of it goes by names. None of it opens a file that SQLite may have open: closing a descriptor of
it would drop SQLite's own locks.
"""

import os
import stat
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agentpool.errors import IncompatibleStoreError, StoreError
from agentpool.stores.sqlite.errors import not_opened
from agentpool.stores.sqlite.forks import Identity, identity

__all__ = ("BESIDE", "Guard", "Place", "beside", "no_file", "unfit")

_MODE: Final = 0o600
_SHARED: Final = ("-wal", "-shm")
"""What SQLite keeps beside a file, the same for all processes, for as long as one has it open."""
BESIDE: Final = (*_SHARED, "-journal")
"""What SQLite reads, writes or deletes beside a file, if it is there when the file is opened."""

_MAKING: Final = threading.Lock()


def beside(path: Path, suffix: str) -> Path:
    """Name a file that lies beside a database: its own name, and a suffix."""
    return path.with_name(path.name + suffix)


@dataclass(frozen=True)
class Place:
    """Where a file lies.

    :ivar given: the name that the user gave, made absolute; it may be a symbolic link
    :ivar path: the name that all links lead to; SQLite opens it by this one
    """

    given: Path
    path: Path

    @classmethod
    def of(cls, path: Path) -> "Place":
        """Find where a name leads, whatever becomes of the working folder later.

        :raises IncompatibleStoreError: the working folder is gone
        """
        try:
            return cls(path.absolute(), Path(os.path.realpath(path)))
        except OSError as error:
            raise not_opened(error, path) from error

    def beside(self, suffix: str) -> Path:
        """Name a file that lies beside it."""
        return beside(self.path, suffix)

    def make(self) -> None:
        """Make an empty file, for this user alone, where there is none.

        :raises AgentPoolError: it cannot be made
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with _MAKING:  # no thread of this process opens it before the descriptor is closed
                os.close(os.open(self.path, flags, _MODE))
        except FileExistsError:
            pass
        except OSError as error:
            raise not_opened(error, self.given) from error

    def refuse_missing(self) -> None:
        """Refuse a file that is not there.

        :raises IncompatibleStoreError: saying so
        """
        try:
            self.path.stat()
        except (FileNotFoundError, NotADirectoryError) as error:
            msg = f"{self.given}: there is no such file; name another, or let create=True make it"
            raise IncompatibleStoreError(msg) from error
        except OSError:
            pass  # for `check` to tell

    def check(self) -> Identity:
        """Say which file is there, if it can be a store that this user may write.

        Asked before SQLite opens it: who may only read would leave files of its own beside it,
        which the owner cannot write.

        :raises IncompatibleStoreError: it is no regular file, has other names, or cannot be written
        """
        try:
            found = self.path.stat()
        except OSError as error:
            raise not_opened(error, self.given) from error
        if why := no_file(found):
            msg = f"{self.given}: {why}"
            raise IncompatibleStoreError(msg)
        if found.st_nlink > 1:
            msg = (
                f"{self.given}: the file has {found.st_nlink} names (hard links), and each would"
                " have a write-ahead log of its own; delete the others, or open a copy"
            )
            raise IncompatibleStoreError(msg)
        _refuse_read_only(self.path)
        if not all(map(os.path.lexists, map(self.beside, _SHARED))):
            _refuse_read_only(self.path.parent)
        return found.st_dev, found.st_ino

    def check_beside(self) -> None:
        """Refuse what SQLite would take for its own, wait for, or write through.

        Asked before a file is made, so that one that is refused is not.

        :raises IncompatibleStoreError: it is no regular file, has other names, or cannot be written
        """
        for path in map(self.beside, BESIDE):
            try:
                found = path.lstat()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise not_opened(error, path) from error
            if why := unfit(found):
                msg = f"{path}: {why}"
                raise IncompatibleStoreError(msg)
            try:
                _refuse_read_only(path)
            except IncompatibleStoreError:
                if os.path.lexists(path):  # else the last process that had it open is through
                    raise


def no_file(found: os.stat_result) -> str | None:
    """Say why what a name leads to can be no store; ``None``: it is a file."""
    if stat.S_ISDIR(found.st_mode):
        return "it is a directory; give the path of a file in it"
    return None if stat.S_ISREG(found.st_mode) else "it is no regular file"


def unfit(found: os.stat_result) -> str | None:
    """Say why what lies beside a file cannot be what SQLite keeps there; ``None``: it can.

    :param found: of the name itself, should it be a link
    """
    if not stat.S_ISREG(found.st_mode):
        return (
            "it is no regular file; put back the one that belongs there, or remove it if none does"
        )
    if found.st_nlink > 1:
        return (
            f"it has {found.st_nlink} names (hard links), and who opens the store would write to"
            " all of them; delete the others, or move it away if it is not of this store"
        )
    return None


def _refuse_read_only(path: Path) -> None:
    if not os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        msg = f"{path}: it cannot be written; see who may, and how its disk is mounted"
        raise IncompatibleStoreError(msg)


class Guard:
    """Notices when a file that is open here is no longer the one that others open.

    A folder above it may be moved, with a link left in its place: that leads to the same files.

    :param place: open here, and kept open: SQLite lets its own files be for as long as that
    :param file: which one was opened
    """

    def __init__(self, place: Place, file: Identity) -> None:
        self._name = place.given
        # Behind a link in the place of the file, others would use the log of another name.
        given, own = (place.given, place.given != place.path), (place.path, False)
        self._expected: dict[tuple[Path, bool], Identity | None] = {given: file, own: file}
        for path in map(place.beside, _SHARED):
            self._expected[path, False] = identity(path, follow=False)
        self._gone: str | None = None

    @property
    def files(self) -> list[Path]:
        """What it looks at."""
        return [path for path, _ in self._expected]

    def look(self) -> bool:
        """Look whether the file is still there; costs a few microseconds. For any thread."""
        if self._gone is None:
            self._gone = self._what_is_gone()
        return self._gone is None

    def refuse_gone(self) -> None:
        """Refuse to go on with what was seen to be gone. It is refused for ever.

        :raises StoreError: the file, or what SQLite keeps beside it, was deleted, renamed or
            replaced
        """
        if self._gone is not None:
            raise StoreError(self._gone)

    def check(self) -> None:
        """Look, and refuse.

        :raises StoreError: as `refuse_gone` says
        """
        self.look()
        self.refuse_gone()

    def _what_is_gone(self) -> str | None:
        for (path, follow), expected in self._expected.items():
            try:
                found = identity(path, follow=follow)
            except OSError:  # it cannot be seen just now
                continue
            if found is None or found != expected:
                what = "replaced by another file or a link" if found else "deleted or renamed"
                return (
                    f"{self._name}: {path.name} was {what} while it was open here, so nothing more"
                    " is written to it; see to the files, then open the store again"
                )
        return None
