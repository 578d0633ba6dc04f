"""Random interleavings of all that can happen to a wake, in two processes, killed now and then."""

import asyncio
import contextlib
import json
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Final

import pytest

from agentpool import (
    AgentPool,
    AgentPoolStoreCursor,
    NotAMemberError,
    SqliteAgentPoolStore,
    WakeCondition,
    WakeRegistrationStatus,
    decode,
)
from agentpool.testing import a_member

from .helpers import BOUND, POOL, SEED, Worker, amount, in_a_minute, process, say
from .interleavings import HOST, SINK, Action, Ledger, Scenario, actions_of, read_ledger

pytestmark = pytest.mark.slow

SCENARIOS: Final = amount(240, 4_000)
AT_ONCE: Final = 40
LEASE_MILLIS: Final = 300
STATUSES: Final = frozenset(map(str, WakeRegistrationStatus))


class Side:
    """One of the two processes, started again after it was killed."""

    def __init__(self, path: Path, name: str, stack: AsyncExitStack) -> None:
        self._path, self._name, self._stack = path, name, stack
        self._worker: Worker | None = None
        self._starts = 0

    @property
    def run_id(self) -> str:
        return f"run.{self._name}.{self._starts}"

    async def start(self) -> None:
        """Start the process unless it runs."""
        if self._worker is None:
            self._starts += 1
            self._worker = await self._stack.enter_async_context(
                process("act.py", self._path, self.run_id, LEASE_MILLIS)
            )
            assert await self._worker.line() == "ready"

    async def carry_out(self, actions: list[Action], kill_after: int | None) -> list[str]:
        """Have actions carried out, and give the outcomes that were told before the end.

        :param kill_after: how many outcomes the process lives for; ``None``: for all of them
        """
        assert self._worker
        self._worker.tell(json.dumps(actions))
        lines: list[str] = []
        while len(lines) != kill_after and (line := await self._worker.line()) != "done":
            assert line, await self._worker.finish()
            lines.append(line)
        if kill_after is not None:
            self._worker.kill()
            code, last, errors = await self._worker.finish()
            assert code == -9, errors
            self._worker = None
            lines += [line for line in last if line != "done"]
        return lines


class Interleavings:
    """Runs scenarios in batches, and remembers what the processes told."""

    def __init__(self, pool: AgentPool, random: Random, sides: tuple[Side, Side]) -> None:
        self._pool, self._random, self._sides = pool, random, sides
        self.told: list[tuple[Scenario, str, str]] = []
        self.scenarios: list[Scenario] = []
        self.kills = 0

    async def run_batch(self) -> None:
        for side in self._sides:
            await side.start()
        scenarios = [await self._scenario(len(self.scenarios) + n) for n in range(AT_ONCE)]
        self.scenarios += scenarios
        shares: tuple[list[Action], list[Action]] = ([], [])
        known: dict[str, tuple[Scenario, str]] = {}
        for scenario in scenarios:
            # Some are registered before everything else, so that however busy the machine is there
            # are such as wait for what ends them.
            is_early = scenario.number % 8 == 0
            actions = list(actions_of(self._random, scenario, is_patient=is_early))
            if is_early:
                await self._register(actions[0])
            for action in actions:
                action["id"] = f"a{len(known)}"
                known[action["id"]] = (scenario, action["do"])
                self._random.choice(shares).append(action)
        for line in await self._carry_out(shares):
            identity, outcome = line.split(" ", 1)
            self.told.append((*known[identity], outcome))

    async def _register(self, action: Action) -> None:
        condition = decode(action["value"], WakeCondition)
        with contextlib.suppress(NotAMemberError):  # the run of a process that was killed
            await self._pool.suspend_until(
                condition.run_id, condition, since=AgentPoolStoreCursor(action["since"] or 0)
            )

    async def _scenario(self, number: int) -> Scenario:
        """Let a run of its own wait, or one of a process, which may be killed and lose it."""
        run_id = f"run.wait.{number}"
        if self._random.random() < 0.2:
            run_id = self._random.choice(self._sides).run_id
        else:
            await self._pool.join_run(a_member(run_id))
        since = await self._pool.store.query(POOL, lambda view: view.head)
        return Scenario(number, run_id, since)

    async def _carry_out(self, shares: tuple[list[Action], list[Action]]) -> list[str]:
        kill_after: list[int | None] = [None, None]
        if self._random.random() < 0.5:
            victim = self._random.randrange(2)
            kill_after[victim] = self._random.randint(0, len(shares[victim]))
            self.kills += 1
        # In a group, which ends the other side when one fails: two may not read one pipe.
        async with asyncio.TaskGroup() as group:
            carrying = [
                group.create_task(side.carry_out(share, kill))
                for side, share, kill in zip(self._sides, shares, kill_after, strict=True)
            ]
        return [line for each in carrying for line in each.result()]


async def interleave(pool: AgentPool, path: Path, random: Random) -> Interleavings:
    await pool.join_run(a_member(HOST))
    await pool.join_run(a_member(SINK))
    async with AsyncExitStack() as stack:
        sides = (Side(path, "left", stack), Side(path, "right", stack))
        run = Interleavings(pool, random, sides)
        while len(run.scenarios) < SCENARIOS:
            await run.run_batch()
    return run


def contradicts(ledger: Ledger, scenario: Scenario, what: str, outcome: str) -> bool:
    """Say whether a process was told something that the log does not bear out."""
    final = ledger.final(scenario)
    if what == "register":
        return outcome in STATUSES and (final is None or outcome not in {"registered", final})
    if what == "wait":
        return outcome in STATUSES and outcome != final
    if what == "cancel":
        cancelled = final is WakeRegistrationStatus.CANCELLED
        return (outcome == "cancelled") is not cancelled and outcome != "InvalidValueError"
    if what in {"publish", "send"}:
        return not ledger.events[scenario.key]
    return False


@pytest.mark.timeout(600)
async def test_every_wake_ends_exactly_once_and_misses_no_event(path: Path) -> None:
    """Register, event, timeout, cancel, leave and kill compete; the first recorded one is final.

    A wake is triggered exactly when one of its events came before its end and before its time was
    over, be it before, during or after the registration.
    """
    async with (
        SqliteAgentPoolStore.open(path, busy_timeout=BOUND) as store,
        AgentPool.open(store, POOL) as pool,
    ):
        run = await interleave(pool, path, Random(SEED))
    async with (
        SqliteAgentPoolStore.open(path, clock=in_a_minute) as store,
        AgentPool.open(store, POOL) as pool,
    ):
        ledger = await read_ledger(pool)
    told = Counter(f"{what} {outcome}" for _, what, outcome in run.told if not outcome.isdigit())
    counts = ledger.counts()
    say(f"seed {SEED}, wakes {counts.total()}, kills {run.kills}, {dict(counts)}")
    say(f"told: { ({k: n for k, n in told.items() if not k.startswith('leave run')}) }")
    faults = [fault for scenario in run.scenarios for fault in ledger.faults(scenario)]
    assert not faults
    assert not [each for each in run.told if contradicts(ledger, *each)]
    assert {"triggered", "timed_out", "cancelled", "failed"} <= counts.keys()
