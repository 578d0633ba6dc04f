"""Every error of the engine at every step of every call: nothing half done, and all goes on.

A call is disturbed at its first statement, then at its second, and so on until it went through,
all on one handle. Each time it raises the right error and the file is as before; at last the file
is as if the call had never been disturbed.
"""

import argparse
import asyncio
import shutil
import sqlite3
import sys
import tempfile
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

from agentpool import AgentPoolError, SqliteAgentPoolStore
from agentpool.support.clock import SteadyClock
from agentpool.testing.faults.cases import CASES, Case, prepare
from agentpool.testing.faults.damage import corrupt_pages, fill_disk
from agentpool.testing.faults.engine import FAULTS, Fault, failing, failing_to_open
from agentpool.testing.faults.journal import LOG
from agentpool.testing.faults.kills import write_foreign_file

__all__ = ("Tally", "disturb", "disturb_opening", "run")

BOUND: Final = 300.0
_NOW: Final = 1_800_000_000_000
_FULL: Final = 2


@dataclass
class Tally:
    """What was disturbed, and what was wrong then.

    :ivar done: calls that raised although all their effect is there, by call and statement
    """

    steps: int = 0
    done: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.steps} errors raised, {len(self.faults)} faults;"
            f" {self.done.total()} calls raised after their whole effect was there"
        )


class Undisturbed(NamedTuple):
    """What a call gives, and the file that it leaves, when nothing happens."""

    result: Any
    file: str


def dump(path: Path) -> str:
    """Write a whole file down as text."""
    with closing(sqlite3.connect(path)) as connection:
        [version] = connection.execute("PRAGMA user_version").fetchone()
        return "\n".join([f"version {version}", *connection.iterdump()])


def _opening(path: Path, later: int = 0) -> Any:
    return SqliteAgentPoolStore.open(path, clock=SteadyClock(lambda: _NOW + later))


async def disturb(
    case: Case, fault: Fault, tally: Tally, folder: Path, *, rolled_back: bool
) -> None:
    """Disturb a call at each of its steps.

    :param folder: an empty one
    """
    template, path = folder / "template.db", folder / "pool.db"
    async with _opening(template) as store:
        await prepare(store)
    shutil.copy(template, path)
    async with _opening(path, case.later) as store:
        expected = Undisturbed(await case.act(store), dump(path))
    disturbance = _Disturbance(case, fault, rolled_back, expected, tally)
    step: int | None = 0
    while step is not None:
        shutil.copy(template, path)
        async with asyncio.timeout(BOUND), _opening(path, case.later) as store:
            step = await disturbance.go_on(store, step)


class _Attempt(NamedTuple):
    """A call that was disturbed at one statement, or at none."""

    hit: str | None
    result: Any
    error: Exception | None


@dataclass
class _Disturbance:
    """One call, one error, in one of its two modes."""

    case: Case
    fault: Fault
    rolled_back: bool
    expected: Undisturbed
    tally: Tally

    async def go_on(self, store: SqliteAgentPoolStore, step: int) -> int | None:
        """Disturb one step after another, up to a call that has its effect.

        :return: the step to go on with; ``None``: there is none
        """
        before = dump(store.path)
        while True:
            attempt = await self._attempt(store, step)
            after = dump(store.path)
            await self._judge_connections(store, attempt)
            self._judge(attempt, before, after)
            step += 1
            if attempt.hit is None:
                return None
            self.tally.steps += 1
            if attempt.error is None or after != before:
                return step

    async def _attempt(self, store: SqliteAgentPoolStore, step: int) -> _Attempt:
        disturbed = failing(
            store, step, self.fault, rolled_back=self.rolled_back, reader=self.case.reads
        )
        with disturbed as injected:
            try:
                result = await self.case.act(store)
            except Exception as error:  # noqa: BLE001  # it is judged
                return _Attempt(injected.hit, None, error)
        return _Attempt(injected.hit, result, None)

    def _judge(self, attempt: _Attempt, before: str, after: str) -> None:
        if attempt.error is None:
            if (attempt.result, after) != self.expected:
                self._report(attempt, "it went through, and the effect is another")
        elif attempt.hit is None:
            self._report(attempt, f"the handle works no more: {attempt.error}")
        elif type(attempt.error) is not self.fault.expected:
            self._report(attempt, f"raised {type(attempt.error).__name__}: {attempt.error}")
        elif after == self.expected.file != before:
            self.tally.done[f"{self.case} at {attempt.hit}"] += 1
        elif after != before:
            self._report(attempt, "it is half done")

    async def _judge_connections(self, store: SqliteAgentPoolStore, attempt: _Attempt) -> None:
        """See that no transaction is open, and that commits still wait for the disk."""
        await store.record_pool_created(LOG)  # nothing new, but it has to survive a power cut
        for name, worker in (("writer", store._writer), ("reader", store._reader)):  # noqa: SLF001
            in_transaction, synchronous = await worker.run(_state)
            if in_transaction:
                self._report(attempt, f"the {name} has a transaction open")
            if synchronous != _FULL:
                self._report(attempt, f"the {name} has synchronous = {synchronous}")

    def _report(self, attempt: _Attempt, what: str) -> None:
        mode = "rolled back" if self.rolled_back else "open"
        statement = " ".join((attempt.hit or "no statement").split())[:60]
        self.tally.faults.append(f"{self.case}, {self.fault}, {mode}, at {statement!r}: {what}")


def _state(connection: sqlite3.Connection) -> tuple[bool, int]:
    [synchronous] = connection.execute("PRAGMA synchronous").fetchone()
    return connection.in_transaction, synchronous


async def disturb_opening(fault: Fault, tally: Tally, folder: Path, *, rolled_back: bool) -> None:
    """Disturb the opening, and so the migration, of a file that another implementation made."""
    template, path = folder / "template.db", folder / "pool.db"
    write_foreign_file(template, 20)
    shutil.copy(template, path)
    before = dump(path)
    async with _opening(path):
        expected = dump(path)
    shutil.copy(template, path)
    step, hit = 0, True
    while hit:
        with failing_to_open(step, fault, rolled_back=rolled_back) as injected:
            found = await _open_disturbed(path, fault, {before, expected}, expected)
        hit, step = injected.hit is not None, step + 1
        tally.steps += hit
        tally.faults += [f"open, {fault}, at {injected.hit!r}: {each}" for each in found]


async def _open_disturbed(path: Path, fault: Fault, whole: set[str], expected: str) -> list[str]:
    try:
        async with asyncio.timeout(BOUND), _opening(path):
            return [] if dump(path) == expected else ["it opened another file"]
    except AgentPoolError as error:
        if type(error) is not fault.expected:
            return [f"raised {type(error).__name__}: {error}"]
        return [] if dump(path) in whole else ["it is half migrated"]


async def matrix(rounds: int | None, random: Random) -> Tally:
    """Disturb all calls by all errors, or so many pairs of them."""
    tally = Tally()
    pairs = [(case, fault, mode) for case in (None, *CASES) for fault in FAULTS for mode in (0, 1)]
    random.shuffle(pairs)
    for case, fault, mode in pairs[:rounds]:
        with tempfile.TemporaryDirectory() as folder:
            if case is None:
                await disturb_opening(fault, tally, Path(folder), rolled_back=bool(mode))
            else:
                await disturb(case, fault, tally, Path(folder), rolled_back=bool(mode))
    return tally


def run(args: argparse.Namespace) -> int:
    """Run all of it, or so many rounds; the exit code is 1 when something was found."""
    random = Random(args.seed)  # noqa: S311  # no secret
    tally = asyncio.run(matrix(args.rounds, random))
    sys.stdout.write(f"injected: {tally}\n")
    sys.stdout.writelines(f"  {count} times: {call}\n" for call, count in tally.done.items())
    damage = [asyncio.run(fill_disk()), asyncio.run(corrupt_pages(args.rounds or 200, random))]
    sys.stdout.writelines(f"{each}\n" for each in damage)
    faults = [*tally.faults, *(fault for each in damage for fault in each.faults)]
    sys.stdout.writelines(f"  {fault}\n" for fault in faults)
    return 1 if faults else 0
