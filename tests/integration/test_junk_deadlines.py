"""A row that says that something is due, and that nobody can carry out, is passed by: said once.

Another program put it there, or a newer version; it stops nothing of its pool.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentpool import AgentPool, RunAddress, SqliteAgentPoolStore
from agentpool.rules.consequences import PIECE, CatchUp, CaughtUp
from agentpool.runtime.upkeep import Upkeep

from .helpers import BOUND, POOL, member, sql

JUNK = {
    "a kind of a newer version": "'newer thing', 0, '', 1",
    "no kind": "'thing', 0, '', 1",
    "a number": "'lease run.1', 7, '', 1",
    "a negative number": "'wake wake.1', -7, '', 1",
    "a number that is text": "'wake wake.1', 'x', '', 1",
    "a value that is no text": "'wake wake.1', 0, x'ff', 1",
    "a value that is no UTF-8": "'wake wake.1', 0, CAST(x'ff' AS TEXT), 1",
    "a name that is no text": "x'77616b6520', 0, '', 1",
    "a name that is no UTF-8": "CAST(x'77616b6520ff' AS TEXT), 0, '', 1",
    "a time that is no integer": "'wake wake.1', 0, '', 1.5",
    "before all time": "'wake wake.1', 0, '', -9e999",
    "an event that is no number": "'published 0x', 0, '', 1",
    "an event that is too large a number": f"'published {'9' * 5000}', 0, '', 1",
}
MANY = 2500
PIECES = 3


def put(path: Path, values: str) -> None:
    with sql(path) as connection:
        connection.execute(
            "INSERT INTO agentpool_rows (pool_id, kind, name, number, value, due_at)"
            f" VALUES ('{POOL}', 'deadline', {values})"
        )


def left(path: Path) -> int:
    """Count the deadlines, but for leases."""
    with sql(path) as connection:
        [count] = connection.execute(
            "SELECT count(*) FROM agentpool_rows WHERE kind = 'deadline'"
            " AND (CAST(name AS TEXT) NOT LIKE 'lease %' OR number <> 0)"
        ).fetchone()
    return int(count)


@pytest.fixture
async def pool(path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AgentPool]:
    """Open a pool whose upkeep does nothing by itself."""
    async with SqliteAgentPoolStore.open(path) as store, AgentPool.open(store, POOL) as pool:
        monkeypatch.setattr(Upkeep, "_step", nothing)
        async with asyncio.timeout(BOUND):
            yield pool


async def nothing(_: Upkeep) -> None:
    pass


def told_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.message for each in caplog.records if each.levelno >= logging.WARNING]


async def catch_up(pool: AgentPool) -> list[CaughtUp]:
    """Do all that waits to be done, and give what each piece says."""
    pieces = [await pool.store.execute(POOL, CatchUp())]
    while not pieces[-1].done:
        pieces.append(await pool.store.execute(POOL, CatchUp()))
    return pieces


@pytest.mark.parametrize("values", JUNK.values(), ids=JUNK)
async def test_it_stops_nothing_and_is_told_of_once(
    pool: AgentPool, path: Path, values: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with pool.member(member(1)) as me:
        put(path, values)
        for number in range(3):
            await me.send(RunAddress.run(me.run_id), content_ref=f"content.{number}")
            await (await me.inbox.take()).ack()
        passed_by = [error for piece in await catch_up(pool) for error in piece.passed_by]
        assert len(passed_by) + len(told_of(caplog)) == 1
        assert left(path) == 0
        # Nobody lost what is theirs by it.
        await me.send(RunAddress.run(me.run_id), content_ref="content.9")
        assert me.run_id in [each.run_id for each in await pool.members()]


async def test_many_are_passed_by_in_pieces(
    pool: AgentPool, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with sql(path) as connection:
        rows = ((POOL, f"wake wake.{number}") for number in range(MANY))
        connection.executemany(
            "INSERT INTO agentpool_rows VALUES (?, 'deadline', ?, 0, 1, x'')", rows
        )
    pieces = await catch_up(pool)
    assert left(path) == 0
    assert PIECES <= len(pieces) == len(told_of(caplog))


async def test_the_upkeep_tells_of_many_of_one_kind_in_a_few_lines(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with SqliteAgentPoolStore.open(path) as store:
        async with AgentPool.open(store, POOL):
            pass
        with sql(path) as connection:
            rows = ((POOL, f"newer thing.{number}") for number in range(PIECE))
            connection.executemany(
                "INSERT INTO agentpool_rows VALUES (?, 'deadline', ?, 0, 1, '')", rows
            )
        async with AgentPool.open(store, POOL):
            assert left(path) == 0
    told = told_of(caplog)
    assert 1 < len(told) < 20
    assert "more like these" in told[-1]
