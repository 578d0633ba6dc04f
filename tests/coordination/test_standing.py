"""Runs that others count on are stopped for longer than their lease, or restarted in flight."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import cycle, pairwise
from pathlib import Path
from random import Random
from typing import Final

import pytest

from agentpool import (
    AgentPool,
    EntityKind,
    EntityRef,
    MemberHandle,
    MemberLeft,
    NoRecipientError,
    RunAddress,
)
from agentpool.testing import a_member

from .helpers import BOUND, SEED, Worker, amount, payloads, process, say, stop, until

pytestmark = pytest.mark.slow

CONSUMERS: Final = amount(2, 4)
ROUNDS: Final = amount(2, 20)
RESTARTS: Final = amount(2, 50)
LEASE: Final = 0.9
LONG_LEASE: Final = 60.0
PAUSE: Final = 0.02
WORDS: Final = 3


class Standing:
    """A process that is a run, and what it has said so far."""

    def __init__(self, worker: Worker) -> None:
        self.worker: Final = worker
        self.said: Final[list[list[str]]] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while line := await self.worker.line():
            self.said.append(line.split())

    async def has_said(self, *words: str) -> None:
        async def found() -> bool:
            return any(line[: len(words)] == list(words) for line in self.said)

        await until(found)

    def those(self, word: str) -> list[list[str]]:
        """List what it said with this word, without it."""
        return [line[1:] for line in self.said if line[0] == word and len(line) == WORDS]

    async def end(self) -> None:
        """Wait until it has ended by itself, and well."""
        async with asyncio.timeout(BOUND):
            await self._reading
        code, _, errors = await self.worker.finish()
        assert code == 0, errors

    async def forget(self) -> None:
        self._reading.cancel()
        await asyncio.wait([self._reading])


@asynccontextmanager
async def standing(
    path: Path, run_id: str, lease: float, *, stays: bool = False
) -> AsyncIterator[Standing]:
    """Start a process, which is ready, and does not outlive the block."""
    async with process("stand.py", path, run_id, lease, "stays" if stays else "") as worker:
        one = Standing(worker)
        try:
            await one.has_said("ready")
            yield one
        finally:
            await one.forget()


class Sender:
    """Sends all the while, in turn to whoever there is; what reached nobody it sends again."""

    def __init__(self, me: MemberHandle, to: Iterable[RunAddress]) -> None:
        self._me = me
        self._to = cycle(to)
        self._over = False
        self.sent: list[str] = []
        self.refused = 0

    async def send(self) -> None:
        while not self._over:
            await self.deliver(next(self._to), f"work.{len(self.sent)}")
            await asyncio.sleep(PAUSE)

    async def deliver(self, to: RunAddress, name: str) -> None:
        """Send a message, again and again until somebody has it."""

        async def reaches_somebody() -> bool:
            try:
                await self._me.send(to, content_ref=name, idempotency_key=name)
            except NoRecipientError:
                self.refused += 1
                return False
            return True

        await until(reaches_somebody)
        self.sent.append(name)

    def stop(self) -> None:
        self._over = True


def acked(runs: Iterable[Standing]) -> Counter[str]:
    return Counter(name for each in runs for name, _ in each.those("acked"))


async def until_acked(sent: list[str], runs: list[Standing]) -> None:
    """Wait until all was handled, and see that nothing was acknowledged twice."""

    async def all_acked() -> bool:
        return acked(runs).total() >= len(sent)

    await until(all_acked)
    assert acked(runs) == Counter(sent)


def at_once(runs: Iterable[Standing]) -> list[str]:
    """List the messages that two have handled at the same moment."""
    spans: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for each in runs:
        began: dict[str, int] = {}
        for word, name, moment in (line for line in each.said if len(line) == WORDS):
            if word == "began":
                began[name] = int(moment)
            elif word in {"acked", "lost"}:
                spans[name].append((began.pop(name), int(moment)))
    return [
        name
        for name, some in spans.items()
        if any(end > start for (_, end), (start, _) in pairwise(sorted(some)))
    ]


@pytest.mark.timeout(amount(300, 1800))
async def test_consumers_that_are_stopped_for_longer_than_their_lease_go_on(
    pool: AgentPool, path: Path
) -> None:
    random, queue = Random(SEED), await pool.queue("work")
    names = [f"run.{number}" for number in range(CONSUMERS)]
    calls: dict[tuple[str, int], str] = {}
    async with AsyncExitStack() as stack:
        me = await stack.enter_async_context(pool.member(a_member("run.me"), lease=None))
        runs = [await stack.enter_async_context(standing(path, each, LEASE)) for each in names]
        sender = Sender(me, [queue.address, *map(RunAddress.run, names)])
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(sender.send())
            for number in range(ROUNDS):
                await asyncio.sleep(random.uniform(0, LEASE))
                for each in runs:
                    await stop(each.worker, path)
                await asyncio.sleep(1.5 * LEASE)
                for name in names:
                    about = EntityRef(EntityKind.ARTIFACT, f"task.{name}.{number}")
                    await me.publish(f"call.{name}.{number}", related=[about])
                    calls[name, number] = about.id
                for each in runs:
                    each.worker.go_on()
                for each in runs:
                    await each.has_said("told", str(number))
            sender.stop()
        for name in names:
            await sender.deliver(RunAddress.run(name), f"last.{name}")
        await until_acked(sender.sent, runs)
        told = {
            (name, int(number)): event
            for name, each in zip(names, runs, strict=True)
            for number, event in each.those("told")
        }
        left = [each for each in await payloads(pool) if isinstance(each, MemberLeft)]
    assert told == calls, "each was told of its own calls, once each"
    lost = sum(len(each.those("lost")) for each in runs)
    say(f"sent {len(sender.sent)}, {sender.refused} times to nobody, left {len(left)}, lost {lost}")


@pytest.mark.timeout(amount(300, 1800))
async def test_restarts_that_overlap_lose_nothing(pool: AgentPool, path: Path) -> None:
    queue = await pool.queue("work")
    async with AsyncExitStack() as stack:
        me = await stack.enter_async_context(pool.member(a_member("run.me"), lease=None))
        start = standing(path, "run.a", LONG_LEASE, stays=True)
        runs = [await stack.enter_async_context(start)]
        sender = Sender(me, [queue.address, RunAddress.run("run.a")])
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(sender.send())
            for _ in range(RESTARTS):
                start = standing(path, "run.a", LONG_LEASE, stays=True)
                runs.append(await stack.enter_async_context(start))
                await runs[-2].end()
            sender.stop()
        await until_acked(sender.sent, runs)
    for old in runs[:-1]:
        over = dict(old.those("over"))
        assert over == dict.fromkeys(("inbox", "queue", "waits"), "MembershipLostError")
    assert at_once(runs) == []
    assert sender.refused == 0, "it was a member all the while"
    lost = sum(len(each.those("lost")) for each in runs)
    say(f"sent {len(sender.sent)}, restarts {RESTARTS}, given back in flight {lost}")
