"""A file is renamed, replaced or restored under those who write to it, or one of them forks.

What is begun once a file has lost its name is never acknowledged, and what was acknowledged before
is in it, whatever it is called now. A restored backup takes what came after it, and nothing else. A
child cannot open what its parent has open.
"""

import argparse
import asyncio
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from agentpool.testing.faults.sender import POOL

__all__ = ("MOVES", "Moves", "moves", "run")

DEFAULT_ROUNDS: Final = 60
BOUND: Final = 200.0
_SENDERS: Final = 2
_MOST: Final = 12
_KEYS: Final = """
    SELECT json_extract(payload_json, '$.stored.message.idempotency_key')
    FROM agent_pool_records WHERE pool_id = ? AND kind = 'run_message'
"""


class Sent(NamedTuple):
    """An acknowledged message, and when it was begun, in nanoseconds of the monotonic clock."""

    name: str
    began: int


class Sender:
    """A process that sends, and what it has said.

    :ivar sent: what it was acknowledged
    :ivar said: all else
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process: Final = process
        self.sent: list[Sent] = []
        self.said: list[str] = []

    @classmethod
    async def start(cls, path: Path, label: str) -> "Sender":
        """Start a process that sends."""
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-m", "agentpool.testing.faults.sender", str(path), label)
        return cls(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe))

    async def listen(self, more: float, *, said: int = 0) -> None:
        """Take in so many acknowledgements more, and other lines, or all up to its end."""
        assert self.process.stdout
        until = len(self.sent) + more
        while len(self.sent) < until or len(self.said) < said:
            line = await self.process.stdout.readline()
            if not line:
                return
            word, *rest = line.decode().split()
            if word == "sent":
                self.sent.append(Sent(rest[0], int(rest[1])))
            else:
                self.said.append(" ".join((word, *rest)))

    async def stop(self) -> None:
        """Kill it, if it has not ended."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.communicate()


def _backup(path: Path) -> None:
    with closing(sqlite3.connect(path, timeout=BOUND)) as connection:
        connection.execute("VACUUM INTO ?", (str(path.with_name("copy.db")),))


def _rename(path: Path) -> None:
    path.rename(path.with_name("away.db"))


def _replace(path: Path) -> None:
    path.with_name("away.db").hardlink_to(path)
    path.with_name("copy.db").replace(path)


def _restore(path: Path) -> None:
    with (
        closing(sqlite3.connect(path.with_name("copy.db"))) as copy,
        closing(sqlite3.connect(path, timeout=BOUND)) as connection,
    ):
        copy.backup(connection, sleep=0.001)


MOVES: Final[dict[str, Callable[[Path], None]]] = {
    "renamed": _rename,
    "replaced": _replace,
    "restored": _restore,
    "forked": lambda _: None,
}
"""What is done to a file, by name."""


@dataclass
class Moves:
    """What a run has done and found."""

    done: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        done = ", ".join(f"{count} {how}" for how, count in sorted(self.done.items()))
        return f"{done}; {self.acknowledged} acknowledged, {len(self.faults)} faults"


async def moves(rounds: int, random: Random) -> Moves:
    """Play so many rounds, of each kind in turn."""
    tally = Moves()
    for number in range(rounds):
        how = list(MOVES)[number % len(MOVES)]
        with tempfile.TemporaryDirectory() as folder:
            async with asyncio.timeout(BOUND):
                await _play(how, Path(folder) / "pool.db", random, tally)
        tally.done[how] += 1
    return tally


async def _play(how: str, path: Path, random: Random, tally: Moves) -> None:
    senders = [await Sender.start(path, f"s{number}") for number in range(_SENDERS)]
    try:
        await _listen(senders, random.randint(1, _MOST))
        kept = {sent.name for sender in senders for sent in sender.sent}
        await asyncio.to_thread(_backup, path)
        await _listen(senders, random.randint(1, _MOST))
        await asyncio.to_thread(MOVES[how], path)
        moved = time.monotonic_ns()
        if how == "forked":
            assert senders[0].process.stdin
            senders[0].process.stdin.write(b"fork\n")
            await senders[0].listen(0, said=1)
        await _listen(senders, _MOST if how in {"restored", "forked"} else float("inf"))
    finally:
        for sender in senders:
            await sender.stop()
    sent = [each for sender in senders for each in sender.sent]
    tally.acknowledged += len(sent)
    late = {each.name for each in sent if each.began > moved}
    if how == "restored":
        faults = _missing(path, kept | late)
    elif how == "forked":
        faults = [
            *_missing(path, {each.name for each in sent}),
            *_not_said(senders[:1], "child StoreClosedError"),
        ]
    else:
        path.with_name(f"{path.name}-wal").rename(path.with_name("away.db-wal"))
        faults = [f"{name} was acknowledged" for name in sorted(late)]
        faults += _missing(path.with_name("away.db"), {each.name for each in sent})
        faults += _not_said(senders, "stopped StoreError")
    tally.faults += [f"{how}: {fault}" for fault in faults]


async def _listen(senders: Iterable[Sender], more: float) -> None:
    await asyncio.gather(*(sender.listen(more) for sender in senders))


def _missing(path: Path, names: set[str]) -> list[str]:
    with closing(sqlite3.connect(path, timeout=BOUND)) as connection:
        found = {key for (key,) in connection.execute(_KEYS, (POOL,)).fetchall()}
        damage = [line for (line,) in connection.execute("PRAGMA integrity_check").fetchall()]
    faults = [f"{name} is not there" for name in sorted(names - found)]
    return faults + [f"integrity check: {line}" for line in damage if line != "ok"]


def _not_said(senders: Iterable[Sender], what: str) -> Iterator[str]:
    for sender in senders:
        if not any(line.startswith(what) for line in sender.said):
            yield f"{what!r} was not said, but {sender.said}"


def run(args: argparse.Namespace) -> int:
    """Run the rounds as the command line says; the exit code is 1 when something was found."""
    rounds = DEFAULT_ROUNDS if args.rounds is None else args.rounds
    tally = asyncio.run(moves(rounds, Random(args.seed)))  # noqa: S311  # no secret
    sys.stdout.write(f"{tally}\n")
    sys.stdout.writelines(f"  {fault}\n" for fault in tally.faults)
    return 1 if tally.faults else 0
