"""Several processes make random calls on one store while all goes wrong, and the history is judged.

They are killed, and stopped for longer and shorter than leases, while the wall clock jumps to and
fro by up to an hour.
"""

import asyncio
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from agentpool import AgentPool, AgentPoolMember, AgentPoolStore
from agentpool.support.tasks import cancel, ended
from agentpool.testing.history.calls import Facts, Journal, read_journals
from agentpool.testing.history.checks import check
from agentpool.testing.history.evidence import Evidence, departed, gather, settled
from agentpool.testing.history.matters import HOST, INBOX, POOL, STAYING
from agentpool.testing.history.processes import Place
from agentpool.testing.history.wall import Wall
from agentpool.testing.sites import Site, new_site
from agentpool.testing.values import a_member

__all__ = ("Round", "Verdict", "run_round")

_LONGEST: Final = 300.0
_SETTLING: Final = 200.0
_JUMPS: Final = (-3_600_000, -40_000, 40_000, 3_600_000)
_BETWEEN_JUMPS: Final = (0.1, 0.8)


@dataclass(frozen=True)
class Round:
    """How much to do in one round.

    :ivar pauses: how often a process is stopped for a while
    :ivar jumps: how often the wall clock is set, at most
    """

    seed: int = 1
    processes: int = 3
    tasks: int = 4
    calls: int = 50
    kills: int = 3
    pauses: int = 0
    jumps: int = 0


@dataclass
class Verdict:
    """What was done in one round or in several, and what of it ought not to be."""

    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def add(self, other: "Verdict") -> None:
        """Take in another round."""
        self.counts += other.counts
        self.violations += other.violations


async def run_round(folder: Path, plan: Round, url: str | None = None) -> Verdict:
    """Let processes work on a new store, and check what they wrote down.

    :param folder: an empty one
    :param url: of a server; else the store is a file
    :raises RuntimeError: a process failed, with what it printed
    """
    with new_site(folder, url) as site:
        return _judged(folder, await _let_work(folder, plan, site))


async def _let_work(folder: Path, plan: Round, site: Site) -> Evidence:
    random = Random(plan.seed)  # noqa: S311  # no secrets
    with Journal(folder / "journal.parent", "parent") as journal:
        await _prepare(site, journal)
        # Who opens a file that nobody has open believes the wall clock: somebody has it open.
        opened = site.open() if plan.jumps else nullcontext()
        async with asyncio.timeout(_LONGEST), opened:
            jumping = asyncio.create_task(_jump(Wall(folder), plan.jumps, journal, random))
            try:
                await _work(site, folder, plan, journal, random)
            finally:
                cancel([jumping])
                await ended([jumping])
    async with site.open() as store, AgentPool.open(store, POOL) as pool:
        await settled(pool, _SETTLING)
        await departed(pool, STAYING, _SETTLING)
        return await gather(pool, [INBOX])


def _judged(folder: Path, evidence: Evidence) -> Verdict:
    calls = read_journals(sorted(folder.glob("journal.*")))
    counts = Counter({"calls": len(calls), "records": len(evidence.records)})
    for call in calls:
        counts[f"{call.do} {call.outcome}"] += 1
        counts["seen by watchers"] += len(call.saw)
    return Verdict(counts, check(calls, evidence))


async def _prepare(site: Site, journal: Journal) -> None:
    """Let those join who never leave."""
    async with site.open() as store, AgentPool.open(store, POOL):
        for run_id in (HOST, INBOX):
            member = a_member(run_id, agent_id=f"agent.{run_id}")
            arguments = {"run_id": run_id, "agent_id": member.agent_id}
            await journal.call(journal.next_id(), "join", arguments, _join(store, member))


async def _join(store: AgentPoolStore, member: AgentPoolMember) -> Facts:
    return {"seq": (await store.join_member(POOL, member)).sequence}


async def _work(site: Site, folder: Path, plan: Round, journal: Journal, random: Random) -> None:
    """Fill all places with processes until each has worked to its end."""
    async with asyncio.TaskGroup() as group:
        for number in range(plan.processes):
            name = f"{plan.seed}.{number}"
            place = Place(site, folder, name, journal, random, plan.calls, plan.tasks)
            kills = len(range(number, plan.kills, plan.processes))
            pauses = len(range(number, plan.pauses, plan.processes))
            group.create_task(place.work(kills, pauses))


async def _jump(wall: Wall, times: int, journal: Journal, random: Random) -> None:
    """Set the wall clock, at times that nobody expects."""
    for _ in range(times):
        await asyncio.sleep(random.uniform(*_BETWEEN_JUMPS))
        await journal.call(journal.next_id(), "jump", {}, _set(wall, random.choice(_JUMPS)))


async def _set(wall: Wall, millis: int) -> Facts:
    wall.set(millis)
    return {"off by": millis}
