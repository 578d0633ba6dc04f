"""The write-ahead log is copied into the file when it is long, and while nobody else can write."""

import sqlite3
from pathlib import Path

import pytest

from agentpool import SqliteAgentPoolStore
from agentpool.stores.sqlite import backfill
from agentpool.stores.sqlite.backfill import Backfill

from .helpers import POOL, records, send, sql

FRAMES = 40
LONG = 32 + FRAMES * (24 + 4096)


@pytest.fixture(autouse=True)
def copied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """List how many frames were copied each time, of a log that is soon long; 0: not all."""
    made: list[int] = []
    copy = Backfill._copy

    def counted(self: Backfill) -> int:
        made.append(copy(self))
        return made[-1]

    monkeypatch.setattr(backfill, "LOG_FRAMES", FRAMES)
    monkeypatch.setattr(Backfill, "_copy", counted)
    return made


def log_size(path: Path) -> int:
    return path.with_name(path.name + "-wal").stat().st_size


async def commit_until_long(store: SqliteAgentPoolStore, path: Path) -> None:
    """Commit until the next commits have to copy the log."""
    number = len(records(path))
    while log_size(path) < LONG:
        await send(store, number)
        number += 1


async def commit(store: SqliteAgentPoolStore, path: Path, times: int) -> None:
    number = len(records(path))
    for each in range(number, number + times):
        await send(store, each)


async def test_a_log_that_is_long_is_copied_and_starts_anew(path: Path, copied: list[int]) -> None:
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)
        await commit(store, path, 200)
        assert log_size(path) < 3 * LONG
        assert 1 < len(copied) < 50
        assert all(copied)


async def test_bodies_make_a_log_long_too(path: Path, copied: list[int]) -> None:
    async with SqliteAgentPoolStore.open(path) as store:
        for number in range(32):
            await store.put_content(bytes([number]) * 20_000)
        assert copied


async def test_sqlite_copies_nothing_by_itself(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path) as store:
        for connection in (store._writer, store._reader):
            [limit] = await connection.run(
                lambda raw: raw.execute("PRAGMA wal_autocheckpoint").fetchone()
            )
            assert limit == 0


async def test_nobody_commits_while_the_log_is_copied(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[str] = []
    copy = Backfill._copy

    def tried(self: Backfill) -> int:
        with sql(path) as other:
            other.execute("PRAGMA busy_timeout = 0")
            with pytest.raises(sqlite3.OperationalError) as error:
                other.execute("BEGIN IMMEDIATE")
        refused.append(str(error.value))
        return copy(self)

    monkeypatch.setattr(Backfill, "_copy", tried)
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)
        await commit_until_long(store, path)
        await commit(store, path, 8)
    assert set(refused) == {"database is locked"}


async def test_who_finds_another_writer_in_the_way_does_not_wait(
    path: Path, copied: list[int]
) -> None:
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)
        await commit_until_long(store, path)
        copied.clear()
        with sql(path) as other:
            other.execute("BEGIN IMMEDIATE")
            await store._writer.run(store._backfill.look)
            assert copied == []
            other.execute("ROLLBACK")
        await store._writer.run(store._backfill.look)
        assert len(copied) == 1
        assert all(copied)


async def test_what_a_reader_needs_stays_in_the_log_for_as_long(
    path: Path, copied: list[int]
) -> None:
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)
        with sql(path) as reader:
            reader.execute("BEGIN")
            before = reader.execute("SELECT count(*) FROM agent_pool_records").fetchone()
            await commit_until_long(store, path)
            await commit(store, path, 8)
            assert copied[-1] == 0
            again = reader.execute("SELECT count(*) FROM agent_pool_records").fetchone()
            assert again == before
            reader.execute("ROLLBACK")
        await commit(store, path, 8)
        assert copied[-1] > 0


async def test_a_copy_that_fails_takes_nothing_from_the_commit(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: Backfill) -> int:
        message = "database or disk is full"
        raise sqlite3.OperationalError(message)

    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)
        monkeypatch.setattr(Backfill, "_copy", failing)
        await commit_until_long(store, path)
        await commit(store, path, 20)
        assert not await store._writer.run(lambda raw: raw.in_transaction)


async def test_a_log_that_was_copied_is_not_copied_again(path: Path, copied: list[int]) -> None:
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)
        await commit_until_long(store, path)
        await store._writer.run(store._backfill.look)
        copied.clear()
        for _ in range(3):
            await store._writer.run(store._backfill.look)
        assert copied == []


async def test_a_log_that_goes_on_behind_what_was_copied_is_copied_again(
    path: Path, copied: list[int]
) -> None:
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)
        await commit_until_long(store, path)
        with sql(path) as reader:  # it keeps the next commit from starting the log anew
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM agent_pool_records").fetchone()
            await store._writer.run(store._backfill.look)
            await commit(store, path, 1)
            reader.execute("ROLLBACK")
        assert len(copied) == 1
        await commit(store, path, 200)
        assert len(copied) > 1
        assert log_size(path) < 4 * LONG
