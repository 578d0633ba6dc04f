"""What is shown before it is on the disk was promised, in a commit that waits for the disk."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from agentpool import (
    AgentPool,
    EventFilter,
    EventKind,
    SqliteAgentPoolStore,
    StoreFullError,
    include,
)
from agentpool.rules.claiming import ClaimNext
from agentpool.stores.sqlite import promises
from agentpool.support.clock import SteadyClock
from agentpool.testing import a_condition, a_member
from agentpool.testing.faults import DISK_FULL, failing

from .helpers import POOL, records, send, sql
from .normal import normal, promised

JOINED = '{"type":"member_joined","member":{"run_id":"run.7","agent_id":"agent.a"}}'


@pytest.fixture(autouse=True)
def stretch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promises, "STRETCH", 10)


async def test_no_record_is_shown_that_is_not_promised(path: Path) -> None:
    async with normal(path) as store, normal(path) as other:
        await store.open_pool(POOL)
        seen = []
        for number in range(30):
            last = await send(store if number % 3 else other, number)
            seen += promised(path)
            assert last <= seen[-1][0]
    # The next is made while half of the last is left.
    assert sorted(set(seen)) == [(11, 0), (17, 0), (23, 0), (29, 0), (35, 0)]


async def test_a_batch_may_be_longer_than_a_promise(path: Path) -> None:
    async with normal(path) as store:
        await store.open_pool(POOL)
        await asyncio.gather(*(send(store, number) for number in range(100)))
        assert len(records(path)) == 101
        assert promised(path) == [(201, 0)]


async def test_what_a_plain_writer_has_appended_is_promised_with_the_next_record(
    path: Path,
) -> None:
    async with normal(path) as store:
        await store.open_pool(POOL)
        with sql(path) as connection:
            rows = [(POOL, seq, "member_joined", JOINED) for seq in range(2, 20)]
            connection.executemany("INSERT INTO agent_pool_records VALUES (?, ?, ?, ?)", rows)
        assert await send(store, "a") == 20
    assert promised(path) == [(29, 0)]


async def test_full_promises_nothing(store: SqliteAgentPoolStore, path: Path) -> None:
    await asyncio.gather(*(send(store, number) for number in range(30)))
    assert promised(path) == []


class Levels:
    """Notes at which level of ``synchronous`` tables were written to."""

    def __init__(self) -> None:
        self.of: dict[str, list[str]] = {"agentpool_promises": [], "agent_pool_records": []}
        self._level = ""

    def note(self, statement: str) -> None:
        if "PRAGMA synchronous" in statement:
            self._level = statement.rsplit(maxsplit=1)[-1]
        for table, levels in self.of.items():
            if f"INTO {table}" in statement:
                levels.append(self._level)

    async def listen(self, store: SqliteAgentPoolStore) -> None:
        store._writing.level = None  # so that it says it once more
        await store._writer.run(self._listen)

    def _listen(self, connection: sqlite3.Connection) -> None:
        connection.set_trace_callback(self.note)


async def test_one_commit_of_many_waits_for_the_disk_and_it_is_that_of_the_promise(
    path: Path,
) -> None:
    levels = Levels()
    async with normal(path) as store:
        await levels.listen(store)
        await store.open_pool(POOL)
        for number in range(21):
            await send(store, number)
    assert levels.of["agentpool_promises"] == ["FULL"] * 4
    assert levels.of["agent_pool_records"] == [
        *["FULL", *["NORMAL"] * 6],
        *["FULL", *["NORMAL"] * 5] * 2,
        *["FULL", *["NORMAL"] * 2],
    ]


async def test_what_is_known_of_a_pool_is_not_read_again_for_a_promise(path: Path) -> None:
    asked: list[str] = []
    async with normal(path) as store:
        await store.open_pool(POOL)
        await store._writer.run(lambda writer: writer.set_trace_callback(asked.append))
        for number in range(60):
            await store.join_member(POOL, a_member(f"run.{number}"))
        await store._writer.run(lambda writer: writer.set_trace_callback(None))
    assert len([each for each in asked if "INTO agentpool_promises" in each]) > 5
    assert len([each for each in asked if "FROM agentpool_checkpoints" in each]) <= 1


async def test_with_full_a_lease_waits_for_the_disk_when_it_appends_what_was_due(
    path: Path,
) -> None:
    levels, time = Levels(), [1000]
    async with SqliteAgentPoolStore.open(path, clock=SteadyClock(lambda: time[0])) as store:
        async with AgentPool.open(store, POOL) as pool:
            await pool.join_run(a_member())
            never = EventFilter(kinds=include(EventKind.RUN_FAILED))
            condition = a_condition("wake.1", filter=never, timeout_millis=5000)
            await pool.suspend_until("run.a", condition)
        await levels.listen(store)
        await store.execute(POOL, ClaimNext("run.a", "test", 1000))
        assert levels.of["agent_pool_records"] == []
        time[0] += 5000
        await store.execute(POOL, ClaimNext("run.a", "test", 1000))
    assert levels.of["agent_pool_records"] == ["FULL"]


async def test_a_promise_that_fails_shows_nothing(path: Path) -> None:
    async with normal(path) as store:
        store._writing.promises.stretch = 0
        await store.open_pool(POOL)
        step, hit = 0, True
        while hit:
            with failing(store, step, DISK_FULL) as injected:
                try:
                    await send(store, step)
                except StoreFullError:
                    pass
                else:
                    assert injected.hit is None
            assert promised(path) == [(len(records(path)), 0)]
            hit, step = injected.hit is not None, step + 1
        assert step > 8


async def test_a_promise_of_a_transaction_that_failed_is_none(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with normal(path) as store:
        await store.open_pool(POOL)
        for number in range(6):
            await send(store, number)
        with monkeypatch.context() as patch:
            patch.setattr(store._writing.guard, "check", failing_check)
            with pytest.raises(StoreFullError):
                await send(store, "not")
        assert promised(path) == [(11, 0)]
        for number in range(6, 12):
            assert await send(store, number) <= promised(path)[0][0]


def failing_check() -> None:
    msg = "no room"
    raise StoreFullError(msg)
