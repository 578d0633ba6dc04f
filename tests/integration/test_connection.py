"""Guards the way in which functions are run on the thread of an aiosqlite connection."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import aiosqlite
import pytest

from agentpool import AgentPoolError, IncompatibleStoreError, StoreError
from agentpool.stores.sqlite.connection import WorkerConnection, _thread_of

from .helpers import BOUND, join_new_threads, worker_threads


def no_setup(connection: sqlite3.Connection) -> None:
    """Leave the connection as it is."""


@pytest.fixture
async def connection(path: Path) -> AsyncIterator[WorkerConnection]:
    connection = await WorkerConnection.open(path, 1, no_setup)
    yield connection
    await connection.close()


async def test_functions_run_on_one_thread_that_is_not_ours(connection: WorkerConnection) -> None:
    threads = {await connection.run(lambda _: threading.current_thread()) for _ in range(3)}
    assert len(threads) == 1
    assert threading.current_thread() not in threads


async def test_a_function_takes_one_hop(
    connection: WorkerConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    hop = Mock(wraps=loop.call_soon_threadsafe)
    monkeypatch.setattr(loop, "call_soon_threadsafe", hop)
    await connection.run(_a_transaction)
    assert hop.call_count == 1


def _a_transaction(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("CREATE TABLE IF NOT EXISTS t (a)")
    connection.execute("INSERT INTO t VALUES (1)")
    assert connection.execute("SELECT count(*) FROM t").fetchone()[0] > 0
    connection.execute("COMMIT")


@pytest.mark.parametrize("result", [None, 0, [], [(1,)], "text", object(), sqlite3.Row])
async def test_the_result_passes_through(connection: WorkerConnection, result: object) -> None:
    assert await connection.run(lambda _: result) is result


@pytest.mark.parametrize("error", [ZeroDivisionError("mine"), KeyError(1), AgentPoolError("ours")])
async def test_an_error_passes_through(connection: WorkerConnection, error: Exception) -> None:
    def fail(_: sqlite3.Connection) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        await connection.run(fail)
    assert caught.value is error
    assert await connection.run(lambda _: "still alive") == "still alive"


async def test_an_error_of_the_engine_is_translated(connection: WorkerConnection) -> None:
    with pytest.raises(StoreError):
        await connection.run(lambda c: c.execute("SELECT * FROM no_such_table"))


async def test_functions_run_whole_and_in_the_order_of_the_calls(
    connection: WorkerConnection,
) -> None:
    seen = []

    def step(name: int, _: sqlite3.Connection) -> None:
        seen.append((name, "begins"))
        threading.Event().wait(0.001)  # would let another thread in, if there were one
        seen.append((name, "ends"))

    await asyncio.gather(*(connection.run(partial(step, name)) for name in range(5)))
    assert seen == [(name, what) for name in range(5) for what in ("begins", "ends")]


async def test_cancelling_the_caller_does_not_stop_the_function(
    connection: WorkerConnection,
) -> None:
    started, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def transaction(on_worker: sqlite3.Connection) -> None:
        on_worker.execute("BEGIN IMMEDIATE")
        loop.call_soon_threadsafe(started.set)
        go_on.wait(BOUND)
        on_worker.execute("CREATE TABLE t (a)")
        on_worker.execute("COMMIT")

    caller = asyncio.create_task(connection.run(transaction))
    async with asyncio.timeout(BOUND):
        await started.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    go_on.set()
    tables = await connection.run(lambda c: c.execute("SELECT name FROM sqlite_master").fetchall())
    assert tables == [("t",)]
    assert not await connection.run(lambda c: c.in_transaction)


async def test_statements_are_transactions_of_their_own(connection: WorkerConnection) -> None:
    await connection.run(lambda c: c.execute("CREATE TABLE t (a)"))
    await connection.run(lambda c: c.execute("INSERT INTO t VALUES (1)"))
    assert not await connection.run(lambda c: c.in_transaction)


async def test_the_thread_of_aiosqlite_is_where_we_look_for_it(path: Path) -> None:
    """Where a newer aiosqlite has it elsewhere, `_thread_of` has to follow, and nothing else."""
    connection = aiosqlite.connect(path)
    thread = _thread_of(connection)
    assert isinstance(thread, threading.Thread)
    assert not thread.is_alive()
    thread.daemon = True  # which can be set for as long as it was not started
    async with connection:
        seen = []
        await connection.create_function("note", 0, lambda: seen.append(threading.get_ident()))
        await connection.execute_fetchall("SELECT note()")
        assert seen == [thread.ident]
    thread.join(BOUND)
    assert not thread.is_alive()


async def test_the_thread_does_not_keep_the_interpreter_alive(connection: WorkerConnection) -> None:
    thread = await connection.run(lambda _: threading.current_thread())
    assert thread.daemon


async def test_closing_waits_for_what_runs_and_ends_the_thread(path: Path) -> None:
    before = worker_threads()
    connection = await WorkerConnection.open(path, 1, no_setup)
    running = asyncio.create_task(connection.run(_a_transaction))
    await asyncio.sleep(0)
    await connection.close()
    await running
    join_new_threads(before)
    assert worker_threads() == before


async def test_a_setup_that_fails_leaves_no_thread(path: Path) -> None:
    def fail(_: sqlite3.Connection) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await WorkerConnection.open(path, 1, fail)
    with pytest.raises(IncompatibleStoreError):
        await WorkerConnection.open(path / "no" / "folder", 1, no_setup)
