"""Processes that append to one pool at once, and processes that die while they do."""

import asyncio
import json
import random
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from agentpool import SqliteAgentPoolStore

from .helpers import POOL, is_intact, records, send, sql, worker

pytestmark = pytest.mark.slow

LONGEST_LIFE = 60
"""Lines that a writer prints before it is killed, at most."""


def acknowledged(lines: list[str]) -> dict[str, int]:
    """Read what a worker printed: the number of each message that it got an answer for."""
    return {name: int(seq) for name, seq in (line.split() for line in lines)}


def stored(path: Path) -> dict[str, int]:
    """Find the number of each message, and see to it that there are no gaps and no doubles."""
    rows = records(path)
    assert [seq for seq, _, _ in rows] == list(range(1, len(rows) + 1))
    found = {}
    for seq, kind, payload in rows:
        if kind == "run_message":
            name = json.loads(payload)["stored"]["message"]["message_id"].removeprefix("message.")
            assert name not in found
            found[name] = seq
    return found


async def test_eight_processes_append_without_error_gap_or_duplicate(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path) as store, AsyncExitStack() as stack:
        await store.open_pool(POOL)
        workers = [
            await stack.enter_async_context(worker("append.py", path, f"w{n}", 40, 5))
            for n in range(8)
        ]
        assert {await each.line() for each in workers} == {"ready"}
        for each in workers:
            each.tell("go")
        ends = await asyncio.gather(*(each.finish() for each in workers))
    answers: dict[str, int] = {}
    for code, lines, errors in ends:
        assert code == 0, errors
        answers |= acknowledged(lines)
    assert len(answers) == 8 * 40 * 5
    assert stored(path) == answers


async def test_writers_killed_at_random_lose_and_repeat_nothing_acknowledged(path: Path) -> None:
    answers: dict[str, int] = {}
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)
    for round_ in range(7):
        answers |= await killed_round(path, round_)
        assert answers.items() <= stored(path).items()
        assert is_intact(path)
        async with SqliteAgentPoolStore.open(path) as store:
            last = await send(store, f"after.{round_}")
            assert len((await store.snapshot(POOL)).messages) == last - 1
    assert len(answers) > 20


async def killed_round(path: Path, round_: int) -> dict[str, int]:
    """Let two processes append and kill both; give what they got answers for."""
    async with (
        worker("append.py", path, f"r{round_}.a", 0, 3) as one,
        worker("append.py", path, f"r{round_}.b", 0, 3) as two,
    ):
        for each in (one, two):
            assert await each.line() == "ready"
        first_lines = []
        for each in (one, two):
            each.tell("go")
            first_lines.append(await each.line())
        for each in (one, two):
            first_lines += [await each.line() for _ in range(random.randrange(LONGEST_LIFE))]
        one.kill()
        two.kill()
        ends = await asyncio.gather(one.finish(), two.finish())
    assert {code for code, _, _ in ends} == {-9}
    return acknowledged(first_lines + ends[0][1] + ends[1][1])


async def test_a_process_killed_inside_its_transaction_leaves_nothing_of_it(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    async with worker("die_in_transaction.py", path) as process:
        code, lines, errors = await process.finish()
    assert (code, lines) == (-9, ["inserted"]), errors
    assert len(records(path)) == 1
    assert await send(store, "a") == 2


async def test_event_numbers_are_never_given_twice(path: Path) -> None:
    """Two handles stand for two processes: they share nothing but the file."""
    async with SqliteAgentPoolStore.open(path) as one, SqliteAgentPoolStore.open(path) as two:
        numbers = await asyncio.gather(
            *(each.next_event_sequence(POOL) for each in (one, two) for _ in range(200))
        )
    assert sorted(numbers) == list(range(1, 401))
    with sql(path) as connection:
        rows = connection.execute("SELECT * FROM agent_pool_event_seq").fetchall()
    assert rows == [(POOL, 400)]
