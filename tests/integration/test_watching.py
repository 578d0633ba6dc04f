"""Watching a file that others write to: by the bell, by the poll, and when it loses its end."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from agentpool import (
    AgentPoolStoreCursor,
    AgentPoolStoreRecord,
    RunMessageRecorded,
    SqliteAgentPoolStore,
    StoreError,
)
from agentpool.stores.sqlite import foreign_writes
from agentpool.stores.sqlite.bell_files import bell_of
from agentpool.stores.sqlite.inotify import Inotify

from .helpers import BOUND, POOL, member, send, sql, take, worker

JOINED = '{"type":"member_joined","member":{"run_id":"run.7","agent_id":"agent.a"}}'


@pytest.fixture
def no_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave nothing but the bell to tell of the records of others."""
    monkeypatch.setattr(foreign_writes, "NET_SECONDS", 3600)
    monkeypatch.setattr(foreign_writes, "_AFTER_OURS", ())
    monkeypatch.setattr(foreign_writes, "_AFTER_WRITES", ())


@pytest.fixture
def no_inotify(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the machine one that has no inotify."""

    def none(_self: object) -> None:
        raise OSError

    monkeypatch.setattr(Inotify, "__init__", none)


async def watch_another_process(store: SqliteAgentPoolStore, path: Path) -> None:
    """Wait for the records of another process; nothing in this one tells of them."""
    watcher = store.watch(POOL)
    await take(watcher, 1)
    async with worker("append.py", path, "other", 5, 1) as other:
        assert await other.line() == "ready"
        waiting = asyncio.create_task(take(watcher, 5))
        await store.read(POOL)  # the watcher has read to the end by now, and waits
        other.tell("go")
        seen = await waiting
    assert [record.cursor.sequence for record in seen] == [2, 3, 4, 5, 6]
    assert all(isinstance(record.payload, RunMessageRecorded) for record in seen)


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
@pytest.mark.usefixtures("no_poll")
async def test_the_bell_tells_of_the_records_of_another_process(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    await watch_another_process(store, path)


@pytest.mark.usefixtures("no_inotify")
async def test_the_poll_tells_where_there_is_no_inotify(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    await watch_another_process(store, path)


async def test_the_poll_tells_when_the_bell_was_deleted(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    for each in path.parent.glob(bell_of(path, "*").name):
        each.unlink()
    await watch_another_process(store, path)


async def test_a_bell_that_cannot_be_made_is_done_without(path: Path) -> None:
    bell_of(path, "book").mkdir()
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)
        await watch_another_process(store, path)


async def test_the_poll_tells_of_a_writer_that_rings_no_bell(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    watcher = store.watch(POOL)
    await take(watcher, 1)
    for seq in (2, 3):
        await see_what_a_stranger_writes(store, path, watcher, seq)


async def see_what_a_stranger_writes(
    store: SqliteAgentPoolStore,
    path: Path,
    watcher: AsyncGenerator[AgentPoolStoreRecord, None],
    seq: int,
) -> None:
    waiting = asyncio.create_task(take(watcher, 1))
    await store.read(POOL)
    with sql(path) as connection:
        row = (POOL, seq, "member_joined", JOINED)
        connection.execute("INSERT INTO agent_pool_records VALUES (?, ?, ?, ?)", row)
    [record] = await waiting
    assert record.cursor.sequence == seq


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
async def test_a_write_ends_the_pauses_after_the_one_before(
    store: SqliteAgentPoolStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They grow long, in case a commit is slow; another commit is not to wait for that."""
    monkeypatch.setattr(foreign_writes, "NET_SECONDS", 3600)
    for pauses in ("_AFTER_OURS", "_AFTER_WRITES"):
        monkeypatch.setattr(foreign_writes, pauses, (0.001, 3600))
    watcher = store.watch(POOL)
    await take(watcher, 1)
    lookout = store._lookout
    assert lookout is not None
    for seq in (2, 3, 4):
        await see_what_a_stranger_writes(store, path, watcher, seq)
        while lookout._pauses:  # noqa: ASYNC110  # until it is in the long one, the last
            await asyncio.sleep(0.001)


@pytest.mark.usefixtures("no_poll", "no_inotify")
async def test_the_records_of_the_same_handle_need_neither_bell_nor_poll(
    store: SqliteAgentPoolStore,
) -> None:
    watcher = store.watch(POOL)
    await take(watcher, 1)
    waiting = asyncio.create_task(take(watcher, 1))
    await store.read(POOL)
    seq = await send(store, "a")
    assert [record.cursor.sequence for record in await waiting] == [seq]


async def test_watchers_come_and_go_and_the_next_still_hears(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    for _ in range(3):
        watcher = store.watch(POOL)
        await take(watcher, 1)
        await watcher.aclose()
    await watch_another_process(store, path)


async def test_a_commit_of_one_handle_brings_a_turn_to_another(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    async with SqliteAgentPoolStore.open(path) as other, asyncio.timeout(BOUND):
        with store.changes(POOL) as turns:
            await anext(turns)
            for number in range(3):
                await send(other, number)
                while len(await store.read(POOL)) < 2 + number:
                    await anext(turns)


async def test_a_turn_comes_for_what_another_process_appends(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    async with worker("append.py", path, "other", 1, 1) as other, asyncio.timeout(BOUND):
        assert await other.line() == "ready"
        with store.changes(POOL) as turns:
            await anext(turns)
            other.tell("go")
            while len(await store.read(POOL)) < 2:
                await anext(turns)


def open_descriptors() -> int:
    """Count the open files of this process, where that can be told."""
    descriptors = Path("/proc/self/fd")
    return len(list(descriptors.iterdir())) if descriptors.exists() else 0


async def test_no_task_and_no_descriptor_is_left_after_the_last_watcher(
    store: SqliteAgentPoolStore,
) -> None:
    before = open_descriptors()
    watchers = [store.watch(POOL) for _ in range(5)]
    for watcher in watchers:
        await take(watcher, 1)
    for watcher in watchers:
        await watcher.aclose()
    async with asyncio.timeout(BOUND):
        while len(asyncio.all_tasks()) > 1:
            await store.read(POOL)
    assert open_descriptors() == before


async def test_a_cursor_beyond_the_end_waits_for_the_record_after_it(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    watcher = store.watch(POOL, AgentPoolStoreCursor(6))
    waiting = asyncio.create_task(take(watcher, 1))
    async with worker("append.py", path, "other", 6, 1) as other:
        assert await other.line() == "ready"
        other.tell("go")
        [record] = await waiting
    assert record.cursor.sequence == 7


def cut(path: Path, after: int) -> None:
    with sql(path) as connection:
        connection.execute("DELETE FROM agent_pool_records WHERE seq > ?", (after,))


@pytest.fixture
async def seen(store: SqliteAgentPoolStore) -> SqliteAgentPoolStore:
    """Give a store that has seen five records, written and read by this very handle."""
    for name in "abc":
        await send(store, name)
    await store.join_member(POOL, member(1))
    assert len(await store.read(POOL)) == 5
    await store.message_receipt(POOL, "key.a")
    await store.snapshot(POOL)
    return store


@pytest.mark.parametrize("left", [3, 0])
async def test_a_waiting_watcher_learns_that_the_log_lost_its_end(
    seen: SqliteAgentPoolStore, path: Path, left: int
) -> None:
    watcher = seen.watch(POOL)
    await take(watcher, 5)
    cut(path, left)
    with pytest.raises(StoreError) as caught:
        await take(watcher, 1)
    assert type(caught.value) is StoreError
    assert caught.value.pool_id == POOL


@pytest.mark.parametrize("left", [3, 0])
async def test_reading_on_learns_that_the_log_lost_its_end(
    seen: SqliteAgentPoolStore, path: Path, left: int
) -> None:
    cut(path, left)
    for call in (lambda: seen.read(POOL, AgentPoolStoreCursor(5)), lambda: seen.snapshot(POOL)):
        with pytest.raises(StoreError) as caught:
            await call()
        assert type(caught.value) is StoreError


@pytest.mark.parametrize("left", [3, 0])
async def test_no_command_is_decided_on_a_log_that_lost_its_end(
    seen: SqliteAgentPoolStore, path: Path, left: int
) -> None:
    cut(path, left)
    for _ in range(2):
        with pytest.raises(StoreError) as caught:
            await send(seen, "d")
        assert type(caught.value) is StoreError
        with pytest.raises(StoreError):
            await seen.message_receipt(POOL, "key.a")
