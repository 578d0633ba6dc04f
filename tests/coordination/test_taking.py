"""Consumers take again and again, each time for some milliseconds only, while messages come."""

import asyncio
import time
from pathlib import Path
from random import Random
from typing import Final

import pytest

from agentpool import AgentPool, Inbox, SqliteAgentPoolStore
from agentpool.testing import a_member, a_message

from .helpers import POOL, SEED, amount, say, until

pytestmark = pytest.mark.slow

MESSAGES: Final = amount(100, 1_000)
LONGEST_TAKE: Final = 0.02
LONGEST_WORK: Final = 0.01
LONGEST_PAUSE: Final = 0.006


class Consumers:
    """Takes by several tasks, and how long each message lay there while one of them was free."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._free = 0
        self._free_since = 0.0
        self.sent: dict[str, float] = {}
        self.taken: list[tuple[str, int]] = []
        self.in_vain = 0
        self.waits: list[float] = []

    async def consume(self, inbox: Inbox) -> None:
        self._is_free()
        while True:
            delivery = await inbox.take(self._random.uniform(0, LONGEST_TAKE))
            if delivery is None:
                self.in_vain += 1
                continue
            self._free -= 1
            name = delivery.message.message_id
            now = time.monotonic()
            self.waits.append(max(now - max(self.sent.get(name, now), self._free_since), 0))
            await asyncio.sleep(self._random.uniform(0, LONGEST_WORK))
            await delivery.ack()
            self.taken.append((name, delivery.attempt))
            self._is_free()

    def _is_free(self) -> None:
        if not self._free:
            self._free_since = time.monotonic()
        self._free += 1


async def test_each_message_is_taken_once_however_short_the_takes_are(
    pool: AgentPool, path: Path
) -> None:
    random = Random(SEED)
    await pool.join_run(a_member("run.a"))
    await pool.join_run(a_member("run.b"))
    consumers = Consumers(random)
    async with SqliteAgentPoolStore.open(path) as store, AgentPool.open(store, POOL) as other:
        inboxes = [each.inbox("run.b") for each in (pool, pool, other, other)]
        tasks = [asyncio.create_task(consumers.consume(each)) for each in inboxes]
        for number in range(MESSAGES):
            await pool.send(a_message(f"message.{number}"))
            consumers.sent[f"message.{number}"] = time.monotonic()
            await asyncio.sleep(random.uniform(0, LONGEST_PAUSE))

        async def all_taken() -> bool:
            return len(consumers.taken) >= MESSAGES or any(each.done() for each in tasks)

        await until(all_taken)
        for each in tasks:
            each.cancel()
        await asyncio.wait(tasks)
    # At the first attempt: a take that ends in vain claims nothing.
    assert sorted(consumers.taken) == sorted((f"message.{n}", 1) for n in range(MESSAGES))
    assert await pool.inbox("run.b").peek() == ()
    waits = sorted(consumers.waits)
    say(
        f"seed {SEED}, {consumers.in_vain} takes in vain; a message lay there beside a free"
        f" consumer for {waits[len(waits) // 2] * 1e3:.1f} ms, at most {waits[-1] * 1e3:.1f} ms"
    )
