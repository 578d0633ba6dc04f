"""The small state of a pool is kept in the file now and then, and is only ever a short cut."""

import asyncio
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agentpool import (
    AgentPoolMember,
    SqliteAgentPoolStore,
    StoreFullError,
    WakeRegistrationStatus,
)
from agentpool.rules.command import PoolView
from agentpool.rules.replay import PoolState
from agentpool.stores.batch.source import RawRecord
from agentpool.stores.sqlite.source import SqliteSource
from agentpool.testing import a_condition, a_registration

from .helpers import POOL, member, send, sql

Facts = dict[str, Any]


def facts_of(state: PoolState) -> Facts:
    facts = {name: value for name, value in vars(state).items() if name != "sequence"}
    return facts | {
        "members": dict(state.members),
        "joined_at": dict(state.joined_at),
        "open_wakes": {wake.condition.condition_id: wake for wake in state.open_wakes},
    }


async def kept_state(store: SqliteAgentPoolStore) -> Facts:
    """Ask for the state that commands and questions are decided on."""

    def ask(view: PoolView) -> Facts:
        return facts_of(view.state)

    return await store.query(POOL, ask)


async def replayed_state(store: SqliteAgentPoolStore) -> Facts:
    """Build the state out of every record from the first."""
    state = PoolState(POOL)
    for record in await store.read(POOL):
        state.apply(record.cursor.sequence, record.payload)
    return facts_of(state)


async def come_and_go(store: SqliteAgentPoolStore, numbers: range) -> None:
    """Let members join and leave, and wakes come and end, with a message after each."""
    for number in numbers:
        run = member(number % 40, topics=(f"topic.{number}",))
        waits = record_wake(store, number)
        await asyncio.gather(store.join_member(POOL, run), send(store, number), waits)
        if number % 3:
            await store.leave_member(POOL, run.run_id)
        if number % 5:
            await record_wake(store, number, WakeRegistrationStatus.TRIGGERED)


async def record_wake(
    store: SqliteAgentPoolStore,
    number: int,
    status: WakeRegistrationStatus = WakeRegistrationStatus.REGISTERED,
) -> None:
    waits = a_condition(f"wake.{number}", run_id=f"run.{number % 40}")
    registration = a_registration(waits, status)
    await store.record_wake(POOL, waits, waits.filter.compile(), registration)


async def leave_checkpoint_behind(store: SqliteAgentPoolStore, path: Path) -> None:
    """Append a record that is in no checkpoint."""
    last = (await store.join_member(POOL, member(900))).sequence
    kept = checkpoint(path)
    if kept is not None and kept[0] == last:
        await store.join_member(POOL, member(901))


def checkpoint(path: Path) -> tuple[int, str] | None:
    with sql(path) as connection:
        query = "SELECT seq, state_json FROM agentpool_checkpoints WHERE pool_id = ?"
        row: tuple[int, str] | None = connection.execute(query, (POOL,)).fetchone()
    return row


@pytest.fixture(scope="module")
def busy_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a file whose pool has seen enough come and go for a checkpoint, and then some more."""
    path = tmp_path_factory.mktemp("busy") / "pool.db"
    asyncio.run(make_busy(path))
    return path


async def make_busy(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)
        await store.record_pool_created(POOL)
        await come_and_go(store, range(250))
        assert checkpoint(path) is not None
        await come_and_go(store, range(250, 260))
        await leave_checkpoint_behind(store, path)


@pytest.fixture
def busy_pool(busy_file: Path, path: Path) -> Path:
    """Take up a copy of that file; closing has left all in it."""
    shutil.copy(busy_file, path)
    return path


async def test_a_quiet_pool_needs_no_checkpoint(store: SqliteAgentPoolStore, path: Path) -> None:
    await come_and_go(store, range(10))
    assert checkpoint(path) is None


async def test_the_state_from_a_checkpoint_equals_a_full_replay(busy_pool: Path) -> None:
    async with SqliteAgentPoolStore.open(busy_pool) as store:
        assert await kept_state(store) == await replayed_state(store)


async def test_opening_reads_only_what_came_after_the_checkpoint(
    busy_pool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = checkpoint(busy_pool)
    assert kept
    starts = spy_on_replays(monkeypatch)
    async with SqliteAgentPoolStore.open(busy_pool) as store:
        await kept_state(store)
        await send(store, "next")
    assert starts
    assert min(starts) >= kept[0]


def spy_on_replays(monkeypatch: pytest.MonkeyPatch) -> Sequence[int]:
    """List after which record each replay of the small state begins."""
    starts: list[int] = []
    pool_page = SqliteSource.pool_page

    def spy(source: SqliteSource, after: int, upto: int) -> list[RawRecord]:
        starts.append(after)
        return pool_page(source, after, upto)

    monkeypatch.setattr(SqliteSource, "pool_page", spy)
    return starts


@pytest.mark.parametrize("text", ["'{\"config\":'", "'[]'", "''", "x'00ff'", "CAST(x'ff' AS TEXT)"])
async def test_a_checkpoint_that_cannot_be_read_is_done_without(busy_pool: Path, text: str) -> None:
    with sql(busy_pool) as connection:
        connection.execute(f"UPDATE agentpool_checkpoints SET state_json = {text}")
    async with SqliteAgentPoolStore.open(busy_pool) as store:
        assert await kept_state(store) == await replayed_state(store)
        joined = await store.join_member(POOL, member(1000))
        assert (await store.join_member(POOL, member(1000))) == joined


async def test_a_checkpoint_that_was_deleted_is_done_without(busy_pool: Path) -> None:
    with sql(busy_pool) as connection:
        connection.execute("DELETE FROM agentpool_checkpoints")
    async with SqliteAgentPoolStore.open(busy_pool) as store:
        assert await kept_state(store) == await replayed_state(store)


async def test_open_wakes_are_kept_over_a_checkpoint(busy_pool: Path) -> None:
    async with SqliteAgentPoolStore.open(busy_pool) as store:
        wakes = (await store.snapshot(POOL)).wakes
        state = await kept_state(store)
    registered = WakeRegistrationStatus.REGISTERED
    waiting = [wake for wake in wakes if wake.registration.status is registered]
    assert len(waiting) == 52
    assert state["open_wakes"] == {wake.condition.condition_id: wake for wake in waiting}


async def test_members_keep_their_places_over_a_checkpoint(busy_pool: Path) -> None:
    async with SqliteAgentPoolStore.open(busy_pool) as store:
        members: tuple[AgentPoolMember, ...] = (await store.snapshot(POOL)).members
        state = await kept_state(store)
        again = [(await store.join_member(POOL, each)).sequence for each in members]
    assert len(again) > 10
    assert again == [state["joined_at"][each.run_id] for each in members]


async def test_a_failed_transaction_leaves_no_trace_in_the_kept_state(
    store: SqliteAgentPoolStore,
) -> None:
    def limit(connection: sqlite3.Connection) -> None:
        [pages] = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()

    await store._writer.run(limit)
    joins = (store.join_member(POOL, member(n, topics=("t" * 500,))) for n in range(200))
    outcomes = await asyncio.gather(*joins, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StoreFullError}
    assert await kept_state(store) == await replayed_state(store)
    assert (await store.join_member(POOL, member(1))).sequence == 2
