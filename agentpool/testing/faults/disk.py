"""A disk with a cache, as a power cut leaves it.

What was synced is there. Of what was written since, any sectors may be, in any order, and one may
be torn; a file may have its new length or its old one. Names (creating, deleting) reach the disk
in order, up to some point after the last sync of their folder.
"""

import os
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Final, TypeAlias

from agentpool.testing.faults.syscalls import Call

__all__ = ("Disk",)

_SECTOR: Final = 512
_TORN: Final = 0.05

_Write: TypeAlias = tuple[int, bytes]  # where, and what
_Truncate: TypeAlias = int  # the length


class _File:
    """The content of a file, whatever its name."""

    def __init__(self) -> None:
        self.synced = bytearray()
        self.pending: list[_Write | _Truncate] = []

    def sync(self) -> None:
        for change in self.pending:
            _apply(self.synced, change)
        self.pending.clear()

    def after_cut(self, random: Random) -> bytes:
        """Make up what is left of it."""
        left, kept = bytearray(self.synced), random.choice((0.0, 0.2, 0.5, 0.8, 0.95, 1.0))
        for change in self.pending:
            if isinstance(change, int):
                if random.random() < kept:
                    _apply(left, change)
                continue
            for sector in _sectors(*change):
                if random.random() < kept:
                    _apply(left, _torn(sector, random))
        return bytes(left)


class Disk:
    """The files of one folder, brought forward call by call."""

    def __init__(self, folder: Path, is_kept: Callable[[str], bool]) -> None:
        self._folder = os.fsencode(folder)
        self._is_kept = is_kept
        self._names: dict[str, _File] = {}
        self._synced_names: dict[str, _File] = {}
        self._pending_names: list[tuple[str, _File | None]] = []
        self._open: dict[int, _File | None] = {}
        self._calls: dict[str, Callable[[Call], None]] = {
            "openat": self._opened,
            "close": lambda call: self._open.update({call.number(0): None}),
            "pwrite64": self._written,
            "ftruncate": self._truncated,
            "fsync": self._synced,
            "fdatasync": self._synced,
            "unlink": lambda call: self._unlinked(call.arguments[0]),
            "unlinkat": lambda call: self._unlinked(call.arguments[1]),
        }

    def take(self, call: Call) -> None:
        """Carry out a call."""
        paths = [each for each in call.arguments if isinstance(each, bytes | str)]
        if call.name.startswith("rename") and any(map(self._own_name, paths)):
            msg = f"this disk cannot rename: {call}"
            raise NotImplementedError(msg)
        if call.name in self._calls:
            self._calls[call.name](call)

    def write_after_cut(self, folder: Path, random: Random) -> None:
        """Cut the power, and write what is left into another folder."""
        names = dict(self._synced_names)
        reached = random.randint(0, len(self._pending_names))
        for name, file in self._pending_names[:reached]:
            _name(names, name, file)
        for name, file in names.items():
            (folder / name).write_bytes(file.after_cut(random))

    def _own_name(self, path: bytes | str) -> str | None:
        folder, _, name = os.fsencode(path).rpartition(b"/")
        text = os.fsdecode(name)
        return text if folder == self._folder and self._is_kept(text) else None

    def _opened(self, call: Call) -> None:
        path, flags = call.arguments[1], str(call.arguments[2])
        name = self._own_name(path)
        self._open[call.result] = None
        if os.fsencode(path) == self._folder:
            self._open[call.result] = _FOLDER
        elif name is not None:
            if name not in self._names and "O_CREAT" in flags:
                self._rename(name, _File())
            self._open[call.result] = self._names[name]

    def _written(self, call: Call) -> None:
        file = self._open.get(call.number(0))
        if file is not None:
            data = os.fsencode(call.arguments[1])
            file.pending.append((call.number(3), data[: call.result]))

    def _truncated(self, call: Call) -> None:
        file = self._open.get(call.number(0))
        if file is not None:
            file.pending.append(call.number(1))

    def _synced(self, call: Call) -> None:
        file = self._open.get(call.number(0))
        if file is _FOLDER:
            self._synced_names = dict(self._names)
            self._pending_names.clear()
        elif file is not None:
            file.sync()

    def _unlinked(self, path: bytes | str) -> None:
        name = self._own_name(path)
        if name is not None:
            self._rename(name, None)

    def _rename(self, name: str, file: _File | None) -> None:
        _name(self._names, name, file)
        self._pending_names.append((name, file))


_FOLDER: Final = _File()
"""Stands for the folder itself among the open files."""


def _name(names: dict[str, _File], name: str, file: _File | None) -> None:
    if file is None:
        names.pop(name, None)
    else:
        names[name] = file


def _apply(content: bytearray, change: _Write | _Truncate) -> None:
    if isinstance(change, int):
        del content[change:]
        content.extend(bytes(change - len(content)))
        return
    start, data = change
    content.extend(bytes(max(0, start - len(content))))
    content[start : start + len(data)] = data


def _sectors(start: int, data: bytes) -> Iterable[_Write]:
    """Cut what was written where the sectors of the disk begin."""
    end = start + len(data)
    cuts = [start, *range(start - start % _SECTOR + _SECTOR, end, _SECTOR), end]
    for one, two in pairwise(cuts):
        yield one, data[one - start : two - start]


def _torn(sector: _Write, random: Random) -> _Write:
    """Tear a sector now and then: its beginning is new, its rest is old."""
    start, data = sector
    if random.random() < _TORN:
        data = data[: random.randint(0, len(data))]
    return start, data
