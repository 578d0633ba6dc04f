"""Files of a host: what is to be written, shown as a difference, and written at once or not."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from difflib import unified_diff
from pathlib import Path
from typing import Final, NamedTuple

from agentpool.errors import InvalidValueError

__all__ = ("Change", "is_plain", "read", "refusal")

_MODE: Final = 0o644
_OF_HOSTS: Final = {".claude", ".codex"}


class Change(NamedTuple):
    """What becomes of a file.

    :ivar before: what it has; ``None``: it is not there
    :ivar after: what it is to have; ``None``: it is not to be there
    """

    path: Path
    before: str | None
    after: str | None

    @property
    def what(self) -> str:
        """Say in a word what happens."""
        if self.before == self.after:
            return "unchanged"
        return "deleted" if self.after is None else "written"

    def difference(self) -> Iterator[str]:
        """Show it as `diff` does."""
        before, after = ((each or "").splitlines() for each in (self.before, self.after))
        yield from unified_diff(before, after, str(self.path), str(self.path), lineterm="")

    def carry_out(self) -> None:
        """Write the file, whole or not at all; where it is a link, what that leads to.

        Only what `is_plain` may be deleted.

        :raises InvalidValueError: it has changed since it was read; it is as it is now
        :raises OSError: it cannot be written, and is as it was
        """
        if self.before == self.after:
            return
        with _named(self.path):
            if self.after is None:
                self._delete()
            else:
                self._write(self.after.encode())

    def _delete(self) -> None:
        self._check()
        self.path.unlink()
        if self.path.parent.name in _OF_HOSTS:
            with suppress(OSError):  # others have something there
                self.path.parent.rmdir()

    def _write(self, data: bytes) -> None:
        path = self.path.resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else _MODE
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(number, mode)
                os.fsync(number)
            self._check()
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink()
            raise

    def _check(self) -> None:
        """Look again at the last moment: hosts write their files, too."""
        if read(self.path) != self.before:
            raise refusal(self.path, "somebody has just changed it; call this again")


def is_plain(path: Path) -> bool:
    """Say whether it is a file itself: a link, and what it leads to, others have put there."""
    return path.is_file() and not path.is_symlink()


def read(path: Path) -> str | None:
    """Read a file as it is; ``None``: it is not there.

    :raises InvalidValueError: it is no text
    :raises OSError: it cannot be read
    """
    try:
        with _named(path):
            return path.read_bytes().decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise refusal(path, "it is not UTF-8") from error


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Let an error of the system name the file that it is about."""
    try:
        yield
    except OSError as error:
        what = error.strerror or str(error)
        named = what if what.startswith(f"{path}: ") else f"{path}: {what}"
        raise OSError(error.errno, named) from error


def refusal(path: Path, why: str) -> InvalidValueError:
    """Make the error for a file that is left as it is."""
    return InvalidValueError(f"{path} is left as it is: {why}")
