"""What an examination found."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ("Finding", "Level", "Places", "Report", "broken", "in_bytes", "note", "ok")

_SHOWN: Final = 3
_KIB: Final = 1024


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"
    BROKEN = "BROKEN"


class Finding(NamedTuple):
    """What one check found, and what to do about it."""

    level: Level
    check: str
    what: str
    advice: str = ""

    def __str__(self) -> str:
        line = f"{self.level:<7} {self.check:<12} {self.what}"
        return _printable(line) + (f"\n{'':<21}-> {self.advice}" if self.advice else "")


def ok(check: str, what: str) -> Finding:
    """Say that all is well."""
    return Finding(Level.OK, check, what)


def note(check: str, what: str, advice: str = "") -> Finding:
    """Say that there is something to know."""
    return Finding(Level.NOTE, check, what, advice)


def broken(check: str, what: str, advice: str) -> Finding:
    """Say that something is broken."""
    return Finding(Level.BROKEN, check, what, advice)


class Places:
    """Counts where something was found, and remembers the first few places."""

    def __init__(self) -> None:
        self._count = 0
        self._first: list[str] = []

    def add(self, place: str) -> None:
        """Count a place."""
        self._count += 1
        if len(self._first) < _SHOWN:
            self._first.append(place)

    def __len__(self) -> int:
        return self._count

    def __str__(self) -> str:
        more = self._count - len(self._first)
        return "; ".join(self._first) + (f"; and {more} more" if more else "")


@dataclass(frozen=True)
class Report:
    """All findings about a store.

    :ivar path: where it is: a file, or a server in words
    """

    path: Path | str
    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """0: all is well, 1: there is something to know, 2: something is broken."""
        levels = {finding.level for finding in self.findings}
        if Level.BROKEN in levels:
            return 2
        return int(Level.NOTE in levels)

    def of(self, check: str) -> Finding:
        """Give the worst finding of a check.

        :raises LookupError: the check did not come to a finding
        """
        ranks = list(Level)
        found = [each for each in self.findings if each.check == check]
        if not found:
            raise LookupError(check)
        return max(found, key=lambda each: ranks.index(each.level))

    def __str__(self) -> str:
        levels = [finding.level for finding in self.findings]
        counts = ", ".join(f"{levels.count(level)} {level}" for level in Level)
        return "\n".join([*map(str, self.findings), _printable(f"{self.path}: {counts}")])


def in_bytes(count: int) -> str:
    """Write a number of bytes for people."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < _KIB:
            return f"{count} {unit}"
        count //= _KIB
    return f"{count} GiB"


def _printable(text: str) -> str:
    """Show control characters of a damaged file; a terminal would obey them."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
