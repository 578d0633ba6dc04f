"""Real damage: a disk without room for each call, and pages overwritten while nobody looked."""

import asyncio
import shutil
import sqlite3
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from agentpool import AgentPoolError, SqliteAgentPoolStore, StoreFullError
from agentpool.testing.faults.cases import CASES, Case, prepare
from agentpool.testing.faults.journal import LOG, WORK
from agentpool.testing.values import a_message, a_receipt

__all__ = ("Damage", "corrupt_pages", "fill_disk")

BOUND: Final = 300.0
_PAGE: Final = 4096
_ENOUGH: Final = 200


@dataclass
class Damage:
    """What calls on damaged files have come to.

    :ivar outcomes: the error types that they raised, and how many went through
    """

    name: str
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        outcomes = ", ".join(f"{count} {name}" for name, count in sorted(self.outcomes.items()))
        return f"{self.name}: {len(self.faults)} faults; {outcomes}"


async def fill_disk() -> Damage:
    """Let each call run into a full file, and through once there is room."""
    damage = Damage("full disk")
    for case in CASES:
        if not case.reads:
            with tempfile.TemporaryDirectory() as folder:
                await _fill_disk(case, Path(folder) / "pool.db", damage)
    if not damage.outcomes["StoreFullError"]:
        damage.faults.append("no call has found the disk full")
    return damage


async def _fill_disk(case: Case, path: Path, damage: Damage) -> None:
    async with asyncio.timeout(BOUND), SqliteAgentPoolStore.open(path) as store:
        await prepare(store)
        await _limit(store, 0)
        await _fill(store)
        for more in range(_ENOUGH):
            await _limit(store, min(more, 1))
            before = await _records(store)
            outcome = await _outcome(case, store)
            damage.outcomes[outcome] += 1
            if outcome == "went through":
                return
            if outcome != "StoreFullError" or await _records(store) != before:
                damage.faults.append(f"{case}: {outcome}, {await _records(store)} from {before}")
                return
        damage.faults.append(f"{case}: it never went through")


async def _limit(store: SqliteAgentPoolStore, more: int) -> None:
    """Let the file grow by so many pages and no more."""

    def limit(connection: sqlite3.Connection) -> None:
        [limit] = connection.execute("PRAGMA max_page_count").fetchone()
        [pages] = connection.execute("PRAGMA page_count").fetchone()
        base = pages if limit > 2**20 else limit
        connection.execute(f"PRAGMA max_page_count = {base + more}").fetchone()

    await store._writer.run(limit)  # noqa: SLF001


async def _fill(store: SqliteAgentPoolStore) -> None:
    """Use up what room there is in the pages of the file."""
    for number in range(10_000):
        message = a_message(f"filler.{number}")
        try:
            await store.record_message(LOG, message, a_receipt(message))
        except StoreFullError:
            return


async def _records(store: SqliteAgentPoolStore) -> tuple[int, int]:
    return len(await store.read(LOG)), len(await store.read(WORK))


async def _outcome(case: Case, store: SqliteAgentPoolStore) -> str:
    try:
        await case.act(store)
    except AgentPoolError as error:
        return type(error).__name__
    except Exception as error:  # noqa: BLE001  # the fault that is looked for
        return f"foreign {type(error).__name__}: {error}"
    return "went through"


async def corrupt_pages(rounds: int, random: Random) -> Damage:
    """Overwrite a part of a file at random, open it, and make every call.

    Each goes through or raises an error of ours; the handle closes, and a file beside it is as
    good as ever.
    """
    damage = Damage("corrupt page")
    with tempfile.TemporaryDirectory() as folder:
        template, path = Path(folder) / "template.db", Path(folder) / "pool.db"
        async with SqliteAgentPoolStore.open(template) as store:
            await prepare(store)
            await _lengthen(store)
        for _ in range(rounds):
            shutil.copy(template, path)
            _overwrite(path, random)
            async with asyncio.timeout(BOUND):
                await _use(path, random, damage)
    return damage


async def _lengthen(store: SqliteAgentPoolStore) -> None:
    messages = [a_message(f"long.{number}") for number in range(300)]
    await asyncio.gather(
        *(store.record_message(LOG, message, a_receipt(message)) for message in messages)
    )


def _overwrite(path: Path, random: Random) -> None:
    """Write noise, or zeros, over a page or a part of one; nobody has the file open."""
    length = random.choice((8, 100, 512, _PAGE))
    start = random.randrange(100, path.stat().st_size - length)
    noise: Any = random.choice((random.randbytes, bytes))
    with path.open("r+b") as file:
        file.seek(start)
        file.write(noise(length))


async def _use(path: Path, random: Random, damage: Damage) -> None:
    try:
        store = await SqliteAgentPoolStore.open(path)
    except AgentPoolError as error:
        damage.outcomes[f"{type(error).__name__} on opening"] += 1
        return
    except Exception as error:  # noqa: BLE001  # the fault that is looked for
        damage.faults.append(f"opening: foreign {type(error).__name__}: {error}")
        return
    async with store:
        for case in random.sample(CASES, len(CASES)):
            outcome = await _outcome(case, store)
            damage.outcomes[outcome.partition(":")[0]] += 1
            if outcome.startswith("foreign"):
                damage.faults.append(f"{case}: {outcome}")
