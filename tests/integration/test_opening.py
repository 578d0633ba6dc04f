"""Opening: cancelled anywhere, by two processes at once, of files that others made."""

import asyncio
import contextlib
import sqlite3
import threading
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import anyio
import pytest

from agentpool import AgentPool, IncompatibleStoreError, SqliteAgentPoolStore, decode
from agentpool.rules.rows import Contract
from agentpool.stores.sqlite.schema import SCHEMA_VERSION, prepare_file, refuse_foreign_file

from .cancelling import CancelAt
from .helpers import (
    BOUND,
    POOL,
    foreign_file,
    is_intact,
    join_new_threads,
    records,
    send,
    sql,
    worker,
    worker_threads,
)


async def test_opening_can_be_cancelled_at_every_await(path: Path) -> None:
    before, moment, reached = worker_threads(), 0, True
    while reached:
        reached = await open_cancelled_at(moment, path)
        join_new_threads(before)
        assert worker_threads() == before
        assert len(asyncio.all_tasks()) == 1
        with sql(path) as other:  # no lock is left either
            other.execute("PRAGMA busy_timeout = 0")
            other.execute("BEGIN IMMEDIATE")
        moment += 1
    assert moment > 5
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)


async def open_cancelled_at(moment: int, path: Path) -> bool:
    """Open a fresh file and cancel that at a moment; say whether it came to that."""
    await anyio.Path(path).unlink(missing_ok=True)
    cancelling = CancelAt(moment)
    async with asyncio.timeout(BOUND):
        try:
            store = await cancelling.run(_open(path))
        except asyncio.CancelledError:
            return True
        await store.aclose()
    return cancelling.was_reached


async def _open(path: Path) -> SqliteAgentPoolStore:
    return await SqliteAgentPoolStore.open(path)


async def open_at_once(paths: list[Path]) -> set[str]:
    """Let two processes open each file at the same moment; give what they met."""
    met = set()
    async with worker("open_rounds.py") as one, worker("open_rounds.py") as two:
        for path in paths:
            one.tell(str(path))
            two.tell(str(path))
            met |= {await one.line(), await two.line()}
    return met


@pytest.mark.slow
async def test_two_processes_can_open_a_fresh_file_at_the_same_moment(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.db" for number in range(120)]
    assert await open_at_once(paths) == {"ok"}
    assert all(len(records(path)) == 1 for path in paths)


@pytest.mark.slow
async def test_two_processes_can_migrate_a_file_at_the_same_moment(tmp_path: Path) -> None:
    paths = [foreign_file(tmp_path / f"{number}.db") for number in range(30)]
    for path in paths:
        add_foreign_records(path)
    assert await open_at_once(paths) == {"ok"}
    assert {schema_of(path) == schema_of(paths[0]) for path in paths} == {True}
    assert all(is_intact(path) for path in paths)


VERSION_1 = Path(__file__).with_name("version-1.sql")
VERSION_1_SHA256 = "04c6908af7a136fe7be3573260983cb0f9f38f1ff9da780083f0c75f3ff32fe1"


def file_of_version_1(path: Path) -> Path:
    """Make a store file as the first version of the schema had it."""
    with sql(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(VERSION_1.read_text("utf-8"))
    return path


def test_the_file_of_version_1_is_as_that_version_made_it() -> None:
    assert sha256(VERSION_1.read_bytes()).hexdigest() == VERSION_1_SHA256


async def test_a_file_of_an_earlier_version_keeps_all_it_has(tmp_path: Path) -> None:
    earlier, new = file_of_version_1(tmp_path / "earlier.db"), tmp_path / "new.db"
    before = content_of(earlier)
    async with SqliteAgentPoolStore.open(earlier), SqliteAgentPoolStore.open(new):
        pass
    assert schema_of(earlier) == schema_of(new)
    assert content_of(earlier) == before | {
        "agentpool_content": [(*body, None) for body in before["agentpool_content"]],
        "agentpool_content_pieces": [],
        "agentpool_promises": [],
        "agentpool_rewritten": [(0,)],
        "agentpool_clock": ANY,
    }


async def test_a_file_of_an_earlier_version_works(path: Path) -> None:
    async with SqliteAgentPoolStore.open(file_of_version_1(path)) as store:
        snapshot = await store.snapshot(POOL)
        assert [member.run_id for member in snapshot.members] == ["run.a", "run.b", "run.c"]
        async with AgentPool.open(store, POOL) as pool:
            assert len(await pool.inbox("run.b").peek()) == 1
        assert await store.get_content(await store.put_content(b"a body")) == b"a body"
        assert await send(store, "a") == len(await store.read(POOL))


async def test_who_was_asked_in_a_file_of_an_earlier_version_is_counted(path: Path) -> None:
    """Damaged rows, and those of the form that is written now, stay as they are."""
    before = '{"idempotency_key":"q","expected":2,"recipients":["a","b","c"]'
    rows = {
        "all": before + ',"number":7}',
        "some": before + ',"answered":["b"],"number":7,"left":["b","c"]}',
        "new": '{"idempotency_key":"q","expected":2,"recipients":3}',
        "damaged": "{",
    }
    with sql(file_of_version_1(path)) as connection:
        for name, value in rows.items():
            row = (POOL, name, value)
            insert = "INSERT INTO agentpool_rows VALUES (?, 'contract', ?, 0, 0, ?)"
            connection.execute(insert, row)
    async with SqliteAgentPoolStore.open(path):
        pass
    with sql(path) as connection:
        query = "SELECT name, value FROM agentpool_rows WHERE kind = 'contract'"
        found = dict(connection.execute(query).fetchall())
    assert decode(found["all"], Contract) == Contract("q", 2, 3, number=7)
    assert decode(found["some"], Contract) == Contract("q", 2, 3, answered=1, left=1, number=7)
    assert (found["new"], found["damaged"]) == (rows["new"], rows["damaged"])


def test_a_store_that_comes_to_be_while_a_file_is_looked_at_is_no_foreign_one(path: Path) -> None:
    made: list[str] = []

    def make(statement: str) -> None:
        if "user_version" in statement and not made:
            made.append(statement)
            with contextlib.suppress(sqlite3.OperationalError), sql(path) as other:
                other.execute("PRAGMA busy_timeout = 0")
                prepare_file(other, 0, threading.Event())

    with sql(path) as connection:
        connection.set_trace_callback(make)
        refuse_foreign_file(connection, allow_tables=False)
    assert made


@pytest.mark.slow
async def test_two_processes_can_migrate_an_earlier_file_at_the_same_moment(tmp_path: Path) -> None:
    paths = [file_of_version_1(tmp_path / f"{number}.db") for number in range(10)]
    assert await open_at_once(paths) == {"ok"}
    assert {schema_of(path) == schema_of(paths[0]) for path in paths} == {True}
    assert all(is_intact(path) for path in paths)


def content_of(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Read all tables."""
    with sql(path) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {name: connection.execute(f"SELECT * FROM {name}").fetchall() for [name] in names}


def add_foreign_records(path: Path) -> None:
    opened = (
        '{"type":"pool_opened","config":{"message_policy":{"include_sender_in_pool_broadcast":false'
        '},"wake_policy":{"envelope_only":true}}}'
    )
    rows = [(POOL, 1, "pool_opened", opened), (POOL, 2, "pool_created", '{"type":"pool_created"}')]
    with sql(path) as connection:
        connection.executemany("INSERT INTO agent_pool_records VALUES (?, ?, ?, ?)", rows)


def schema_of(path: Path) -> list[tuple[str, str, str]]:
    """List what a file consists of, whatever the spaces in its SQL."""
    with sql(path) as connection:
        rows = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    return sorted((type_, name, " ".join((sql or "").split())) for type_, name, sql in rows)


async def test_a_migrated_file_has_the_schema_of_a_new_one(tmp_path: Path) -> None:
    new, migrated = tmp_path / "new.db", foreign_file(tmp_path / "migrated.db")
    for path in (new, migrated):
        async with SqliteAgentPoolStore.open(path):
            pass
        with sql(path) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    assert len(schema_of(new)) > 4
    assert schema_of(migrated) == schema_of(new)


async def test_an_empty_file_and_one_in_rollback_mode_become_stores(tmp_path: Path) -> None:
    empty, rollback = tmp_path / "empty.db", tmp_path / "rollback.db"
    empty.touch()
    with sql(rollback) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    for path in (empty, rollback):
        async with SqliteAgentPoolStore.open(path, allow_foreign_tables=True) as store:
            await store.open_pool(POOL)
            assert await send(store, "a") == 2
        with sql(path) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_what_would_have_to_be_migrated_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    empty, foreign = tmp_path / "empty.db", foreign_file(tmp_path / "foreign.db")
    empty.touch()
    for path in (empty, foreign):
        before = path.read_bytes()
        with pytest.raises(IncompatibleStoreError, match="schema version 0,"):
            await SqliteAgentPoolStore.open(path, migrate=False)
        assert path.read_bytes() == before
    async with SqliteAgentPoolStore.open(foreign):
        pass
    async with SqliteAgentPoolStore.open(foreign, migrate=False) as store:
        assert store.path == foreign


@pytest.mark.parametrize("name", ["with space.db", "ünïcode 🚀.db", "a%20b?mode=ro#c.db"])
async def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    async with SqliteAgentPoolStore.open(tmp_path / name) as store:
        await store.open_pool(POOL)
    assert len(records(tmp_path / name)) == 1


async def test_synchronous_is_full_unless_said_otherwise(path: Path) -> None:
    for options, level in (({}, 2), ({"synchronous": "NORMAL"}, 1)):
        async with SqliteAgentPoolStore.open(path, **options) as store:  # type: ignore[arg-type]
            row = await store._writer.run(lambda c: c.execute("PRAGMA synchronous").fetchone())
        assert row == (level,)
