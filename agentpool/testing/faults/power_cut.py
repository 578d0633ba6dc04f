"""Power cuts without pulling a plug.

The system calls of a worker are recorded. At random points among them the power is cut: what a
`Disk` may have kept is written down, and opened. With ``synchronous=FULL`` whatever the worker had
been told by then is there; with ``NORMAL`` the end of the log may be missing, but nothing is
broken, and who has seen a record that is gone is told when he wants to go on from there.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from agentpool.testing.faults import verdict
from agentpool.testing.faults.disk import Disk
from agentpool.testing.faults.journal import LOG, WORK, Entry, Told, parse
from agentpool.testing.faults.restart import Cursors, another_boot, last_seen
from agentpool.testing.faults.sight import integrity, look, works
from agentpool.testing.faults.syscalls import Call, strace_or_reason, traced
from agentpool.testing.faults.syscalls import parse as parse_calls
from agentpool.testing.sites import Site

__all__ = ("Recording", "Tally", "cut_power", "power_cuts", "record", "run")

DEFAULT_ROUNDS: Final = 250
"""Cuts for each of the two settings."""
BOUND: Final = 300.0

_CUTS_OF_A_RECORDING: Final = 25
_ACTIONS: Final = 300
_CHECKPOINTS: Final = (20, 100, 1000)
_STRETCHES: Final = (1, 10, 1000)
_DATABASE: Final = "pool.db"
_NO_EFFECT: Final = {Told.ACKING, Told.SHOWN}


@dataclass
class Tally:
    """What cuts with one setting have shown.

    :ivar lost: for each cut how many acknowledged effects were gone
    :ivar cursors: what became of those who knew the number of a record
    """

    synchronous: str
    acknowledged: int = 0
    lost: list[int] = field(default_factory=list)
    cursors: Cursors = field(default_factory=Cursors)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        losing = sum(1 for each in self.lost if each)
        mean = sum(self.lost) / max(1, len(self.lost))
        return (
            f"{self.synchronous}: {len(self.lost)} cuts, {self.acknowledged} effects acknowledged"
            f" before them, {len(self.faults)} faults; {losing} cuts lost something"
            f" (mean {mean:.1f}, most {max(self.lost, default=0)} effects);"
            f" {self.cursors.ahead} cursors were then ahead of their log,"
            f" {self.cursors.refused} were refused, {self.cursors.went_on} went on"
        )


@dataclass(frozen=True)
class Recording:
    """What a worker did, call by call, and what it had been told after each."""

    folder: Path
    calls: Sequence[Call]

    def told(self, upto: int | None = None) -> list[Entry]:
        """Read what it had written down by then."""
        lines = [
            os.fsdecode(data)
            for call in self.calls[:upto]
            if call.name == "write" and (data := os.fsencode(call.arguments[1])).startswith(b'["')
        ]
        return list(parse(lines))


def record(
    strace: str, folder: Path, synchronous: str, random: Random, actions: int = _ACTIONS
) -> Recording:
    """Let a worker work on a new file in a folder."""
    trace = folder / "trace"
    worker = [sys.executable, "-m", "agentpool.testing.faults.worker", str(folder / _DATABASE)]
    arguments = [str(folder / "journal"), "w", str(random.getrandbits(32))]
    options = ["--actions", str(actions), "--synchronous", synchronous]
    options += ["--checkpoint", str(random.choice(_CHECKPOINTS))]
    options += ["--stretch", str(random.choice(_STRETCHES)), "--watch", LOG, WORK]
    subprocess.run(  # noqa: S603
        traced(strace, trace, [*worker, *arguments, *options]),
        input=b"\n",
        check=True,
        capture_output=True,
        timeout=BOUND,
    )
    with trace.open(encoding="ascii") as lines:
        return Recording(folder, list(parse_calls(lines)))


def _cuts(recording: Recording, count: int, random: Random) -> Iterator[tuple[int, Disk]]:
    """Bring a disk to one random point after another, from the first call on the file on."""
    disk = Disk(recording.folder, lambda name: name.startswith(_DATABASE) and "shm" not in name)
    first = next(i for i, call in enumerate(recording.calls) if _opens_database(call))
    cuts = sorted(random.randint(first, len(recording.calls)) for _ in range(count))
    done = 0
    for cut in cuts:
        for call in recording.calls[done:cut]:
            disk.take(call)
        done = cut
        yield cut, disk


def _opens_database(call: Call) -> bool:
    return call.name == "openat" and os.fsencode(call.arguments[1]).endswith(_DATABASE.encode())


async def cut_power(recording: Recording, count: int, random: Random, tally: Tally) -> None:
    """Cut the power so many times, and look at what is left each time."""
    at_last = recording.told()
    for cut, disk in _cuts(recording, count, random):
        before = recording.told(cut)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / _DATABASE
            disk.write_after_cut(Path(folder), random)
            with another_boot():
                await _judge(path, before, at_last, tally)


async def _judge(path: Path, before: list[Entry], at_last: list[Entry], tally: Tally) -> None:
    """Open what is left. What comes out of it as an error is a fault too."""
    refs = [entry.values[0] for entry in before if entry.told is Told.CONTENT]
    try:
        async with asyncio.timeout(BOUND):
            site = Site(str(path))
            sight = await look(site, refs)
            found = [f"integrity check: {line}" for line in integrity(site)]
            found += await tally.cursors.go_on(path, sight, last_seen(before))
            await works(site, "check")
    except Exception as error:  # noqa: BLE001  # whatever it is, the cut has broken something
        tally.faults.append(f"{type(error).__name__}: {error}")
        tally.lost.append(0)
        return
    lost = list(verdict.lost(sight, before, at_last))
    tally.acknowledged += sum(entry.told not in _NO_EFFECT for entry in before)
    tally.lost.append(len(lost))
    tally.faults += [*found, *verdict.broken(sight), *(lost if tally.synchronous == "FULL" else ())]


def power_cuts(strace: str, synchronous: str, cuts: int, random: Random) -> Tally:
    """Record workers and cut their power, so many times in all."""
    tally = Tally(synchronous)
    while len(tally.lost) < cuts:
        with tempfile.TemporaryDirectory() as folder:
            recording = record(strace, Path(folder).resolve(), synchronous, random)
            count = min(_CUTS_OF_A_RECORDING, cuts - len(tally.lost))
            asyncio.run(cut_power(recording, count, random, tally))
    return tally


def run(args: argparse.Namespace) -> int:
    """Cut the power as the command line says; the exit code is 1 when something was found."""
    strace, reason = strace_or_reason()
    if not strace:
        sys.stdout.write(f"skipped: {reason}\n")
        return 0
    found = 0
    for synchronous in ("FULL", "NORMAL"):
        cuts = DEFAULT_ROUNDS if args.rounds is None else args.rounds
        random = Random(args.seed)  # noqa: S311  # no secret
        tally = power_cuts(strace, synchronous, cuts, random)
        sys.stdout.write(f"{tally}\n")
        sys.stdout.writelines(f"  {fault}\n" for fault in tally.faults[:20])
        found += len(tally.faults)
    return 1 if found else 0
