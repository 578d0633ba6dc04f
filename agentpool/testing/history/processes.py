"""The processes of a stress run: each works to its end, after others in its place were killed.

Each may be stopped for a while now and then, for longer than a lease or for less, wherever it is:
with the lock of the file, if it has it.
"""

import asyncio
import signal
import sys
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from agentpool.testing.history.calls import Facts, Journal
from agentpool.testing.history.matters import LEASE_SECONDS
from agentpool.testing.sites import Site

__all__ = ("Place",)

_LINES_OF_A_CALL: Final = 5
"""Lines of a journal for each call: it began, it ended, and what watchers saw of it."""
_LOOK_SECONDS: Final = 0.01
_ENDLESS: Final = 1_000_000
"""Calls of a task whose process is killed before it has made them."""
_WORKER: Final = "agentpool.testing.history.worker"
_PAUSES: Final = ((0.02, 0.4), (1.3, 2.5))
"""For how many leases a process is stopped: for less than one, or for more."""


@dataclass(frozen=True)
class Place:
    """A place for one process at a time.

    :ivar folder: where its journals are
    :ivar name: no two places of a history have the same
    :ivar journal: of those who disturb the processes
    :ivar calls: how many each of its tasks makes, unless it is killed
    """

    site: Site
    folder: Path
    name: str
    journal: Journal
    random: Random
    calls: int
    tasks: int

    async def work(self, kills: int, pauses: int) -> None:
        """Run a process to its end, after as many others as are to be killed.

        :raises RuntimeError: one failed, with what it printed
        """
        lives = kills + 1
        for life in range(lives):
            await self._live(f"{self.name}.{life}", life < kills, len(range(life, pauses, lives)))

    async def _live(self, name: str, is_killed: bool, pauses: int) -> None:
        path = self.folder / f"journal.{name}"
        calls = _ENDLESS if is_killed else self.calls
        arguments = (self.site, path, name, self.random.random(), calls, self.tasks)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", _WORKER, *map(str, arguments), stderr=asyncio.subprocess.PIPE
        )
        ending = asyncio.ensure_future(process.communicate())
        try:
            await self._disturb(process, path, is_killed, pauses)
            _, errors = await ending
        finally:
            _kill(process)
        if process.returncode not in {0, -signal.SIGKILL}:
            msg = f"a worker failed:\n{errors.decode()}"
            raise RuntimeError(msg)

    async def _disturb(
        self, process: asyncio.subprocess.Process, path: Path, is_killed: bool, pauses: int
    ) -> None:
        """Stop a process at some lines of its journal, and kill it at a later one."""
        most = self.calls * self.tasks * _LINES_OF_A_CALL
        *stops, last = sorted(self.random.randint(1, most) for _ in range(pauses + 1))
        for lines in stops:
            await _until_written(path, lines, process)
            if process.returncode is None:
                await self._write("pause", path, self._pause(process))
        if is_killed:
            await _until_written(path, last, process)
            if process.returncode is None:
                await self._write("kill", path, _killed(process))

    async def _pause(self, process: asyncio.subprocess.Process) -> Facts:
        seconds = LEASE_SECONDS * self.random.uniform(*self.random.choice(_PAUSES))
        process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            process.send_signal(signal.SIGCONT)
        return {"seconds": seconds}

    async def _write(self, do: str, path: Path, doing: Awaitable[Facts]) -> None:
        await self.journal.call(self.journal.next_id(), do, {"process": path.name}, doing)


async def _killed(process: asyncio.subprocess.Process) -> Facts:
    _kill(process)
    return {"killed": True}


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()


async def _until_written(path: Path, lines: int, process: asyncio.subprocess.Process) -> None:
    """Wait until a process has written so many lines to its journal, or has ended."""
    while process.returncode is None and _lines_of(path) < lines:  # noqa: ASYNC110  # in a file
        await asyncio.sleep(_LOOK_SECONDS)


def _lines_of(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0
