"""What is read on one connection: in which order, and what is not read at all."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from agentpool import SqliteAgentPoolStore, StoreBusyError, StoreClosedError, StoreError
from agentpool.rules.command import PoolView
from agentpool.stores.batch.reads import Reads
from agentpool.stores.sqlite.connection import WorkerConnection
from agentpool.stores.sqlite.errors import translated

from .helpers import BOUND, POOL, member


class Held:
    """Reads that are held up by the first of them, and note the others."""

    def __init__(self, connection: WorkerConnection) -> None:
        self.is_lost = False
        self.reads = Reads(connection, "pool.db", translated, lambda _: self.is_lost)
        self.seen: list[str] = []
        self.go_on = threading.Event()
        self._began = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.first = asyncio.create_task(self.reads.run(self._hold))

    async def begun(self) -> None:
        async with asyncio.timeout(BOUND):
            await self._began.wait()

    def _hold(self, _: sqlite3.Connection) -> str:
        self._loop.call_soon_threadsafe(self._began.set)
        assert self.go_on.wait(BOUND)
        return "held"

    def read(self, name: str, *, bulk: bool = False) -> "asyncio.Task[str]":
        def note(_: sqlite3.Connection) -> str:
            self.seen.append(name)
            return name

        return asyncio.create_task(self.reads.run(note, bulk=bulk))


@pytest.fixture
async def held(path: Path) -> AsyncIterator[Held]:
    connection = await WorkerConnection.open(path, 1, lambda _: None)
    held = Held(connection)
    await held.begun()
    yield held
    held.go_on.set()
    await held.reads.close()
    await connection.close()


async def test_what_somebody_waits_for_comes_before_bulk(held: Held) -> None:
    tasks = [held.read(f"bulk {number}", bulk=True) for number in range(3)]
    tasks += [held.read(f"look {number}") for number in range(3)]
    await asyncio.sleep(0)
    held.go_on.set()
    await asyncio.gather(*tasks)
    # One of the bulk is its due, for a turn of the others went before it.
    assert held.seen == ["bulk 0", "look 0", "look 1", "look 2", "bulk 1", "bulk 2"]


async def test_bulk_has_its_turn_however_much_others_ask(held: Held) -> None:
    bulk = held.read("bulk", bulk=True)
    looks = [held.read("look") for _ in range(100)]
    await asyncio.sleep(0)
    held.go_on.set()
    await asyncio.gather(bulk, *looks)
    assert held.seen.index("bulk") < len(looks)


@pytest.mark.parametrize("bulk", [False, True])
async def test_what_nobody_waits_for_any_more_is_not_read(held: Held, bulk: bool) -> None:
    gone = [held.read("gone", bulk=bulk) for _ in range(100)]
    stays = held.read("stays", bulk=bulk)
    await asyncio.sleep(0)
    for task in gone:
        task.cancel()
    await asyncio.wait(gone)
    held.go_on.set()
    assert await stays == "stays"
    assert held.seen == ["stays"]


async def test_of_a_trip_that_began_what_was_cancelled_is_left_out(held: Held) -> None:
    blocked, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def block(_: sqlite3.Connection) -> None:
        loop.call_soon_threadsafe(blocked.set)
        assert go_on.wait(BOUND)

    blocking = asyncio.create_task(held.reads.run(block))
    gone, stays = held.read("gone"), held.read("stays")
    await asyncio.sleep(0)
    held.go_on.set()
    async with asyncio.timeout(BOUND):
        await blocked.wait()
    gone.cancel()
    await asyncio.wait([gone])
    go_on.set()
    await asyncio.gather(blocking, stays)
    assert held.seen == ["stays"]


async def test_closing_refuses_what_waits_and_gives_what_runs(held: Held) -> None:
    waits = [held.read("waits"), held.read("waits", bulk=True)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(held.reads.close())
    await asyncio.sleep(0)
    held.go_on.set()
    await closing
    assert await held.first == "held"
    for task in waits:
        with pytest.raises(StoreClosedError):
            await task
    with pytest.raises(StoreClosedError):
        await held.read("later")
    assert held.seen == []


@pytest.mark.parametrize(
    ("fail", "expected"),
    [
        (lambda c: c.execute("SELECT * FROM no_such_table"), StoreError),
        (lambda _: 1 // 0, ZeroDivisionError),
    ],
)
async def test_what_fails_harms_nothing_that_is_read_with_it(
    held: Held,
    fail: Callable[[sqlite3.Connection], object],
    expected: type[Exception],
) -> None:
    before, failing = held.read("before"), asyncio.create_task(held.reads.run(fail))
    after = held.read("after")
    await asyncio.sleep(0)
    held.go_on.set()
    assert [await before, await after] == ["before", "after"]
    with pytest.raises(expected) as caught:
        await failing
    assert isinstance(caught.value, ZeroDivisionError) or isinstance(
        caught.value.__cause__, sqlite3.Error
    )


async def test_a_store_drops_the_reads_of_those_that_are_gone(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)
        await store.join_member(POOL, member(1))
        go_on = threading.Event()
        asked: list[PoolView] = []
        held = asyncio.create_task(store.query(POOL, lambda _: go_on.wait(BOUND)))
        await asyncio.sleep(0)
        gone = [asyncio.create_task(store.query(POOL, asked.append)) for _ in range(50)]
        gone += [asyncio.create_task(store.query("pool.other", asked.append))]
        stays = asyncio.create_task(store.read(POOL))
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()
        await asyncio.wait(gone)
        go_on.set()
        assert len(await stays) > 1
        assert await held
        assert asked == []


async def test_for_a_server_that_stays_away_all_wait_as_long_as_one(held: Held) -> None:
    said = "the server is away"
    waiting, away = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def wait(_: sqlite3.Connection) -> None:
        loop.call_soon_threadsafe(waiting.set)
        assert away.wait(BOUND)
        held.is_lost = True
        raise StoreBusyError(said)

    before = [held.read("bulk before", bulk=True), held.read("before")]
    failing = asyncio.create_task(held.reads.run(wait))
    others = [held.read(f"other {number}") for number in range(40)]
    others += [held.read("bulk", bulk=True) for _ in range(2)]
    await asyncio.sleep(0)
    held.go_on.set()
    async with asyncio.timeout(BOUND):
        await waiting.wait()
    later = held.read("later")
    await asyncio.sleep(0)
    away.set()
    told = await asyncio.gather(failing, *others, return_exceptions=True)
    assert {str(each) for each in told} == {said}
    assert len(set(map(id, told))) == len(told)
    seen = ["bulk before", "before", "later"]
    assert [await each for each in (*before, later)] == held.seen == seen
