"""Four processes share the inbox of one run, and are killed and held up at random."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Final

import pytest

from agentpool import AgentPool
from agentpool.testing import a_member, a_message

from . import journals
from .helpers import SEED, Worker, amount, process, say, until

pytestmark = pytest.mark.slow

CONSUMERS: Final = 4
SENDERS: Final = 5
MESSAGES: Final = amount(200, 2_000)
KILLS: Final = amount(8, 50)
LEASE: Final = 0.4
LONG_LEASE: Final = 60.0
RUN: Final = "run.b"
LONGEST: Final = 300.0


async def fill(pool: AgentPool, count: int) -> list[int]:
    """Send messages from several runs to one, and give the places that they have in its inbox."""
    for sender in range(SENDERS):
        await pool.join_run(a_member(f"run.sender.{sender}"))
    await pool.join_run(a_member(RUN))
    await asyncio.gather(
        *(
            pool.send(a_message(f"message.{number}", sender=f"run.sender.{number % SENDERS}"))
            for number in range(count)
        )
    )
    rows = await pool.store.query(
        pool.pool_id, lambda view: view.rows("inbox", RUN, limit=2 * count)
    )
    assert len(rows) == count
    return [row.key.number for row in rows]


class Consumers:
    """Four processes that consume, each started again when it was killed."""

    def __init__(
        self, path: Path, folder: Path, lease: float, random: Random, stack: AsyncExitStack
    ) -> None:
        self._path, self._folder, self._lease = path, folder, lease
        self._random, self._stack = random, stack
        self._running: list[tuple[Worker, int]] = []
        self._starts = 0

    async def start_one(self) -> None:
        journal = self._folder / f"{self._starts:03}"
        self._starts += 1
        arguments = (self._path, RUN, journal, self._lease, self._random.random())
        worker = await self._stack.enter_async_context(process("consume.py", *arguments))
        ready, _, pid = (await worker.line()).partition(" ")
        assert ready == "ready"
        self._running.append((worker, int(pid)))

    async def kill_one(self) -> None:
        """Kill a consumer, wherever it is."""
        await self._until_some_run()
        worker, _ = self._running.pop(self._random.randrange(len(self._running)))
        worker.kill()
        code, _, errors = await worker.finish()
        assert code == -signal.SIGKILL, errors

    async def hold_one_up(self) -> None:
        """Let a consumer sleep for longer than its claim lasts; then it goes on, none the wiser."""
        await self._until_some_run()
        _, pid = self._random.choice(self._running)
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(1.5 * self._lease)
        os.kill(pid, signal.SIGCONT)

    async def _until_some_run(self) -> None:
        async def some_run() -> bool:
            return bool(self._running)

        await until(some_run)

    async def until_acked(self, count: int) -> None:
        """Wait for as many acknowledgements, by whomever."""

        async def enough() -> bool:
            return journals.acked(journals.read(self._folder)) >= count

        await until(enough, LONGEST)


@asynccontextmanager
async def consumers(
    path: Path, folder: Path, lease: float, random: Random
) -> AsyncIterator[Consumers]:
    async with AsyncExitStack() as stack:
        started = Consumers(path, folder, lease, random, stack)
        async with asyncio.TaskGroup() as group:
            for _ in range(CONSUMERS):
                group.create_task(started.start_one())
        yield started


async def until_empty(pool: AgentPool) -> None:
    async def empty() -> bool:
        return not await pool.inbox(RUN).peek(limit=1)

    await until(empty, LONGEST)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder for the journals of the consumers."""
    folder = tmp_path / "journals"
    folder.mkdir()
    return folder


@pytest.mark.timeout(600)
async def test_while_nobody_is_killed_messages_are_handed_out_once_and_in_order(
    pool: AgentPool, path: Path, folder: Path
) -> None:
    seqs = await fill(pool, MESSAGES)
    async with consumers(path, folder, LONG_LEASE, Random(SEED)) as running:
        await running.until_acked(len(seqs))
    found = journals.read(folder)
    taken = [entry for journal in found for entry in journal if entry.what == "claimed"]
    assert sorted(entry.seq for entry in taken) == seqs
    assert not journals.out_of_order(found)
    assert not list(journals.faults(found, seqs))
    assert not await pool.inbox(RUN).peek()


@pytest.mark.timeout(600)
async def test_consumers_killed_at_random_acknowledge_every_message_exactly_once(
    pool: AgentPool, path: Path, folder: Path
) -> None:
    """A killed consumer's claim comes back, and a stale one is refused, as are its like."""
    random = Random(SEED)
    seqs = await fill(pool, MESSAGES)
    # One after another at a number of acknowledgements, while those before are being replaced.
    instants = sorted(random.randrange(len(seqs)) for _ in range(KILLS))
    async with consumers(path, folder, LEASE, random) as running, asyncio.TaskGroup() as starting:
        for kill, instant in enumerate(instants):
            await running.until_acked(instant)
            if kill % 4 == 3:
                await running.hold_one_up()
            await running.kill_one()
            starting.create_task(running.start_one())
        await until_empty(pool)
    found = journals.read(folder)
    entries = [entry for journal in found for entry in journal]
    again, lost = sum(e.attempt > 1 for e in entries), sum(e.what == "lost" for e in entries)
    say(f"seed {SEED}, messages {len(seqs)}, kills {KILLS}, again {again}, stale acks {lost}")
    assert not list(journals.faults(found, seqs))
    assert again
