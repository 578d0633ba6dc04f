"""What every benchmark is given: a directory on the disk under test, and how much to do."""

import asyncio
import os
import shutil
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeVar

from agentpool import SqliteAgentPoolStore
from benchmarks.workloads import fill

__all__ = ("LONGEST", "Bench", "make_filled", "run_bounded", "sync")

LONGEST: Final = 300.0
"""Seconds after which anything that is measured is taken to hang."""

T = TypeVar("T")


def run_bounded(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine as `asyncio.run` does, but not for ever."""

    async def run() -> T:
        async with asyncio.timeout(LONGEST):
            return await coroutine

    return asyncio.run(run())


@dataclass
class Bench:
    """One run of the benchmarks."""

    directory: Path
    quick: bool
    _numbers: Iterator[int] = field(default_factory=count)

    def size(self, full: T, quick: T) -> T:
        """Choose how much to do."""
        return quick if self.quick else full

    def rounds(self, full: int = 5) -> range:
        """Count the rounds of a measurement."""
        return range(self.size(full, 1))

    @contextmanager
    def fresh_file(self) -> Iterator[Path]:
        """Name a file that does not exist, and remove it with all that lies beside it."""
        with self.fresh_folder() as folder:
            yield folder / "pool.db"

    @contextmanager
    def filled_file(self, records: int) -> Iterator[Path]:
        """Give a file whose pool holds this many records; it is made once, then copied."""
        template = self.directory / f"filled-{records}.db"
        if not template.exists():
            make_filled(template, records)
        with self.fresh_file() as path:
            shutil.copyfile(template, path)
            sync(path)
            yield path

    @contextmanager
    def fresh_folder(self) -> Iterator[Path]:
        """Give an empty folder, and remove it with all that is in it."""
        folder = self.directory / str(next(self._numbers))
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder)


def make_filled(path: Path, records: int) -> None:
    """Make a file whose pool holds this many records."""

    async def make() -> None:
        async with SqliteAgentPoolStore.open(path, synchronous="NORMAL") as store:
            await fill(store, records)

    run_bounded(make())


def sync(path: Path) -> None:
    """Bring a file down to the disk, so that no figure pays for writing it back later."""
    fd = os.open(path, os.O_RDWR)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
