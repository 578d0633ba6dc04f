"""Another connection holds the write lock: only writing waits, and not for ever."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentpool import RetryClassification, SqliteAgentPoolStore, StoreBusyError, StoreClosedError
from agentpool.stores.sqlite.connection import write_transaction

from .helpers import BOUND, POOL, foreign_file, member, records, send, sql, take


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Hold the write lock of a file, until the connection that this gives commits."""
    with sql(path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


async def test_a_write_gives_up_after_the_timeout_and_writes_nothing(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path, busy_timeout=0.1) as store:
        await store.open_pool(POOL)
        with locked(path):
            with pytest.raises(StoreBusyError) as caught:
                await send(store, "a")
            assert caught.value.retry is RetryClassification.RETRYABLE
            assert str(caught.value).count(str(path)) == 1
            assert "busy_timeout" in str(caught.value)
        assert len(records(path)) == 1
        assert await send(store, "a") == 2


async def test_every_waiting_call_gets_an_error_of_its_own(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path, busy_timeout=0.1) as store:
        await store.open_pool(POOL)
        with locked(path):
            calls = (send(store, name) for name in "abc")
            errors = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(error) for error in errors} == {StoreBusyError}
        assert len(set(errors)) == 3


async def test_readers_and_the_event_loop_go_on_while_a_write_waits(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    await send(store, "a")
    watcher = store.watch(POOL)
    with locked(path) as other:
        writing = asyncio.create_task(send(store, "b"))
        for _ in range(20):
            assert len(await store.read(POOL)) == 2
        assert await store.message_receipt(POOL, "key.a")
        assert len((await store.snapshot(POOL)).messages) == 1
        await take(watcher, 2)
        assert not writing.done()
        other.execute("COMMIT")
        async with asyncio.timeout(BOUND):
            assert await writing == 3
    await take(watcher, 1)


async def test_opening_a_fresh_file_that_is_locked_gives_up_after_the_timeout(path: Path) -> None:
    with locked(path) as other:
        other.execute("CREATE TABLE theirs (a)")
        with pytest.raises(StoreBusyError) as caught:
            await SqliteAgentPoolStore.open(path, busy_timeout=0.1)
        assert str(caught.value).count(str(path)) == 1
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)


async def test_opening_a_store_waits_for_no_writer(store: SqliteAgentPoolStore, path: Path) -> None:
    await send(store, "a")
    with locked(path):
        async with SqliteAgentPoolStore.open(path, busy_timeout=0) as second:
            assert len(await second.read(POOL)) == 2


async def test_closing_ends_the_waiting_of_a_write(path: Path) -> None:
    store = await SqliteAgentPoolStore.open(path, busy_timeout=3600)
    await store.open_pool(POOL)
    with locked(path):
        writes = [asyncio.create_task(send(store, name)) for name in "ab"]
        await store.read(POOL)  # by now the writer has its batch
        behind = asyncio.create_task(store.join_member(POOL, member(1)))
        await store.read(POOL)
        async with asyncio.timeout(BOUND):
            await store.aclose()
            outcomes = await asyncio.gather(*writes, behind, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StoreClosedError}
    assert all(str(path) in str(outcome) for outcome in outcomes[:2])  # those that it kept waiting
    assert len(records(path)) == 1


async def test_migrating_a_file_that_is_locked_names_the_file(tmp_path: Path) -> None:
    path = foreign_file(tmp_path / "ünïcode.db")
    with locked(path), pytest.raises(StoreBusyError, match="write lock") as caught:
        await SqliteAgentPoolStore.open(path, busy_timeout=0.05)
    assert str(caught.value).count(str(path)) == 1


async def test_a_store_may_wait_for_longer_than_sqlite_can(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path, busy_timeout=2**43) as store:
        await store.open_pool(POOL)
        timeout = await store._reader.run(lambda c: c.execute("PRAGMA busy_timeout").fetchone())
    assert timeout[0] > 1e9


def test_giving_up_ends_the_waiting_for_the_lock(path: Path) -> None:
    give_up = threading.Event()
    with locked(path), sql(path) as waiting:
        waiting.execute("PRAGMA busy_timeout = 0")
        threading.Timer(0.01, give_up.set).start()
        with pytest.raises(StoreClosedError), write_transaction(waiting, 3600, give_up):
            pass
        assert not waiting.in_transaction


def create_and_fail(connection: sqlite3.Connection) -> None:
    with write_transaction(connection, 1, threading.Event()):
        connection.execute("CREATE TABLE a (b)")
        raise ZeroDivisionError


def test_a_write_transaction_that_raises_is_rolled_back(path: Path) -> None:
    with sql(path) as connection:
        with pytest.raises(ZeroDivisionError):
            create_and_fail(connection)
        assert not connection.in_transaction
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
