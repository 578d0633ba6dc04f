"""Processes answer what comes to a queue, two consumers in each, and are killed at random."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import pytest

from agentpool import AgentPool
from agentpool.testing import a_member

from .helpers import SEED, Worker, amount, process, say, until

pytestmark = pytest.mark.slow

PROCESSES: Final = amount(2, 4)
QUESTIONS: Final = amount(64, 5_000)
KILLS: Final = amount(2, 50)
ASKERS: Final = 8
LEASE: Final = 0.4
LONG_LEASE: Final = 60.0
TIMEOUT: Final = 120.0


class Entry(NamedTuple):
    """A line of a journal."""

    what: str
    run_id: str
    seq: int


class Workers:
    """The processes that answer, each started again when it was killed."""

    def __init__(self, path: Path, folder: Path, lease: float, stack: AsyncExitStack) -> None:
        self._path, self._folder, self._lease, self._stack = path, folder, lease, stack
        self._running: list[Worker] = []
        self._starts = 0

    async def start_one(self) -> None:
        name = f"{self._starts:03}"
        self._starts += 1
        arguments = (self._path, name, self._folder / name, self._lease)
        worker = await self._stack.enter_async_context(process("answer.py", *arguments))
        assert (await worker.line()).startswith("ready")
        self._running.append(worker)

    async def kill_one(self, random: Random) -> None:
        """Kill a process, wherever it is, and start another."""
        worker = self._running.pop(random.randrange(len(self._running)))
        worker.kill()
        await worker.finish()
        await self.start_one()

    def journals(self) -> Iterator[list[Entry]]:
        for file in sorted(self._folder.iterdir()):
            lines = (line.split() for line in file.read_text().splitlines())
            yield [Entry(what, run_id, int(seq)) for what, run_id, seq in lines]


@asynccontextmanager
async def workers(path: Path, folder: Path, lease: float) -> AsyncIterator[Workers]:
    async with AsyncExitStack() as stack:
        started = Workers(path, folder, lease, stack)
        await asyncio.gather(*(started.start_one() for _ in range(PROCESSES)))
        yield started


async def ask(pool: AgentPool, questions: asyncio.Queue[int], name: str) -> list[str]:
    """Ask one question after another, and give the answers."""
    queue, answers = await pool.queue("work"), []
    async with pool.member(a_member(name), lease=None) as me:
        while not questions.empty():
            question = f"question.{questions.get_nowait()}"
            found = await me.ask(queue.address, question, timeout=TIMEOUT)
            answers += [await me.read(each) for each in found]
        assert await me.inbox.peek() == ()
    return answers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder for the journals."""
    folder = tmp_path / "journals"
    folder.mkdir()
    return folder


def to_ask() -> asyncio.Queue[int]:
    questions: asyncio.Queue[int] = asyncio.Queue()
    for number in range(QUESTIONS):
        questions.put_nowait(number)
    return questions


EXPECTED: Final = sorted(f"question.{number}!" for number in range(QUESTIONS))


@pytest.mark.timeout(amount(900, 3600))
async def test_while_nobody_is_killed_questions_are_shared_in_order(
    pool: AgentPool, path: Path, folder: Path
) -> None:
    questions = to_ask()
    async with workers(path, folder, LONG_LEASE) as running:
        asking = (ask(pool, questions, f"run.asker.{number}") for number in range(ASKERS))
        answers = [each for some in await asyncio.gather(*asking) for each in some]
        journals = list(running.journals())
    assert sorted(answers) == EXPECTED
    claimed = [entry for journal in journals for entry in journal if entry.what == "claimed"]
    shares = Counter(entry.run_id for entry in claimed)
    say(f"seed {SEED}, shares {sorted(shares.values())}")
    assert len(claimed) == QUESTIONS
    for journal in journals:
        seqs = [entry.seq for entry in journal if entry.what == "claimed"]
        assert seqs == sorted(seqs)


@pytest.mark.timeout(amount(900, 3600))
async def test_consumers_killed_at_random_leave_no_question_without_its_one_answer(
    pool: AgentPool, path: Path, folder: Path
) -> None:
    random, questions = Random(SEED), to_ask()
    instants = sorted(random.randrange(QUESTIONS) for _ in range(KILLS))
    async with workers(path, folder, LEASE) as running, asyncio.TaskGroup() as tasks:
        asking = [tasks.create_task(ask(pool, questions, f"run.{each}")) for each in range(ASKERS)]
        for instant in instants:

            async def reached(instant: int = instant) -> bool:
                return QUESTIONS - questions.qsize() >= instant

            await until(reached, TIMEOUT)
            await running.kill_one(random)
        answers = [each for task in asking for each in await task]
        journals = list(running.journals())
    again = Counter(
        entry.seq for journal in journals for entry in journal if entry.what == "claimed"
    )
    say(f"seed {SEED}, kills {KILLS}, claimed again {sum(n > 1 for n in again.values())}")
    assert sorted(answers) == EXPECTED
    assert await pool.inbox("queue.work").peek() == ()
