"""Several processes make random calls on one file, some are killed, and the history is judged."""

import asyncio
import signal
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from agentpool import AgentPool, AgentPoolMember, AgentPoolStore, SqliteAgentPoolStore
from agentpool.testing.history.calls import Facts, Journal, read_journals
from agentpool.testing.history.checks import check
from agentpool.testing.history.evidence import Evidence, gather, settled
from agentpool.testing.history.matters import HOST, INBOX, POOL
from agentpool.testing.values import a_member

__all__ = ("Round", "Verdict", "run_round")

_LONGEST: Final = 300.0
_SETTLING: Final = 200.0
_LINES_OF_A_CALL: Final = 5
"""Lines of a journal for each call: it began, it ended, and what watchers saw of it."""
_LOOK_SECONDS: Final = 0.01
_ENDLESS: Final = 1_000_000
"""Calls of a task whose process is killed before it has made them."""
_WORKER: Final = "agentpool.testing.history.worker"


@dataclass(frozen=True)
class Round:
    """How much to do in one round."""

    seed: int = 1
    processes: int = 3
    tasks: int = 4
    calls: int = 50
    kills: int = 3


@dataclass
class Verdict:
    """What was done in one round or in several, and what of it ought not to be."""

    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def add(self, other: "Verdict") -> None:
        """Take in another round."""
        self.counts += other.counts
        self.violations += other.violations


async def run_round(folder: Path, plan: Round) -> Verdict:
    """Let processes work on a new file in an empty folder, and check what they wrote down.

    :raises RuntimeError: a process failed, with what it printed
    """
    path = folder / "pool.db"
    random = Random(plan.seed)  # noqa: S311  # no secrets
    await _prepare(path, folder / "journal.parent")
    async with asyncio.timeout(_LONGEST):
        killed = await asyncio.gather(
            *(_work(path, plan, n, random) for n in range(plan.processes))
        )
    async with SqliteAgentPoolStore.open(path) as store, AgentPool.open(store, POOL) as pool:
        await settled(pool, _SETTLING)
        evidence = await gather(pool, [INBOX])
    verdict = _judged(folder, evidence)
    verdict.counts["kills"] = sum(killed)
    return verdict


def _judged(folder: Path, evidence: Evidence) -> Verdict:
    calls = read_journals(sorted(folder.glob("journal.*")))
    counts = Counter({"calls": len(calls), "records": len(evidence.records)})
    for call in calls:
        counts[f"{call.do} {call.outcome}"] += 1
        counts["seen by watchers"] += len(call.saw)
    return Verdict(counts, check(calls, evidence))


async def _prepare(path: Path, journal_path: Path) -> None:
    """Let those join who never leave."""
    with Journal(journal_path, "parent") as journal:
        async with SqliteAgentPoolStore.open(path) as store, AgentPool.open(store, POOL):
            for run_id in (HOST, INBOX):
                member = a_member(run_id, agent_id=f"agent.{run_id}")
                arguments = {"run_id": run_id, "agent_id": member.agent_id}
                making = _join(store, member)
                await journal.call(journal.next_id(), "join", arguments, making)


async def _join(store: AgentPoolStore, member: AgentPoolMember) -> Facts:
    return {"seq": (await store.join_member(POOL, member)).sequence}


async def _work(path: Path, plan: Round, number: int, random: Random) -> int:
    """Run a process to its end, after others in its place that were killed before theirs.

    :return: how many were
    """
    kills = len(range(number, plan.kills, plan.processes))
    killed = 0
    for life in range(kills + 1):
        name = f"{plan.seed}.{number}.{life}"
        journal = path.with_name(f"journal.{name}")
        calls = plan.calls if life == kills else _ENDLESS
        arguments = (path, journal, name, random.random(), calls, plan.tasks)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", _WORKER, *map(str, arguments), stderr=asyncio.subprocess.PIPE
        )
        ending = asyncio.ensure_future(process.communicate())
        try:
            if life < kills:
                await _until_written(journal, _life(plan, random), ending)
                killed += _kill(process)
            _, errors = await ending
        finally:
            _kill(process)
        if process.returncode not in {0, -signal.SIGKILL}:
            msg = f"a worker failed:\n{errors.decode()}"
            raise RuntimeError(msg)
    return killed


def _life(plan: Round, random: Random) -> int:
    """Choose after how many lines of its journal a process is killed."""
    return random.randint(1, plan.calls * plan.tasks * _LINES_OF_A_CALL)


async def _until_written(
    journal: Path, lines: int, ending: "asyncio.Future[tuple[bytes, bytes]]"
) -> None:
    """Wait until a process has written so many lines to its journal, or has ended."""
    while not ending.done() and _lines_of(journal) < lines:  # noqa: ASYNC110  # in a file
        await asyncio.sleep(_LOOK_SECONDS)


def _lines_of(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def _kill(process: asyncio.subprocess.Process) -> bool:
    if process.returncode is not None:
        return False
    process.kill()
    return True
