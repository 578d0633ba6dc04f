"""Every look-up goes through its index, so that none costs more in a longer statements."""

import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentpool import SqliteAgentPoolStore
from agentpool.stores.sqlite import statements
from agentpool.stores.sqlite.schema import set_up_connection

from .helpers import POOL, member, send, sql

PRIMARY_KEY = "sqlite_autoindex_agent_pool_records_1"
VALUES = json.dumps(["key.1", "key.2"])

LOOKUPS = {
    "message by key": (statements.MESSAGES_BY_KEY, "agentpool_message_by_key"),
    "wake by key": (statements.WAKES_BY_KEY, "agentpool_wake_by_key"),
    "wake by id": (statements.CONDITIONS, "agentpool_wake_by_id"),
}


@pytest.fixture
async def connection(path: Path) -> AsyncIterator[sqlite3.Connection]:
    """Connect to a file with some records; sqlite3 plans it the same way for everybody."""
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)
        await store.join_member(POOL, member(1))
        for number in range(20):
            await send(store, number)
    with sql(path) as connection:
        set_up_connection(connection, "FULL")
        yield connection


ASIDE = (
    "json_each",
    "CORRELATED SCALAR SUBQUERY",
    "SEARCH long USING INDEX agentpool_long_records (pool_id=? AND seq=?)",
)
"""Steps that are about no record, or about whether one is too long, which costs no look at it."""


def plan(connection: sqlite3.Connection, query: str, *values: object) -> list[str]:
    rows = connection.execute(f"EXPLAIN QUERY PLAN {query}", values).fetchall()
    return [detail for *_, detail in rows if not any(each in detail for each in ASIDE)]


def assert_uses(steps: list[str], index: str) -> None:
    """One search of the records by that index, nothing scanned."""
    of_records = [step for step in steps if "agent_pool_records" in step]
    assert len(of_records) == 1, steps
    assert of_records[0].startswith("SEARCH agent_pool_records USING"), steps
    assert f"INDEX {index} " in of_records[0], steps


@pytest.mark.parametrize(("index", "name"), LOOKUPS.values(), ids=LOOKUPS.keys())
async def test_one_value(
    connection: sqlite3.Connection, index: statements.Index, name: str
) -> None:
    steps = plan(connection, index.one, POOL, "key.1")
    assert_uses(steps, name)
    assert len(steps) == 1  # the latest of several comes first in the index, nothing is sorted


@pytest.mark.parametrize(("index", "name"), LOOKUPS.values(), ids=LOOKUPS.keys())
async def test_all_with_one_value(
    connection: sqlite3.Connection, index: statements.Index, name: str
) -> None:
    steps = plan(connection, index.all, POOL, "key.1", 9)
    assert_uses(steps, name)
    assert len(steps) == 1  # in the order of the index, nothing is sorted


@pytest.mark.parametrize(("index", "name"), LOOKUPS.values(), ids=LOOKUPS.keys())
async def test_many_values(
    connection: sqlite3.Connection, index: statements.Index, name: str
) -> None:
    assert_uses(plan(connection, index.many, POOL, VALUES), name)


async def test_members_and_config(connection: sqlite3.Connection) -> None:
    assert_uses(plan(connection, statements.POOL_PAGE, POOL, 0, 100), "agentpool_pool_records")


async def test_the_config(connection: sqlite3.Connection) -> None:
    [step] = plan(connection, statements.FIRST_POOL_RECORD, POOL)
    assert_uses([step], "agentpool_pool_records")  # it comes in order, nothing is sorted


ROWS = {
    "one": (statements.ROW, (POOL, "inbox", "run.1", 7), "PRIMARY KEY"),
    "of one name": (statements.ROWS, (POOL, "inbox", "run.1", 7, 100), "PRIMARY KEY"),
    "due of one inbox": (statements.DUE, (POOL, "run.1", 0, 9, 100), "INDEX agentpool_inboxes"),
    "next due of one inbox": (statements.NEXT_DUE, (POOL, "run.1"), "INDEX agentpool_inboxes"),
    "delete": (statements.DELETE_ROWS[1], (POOL, "inbox", "run.1", 7), "PRIMARY KEY"),
    "due": (statements.DEADLINES, (POOL, 9, 100), "INDEX agentpool_deadlines"),
    "next due": (statements.NEXT_DEADLINE, (POOL,), "INDEX agentpool_deadlines"),
}


@pytest.mark.parametrize(("query", "values", "by"), ROWS.values(), ids=ROWS)
async def test_rows(
    connection: sqlite3.Connection, query: str, values: tuple[object, ...], by: str
) -> None:
    [step] = plan(connection, query, *values)
    assert step.startswith("SEARCH agentpool_rows USING ")
    assert f" {by} " in step


async def test_rows_are_deleted_together_each_by_its_key(connection: sqlite3.Connection) -> None:
    for size, query in statements.DELETE_ROWS.items():
        steps = plan(connection, query, *(POOL, "inbox", "run.1", 7) * size)
        by_key = [step for step in steps if step.startswith("SEARCH agentpool_rows USING ")]
        assert len(by_key) == size
        assert all(
            "PRIMARY KEY (pool_id=? AND kind=? AND name=? AND number=?)" in s for s in by_key
        )


async def test_rows_that_are_due_at_once_come_by_number(connection: sqlite3.Connection) -> None:
    numbers = [3, 100, 20, 1, 7]
    for number in numbers:
        connection.execute(statements.PUT_ROWS[1], (POOL, "inbox", "run.x", number, "", 5))
    found = connection.execute(statements.DUE, (POOL, "run.x", 0, 9, 100)).fetchall()
    assert [row[2] for row in found] == sorted(numbers)


async def test_pages(connection: sqlite3.Connection) -> None:
    assert_uses(plan(connection, statements.PAGE, POOL, 0, 100), PRIMARY_KEY)


async def test_the_end_of_a_log(connection: sqlite3.Connection) -> None:
    [step] = plan(connection, statements.HEAD, POOL)
    assert step.startswith("SEARCH agent_pool_records USING COVERING INDEX")


async def test_the_next_record_that_is_too_long(connection: sqlite3.Connection) -> None:
    [step] = plan(connection, statements.NEXT_LONG, POOL, 0)
    assert_uses([step], "agentpool_long_records")


async def test_plans_stay_after_analyze(connection: sqlite3.Connection) -> None:
    connection.execute("ANALYZE")
    for index, name in LOOKUPS.values():
        assert_uses(plan(connection, index.one, POOL, "key.1"), name)
