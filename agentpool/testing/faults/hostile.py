"""A foreign program is hostile: it writes what it likes into a file that others use.

Whatever that is, each call in the pool that it harms ends well or in an error of ours, in bounded
time and memory; other pools are as good as ever, and lose nothing; who comes later fares no worse;
nobody works for nothing; and the doctor names it.
"""

import argparse
import asyncio
import json
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from agentpool import AgentPool, SqliteAgentPoolStore
from agentpool.testing.faults.attacks import ATTACKS, HARMED, Attack
from agentpool.testing.faults.victim import BUSIEST, OTHER
from agentpool.testing.values import a_member

__all__ = ("Hostility", "Judge", "Process", "attack", "hostile", "run")

BOUND: Final = 900.0
_MEGABYTES: Final = 100
_MOST_AT_ONCE: Final = 3
_MOST_MEMORY: Final = 100
_COPIES: Final = 15
"""MiB that a process may take, and how often, beside that, each long text put in its way."""
_RECORDS_OF_A_SEND: Final = 2
_KEYS: Final = """
    SELECT json_extract(payload_json, '$.stored.message.idempotency_key')
    FROM agent_pool_records WHERE pool_id = ? AND kind = 'run_message'
"""
_NUMBERS: Final = "SELECT seq FROM agent_pool_records WHERE pool_id = ? ORDER BY seq"


@dataclass
class Hostility:
    """What a run has done and found."""

    attacks: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    busiest: float = 0.0
    memory: int = 0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        outcomes = ", ".join(f"{count} {name}" for name, count in sorted(self.outcomes.items()))
        return (
            f"{self.attacks.total()} attacks of {len(self.attacks)} kinds, calls: {outcomes};"
            f" slowest {self.slowest:.1f} s, idle {self.busiest:.0%} of a core, at most"
            f" {self.memory} MiB; {len(self.faults)} faults"
        )


class Process:
    """A process that uses the file, and what it has said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.said: list[dict[str, Any]] = []

    @classmethod
    async def start(cls, path: Path, label: str) -> "Process":
        """Start a process that uses a file."""
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-m", "agentpool.testing.faults.victim", str(path), label)
        return cls(
            await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
        )

    async def until(self, word: str, times: int = 1) -> None:
        """Take in what it says until this was said so often, or it has ended."""
        assert self._process.stdout
        while times:
            line = await self._process.stdout.readline()
            if not line:
                return
            self.said.append(json.loads(line))
            times -= word in self.said[-1]

    async def tell(self, order: str, answer: str) -> None:
        """Tell it something, and wait for the answer, or for its end."""
        assert self._process.stdin
        with suppress(ConnectionError):  # it has ended
            self._process.stdin.write(f"{order}\n".encode())
            await self._process.stdin.drain()
        await self.until(answer)

    async def end(self) -> str:
        """Wait for its end, or bring it about; gives what it had to say of its failure."""
        if not (self.said and "ended" in self.said[-1]):
            self._process.kill()
        _, errors = await self._process.communicate()
        return errors.decode() if self._process.returncode else ""


async def hostile(
    rounds: int, random: Random, *, megabytes: int = _MEGABYTES, attacks: Sequence[Attack] = ATTACKS
) -> Hostility:
    """Play so many rounds, with each attack in turn and some others at the same time."""
    tally = Hostility()
    for number in range(rounds):
        first = attacks[number % len(attacks)]
        others = random.sample(attacks, random.randrange(_MOST_AT_ONCE))
        await attack([first, *(each for each in others if each is not first)], tally, megabytes)
    return tally


async def attack(attacks: Sequence[Attack], tally: Hostility, megabytes: int) -> None:
    """Play one round, on a file of its own."""
    names = " and ".join(each.name for each in attacks)
    tally.attacks.update(each.name for each in attacks)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pool.db"
        memory = _MOST_MEMORY + _COPIES * megabytes * len(attacks)
        judge = Judge(tally, f"{names}: ", memory)
        try:
            async with asyncio.timeout(BOUND):
                await _play(path, attacks, judge, megabytes)
        except TimeoutError:
            judge.found(f"it was not over after {BOUND:.0f} s")


async def _play(path: Path, attacks: Sequence[Attack], judge: "Judge", megabytes: int) -> None:
    async with SqliteAgentPoolStore.open(path) as store:
        for pool_id in (OTHER, HARMED):
            async with AgentPool.open(store, pool_id) as pool:
                await pool.join_run(a_member("run.a"))
    everywhere = any(each.everywhere for each in attacks)
    for label in ("early", "late"):
        process = await Process.start(path, label)
        try:
            await process.until("passed")
            if label == "early":
                judge.take_in(process.said, {OTHER, HARMED})
                process.said.clear()
                await asyncio.to_thread(_harm, path, attacks, megabytes)
                await process.until("passed", 2)
            await process.tell("rest", "rested")
            await process.tell("stop", "ended")
        finally:
            judge.found(await process.end())
        judge.take_in(process.said, set() if everywhere else {OTHER})
    for fault in _lost(path, judge.sent):
        judge.found(fault)
    judge.found(await _doctor(path))


def _harm(path: Path, attacks: Sequence[Attack], megabytes: int) -> None:
    with closing(sqlite3.connect(path, timeout=BOUND, isolation_level=None)) as connection:
        for each in attacks:
            for statement in each.sql(megabytes):
                with suppress(sqlite3.Error):  # another attack stands in the way
                    connection.execute(statement)


class Judge:
    """Takes in what was said in a round.

    :ivar sent: what was acknowledged in the pool that nobody harms
    """

    def __init__(self, tally: Hostility, name: str, memory: int) -> None:
        self._tally, self._name, self._memory = tally, name, memory
        self.sent: set[str] = set()

    def found(self, fault: str) -> None:
        """Write down what ought not to be, if anything."""
        if fault:
            self._tally.faults.append(f"{self._name}{fault}")

    def take_in(self, lines: Iterable[dict[str, Any]], well: set[str]) -> None:
        """Look at what a process has said.

        :param well: the pools in which every call has to end well
        """
        tally = self._tally
        for line in lines:
            if "call" in line:
                self._take_in_call(line, must_be_ok=line["pool"] in well)
            elif "rested" in line:
                tally.busiest = max(tally.busiest, line["rested"])
                tally.memory = max(tally.memory, line["peak"])
                if line["rested"] > BUSIEST:
                    self.found(f"idle, it took {line['rested']:.0%} of a core")
                if line["peak"] > self._memory:
                    self.found(f"it took {line['peak']} MiB of memory")

    def _take_in_call(self, line: dict[str, Any], *, must_be_ok: bool) -> None:
        outcome = line["outcome"]
        self._tally.outcomes[outcome.partition(":")[0]] += 1
        self._tally.slowest = max(self._tally.slowest, line["seconds"])
        if outcome.startswith(("foreign", "too slow")) or (must_be_ok and outcome != "ok"):
            self.found(f"{line['call']} in {line['pool']}: {outcome}")
        if line["sent"] and line["pool"] == OTHER:
            self.sent.add(line["sent"])


def _lost(path: Path, sent: set[str]) -> Iterator[str]:
    with closing(sqlite3.connect(path, timeout=BOUND)) as connection:
        keys = [key for (key,) in connection.execute(_KEYS, (OTHER,))]
        numbers = [number for (number,) in connection.execute(_NUMBERS, (OTHER,))]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"{OTHER}: its numbers have a gap"
    for key in sorted(sent):
        if keys.count(key) != _RECORDS_OF_A_SEND:
            yield f"{OTHER}: {key} was acknowledged, and has {keys.count(key)} records"


async def _doctor(path: Path) -> str:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agentpool", "doctor", str(path), stdout=pipe, stderr=pipe
    )
    said, errors = await process.communicate()
    if errors or process.returncode not in {1, 2}:
        last = (errors or said).decode().splitlines()[-1:]
        return f"the doctor ended with {process.returncode}: {last}"
    return ""


def run(args: argparse.Namespace) -> int:
    """Run the rounds as the command line says; the exit code is 1 when something was found."""
    rounds = len(ATTACKS) if args.rounds is None else args.rounds
    tally = asyncio.run(hostile(rounds, Random(args.seed)))  # noqa: S311  # no secret
    sys.stdout.write(f"{tally}\n")
    sys.stdout.writelines(f"  {fault}\n" for fault in tally.faults)
    return 1 if tally.faults else 0
