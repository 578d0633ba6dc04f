"""What the tests of the doctor share: a file in which everything is there to be broken."""

import asyncio
from pathlib import Path
from typing import Any

from agentpool import (
    AgentPool,
    EventFilter,
    EventKind,
    MessageResponseContract,
    RunAddress,
    SqliteAgentPoolStore,
    include,
)
from agentpool.doctor import Report, examine
from agentpool.support.clock import SteadyClock
from agentpool.testing import a_condition, a_member, a_message
from agentpool.testing.conformance.pool_kit import an_event
from agentpool.wire.content import PIECE

from .helpers import BOUND, POOL, sql

NOW = 1_000_000
MENDED = (3, 53, 1)
"""A version of SQLite without the WAL-reset bug, which would be a finding everywhere."""

_made: list[bytes] = []  # the file is always the same, and closed


def now() -> int:
    return NOW


async def sound_file(path: Path) -> Path:
    """Make a file with every kind of row but those of runs that wait for answers."""
    if not _made:
        await make_sound(path)
        _made.append(traces(path.parent)[path.name])
    return written(path, _made[0])


async def make_sound(path: Path) -> None:
    async with (
        asyncio.timeout(BOUND),
        SqliteAgentPoolStore.open(path, clock=SteadyClock(now)) as store,
        AgentPool.open(store, POOL) as pool,
    ):
        await fill(pool)
    add_row(path, "deadline", "lease run.a", due_at=NOW + 30_000)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


async def fill(pool: AgentPool) -> None:
    for name in ("run.a", "run.b"):
        await pool.join_run(a_member(name))
    asked = MessageResponseContract(expected_responses=1, timeout_millis=60_000)
    await pool.send(a_message(response_contract=asked, expires_at_millis=NOW + 90_000))
    await pool.send(a_message("message.2"))
    matching = EventFilter(kinds=include(EventKind.RUN_COMPLETED))
    for name in ("wake.1", "wake.2"):
        condition = a_condition(name, filter=matching, timeout_millis=60_000)
        await pool.suspend_until("run.a", condition)
        if name == "wake.1":
            await pool.publish(an_event())
            matching = EventFilter(kinds=include(EventKind.RUN_FAILED))
    await pool.store.put_content(b"a body")
    await pool.store.put_content(bytes(PIECE + 1))
    for number in range(40):  # so many changes that a checkpoint is kept
        await pool.join_run(a_member("run.c", topics=[f"topic.{number}"]))
    await pool.send(a_message("message.3", to=RunAddress.run("run.c")))


def add_row(
    path: Path, kind: str, name: str, number: int = 0, due_at: int = 0, **value: Any
) -> None:
    with sql(path) as connection:
        connection.execute(
            "INSERT INTO agentpool_rows (pool_id, kind, name, number, due_at, value)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (POOL, kind, name, number, due_at, value.get("value", "")),
        )


def broken_by(path: Path, *statements: str) -> None:
    """Change a file as no program of ours would."""
    with sql(path) as connection:
        for statement in statements:
            connection.execute(statement)


def examined(path: Path, millis: int = NOW) -> Report:
    return examine(path, clock=SteadyClock(lambda: millis))


def traces(folder: Path) -> dict[str, bytes]:
    """List all that lies in a folder, with its bytes."""
    return {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}
