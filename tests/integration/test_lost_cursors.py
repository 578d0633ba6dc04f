"""A cursor of a record that a power cut took is refused, as long as that can be known.

The cut is a copy of the file from before the last commits, opened under another boot id.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agentpool import (
    AgentPool,
    AgentPoolStoreCursor,
    EventFilter,
    RetryClassification,
    SqliteAgentPoolStore,
    StoreError,
)
from agentpool.stores.sqlite import promises
from agentpool.support import process
from agentpool.testing import a_condition, a_member
from agentpool.testing.faults.restart import another_boot

from .helpers import BOUND, POOL, records, send, take, worker
from .normal import append, normal, promised


@pytest.fixture(autouse=True)
def stretch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promises, "STRETCH", 16)


@contextmanager
def power_cut(path: Path) -> Iterator[None]:
    """Lose what the block commits."""
    before = path.read_bytes()
    yield
    path.write_bytes(before)


@pytest.fixture
async def cut(path: Path) -> AsyncIterator[Path]:
    """Give a coordinated pool that ends at record 6, after 9 were shown and 17 were promised."""
    async with normal(path) as store, AgentPool.open(store, POOL) as pool:
        await pool.join_run(a_member())
        await send(store, "a")
        await send(store, "b")
        await send(store, "c")
    with power_cut(path):
        await append(path, "lost", 3)
        assert (len(records(path)), promised(path)) == (9, [(17, 0)])
    assert (len(records(path)), promised(path)) == (6, [(17, 0)])
    with another_boot():
        yield path


Going = Callable[[SqliteAgentPoolStore, AgentPoolStoreCursor], Coroutine[Any, Any, Any]]


async def read(store: SqliteAgentPoolStore, cursor: AgentPoolStoreCursor) -> Any:
    return await store.read(POOL, cursor)


async def watch(store: SqliteAgentPoolStore, cursor: AgentPoolStoreCursor) -> Any:
    return await take(store.watch(POOL, cursor), 1)


async def subscribe(store: SqliteAgentPoolStore, cursor: AgentPoolStoreCursor) -> Any:
    async with AgentPool.open(store, POOL) as pool:
        return await anext(pool.subscribe(EventFilter(), cursor))


async def suspend(store: SqliteAgentPoolStore, cursor: AgentPoolStoreCursor) -> Any:
    async with AgentPool.open(store, POOL) as pool:
        await pool.suspend_until("run.a", a_condition("wake.1"), since=cursor)


WAYS: tuple[Going, ...] = (read, watch, subscribe, suspend)


async def is_refused(path: Path, seq: int, way: Going = read, **options: Any) -> bool:
    """Go on from a record with a new handle; what refuses has to say which one it is."""
    async with asyncio.timeout(BOUND), SqliteAgentPoolStore.open(path, **options) as store:
        [error] = await asyncio.gather(
            way(store, AgentPoolStoreCursor(seq)), return_exceptions=True
        )
    if not isinstance(error, BaseException):
        return False
    assert type(error) is StoreError
    assert (error.pool_id, error.seq) == (POOL, seq)
    assert error.retry is RetryClassification.REPAIR_NEEDED
    return True


# --- refusing


@pytest.mark.parametrize("synchronous", ["FULL", "NORMAL"])
@pytest.mark.parametrize("way", WAYS)
async def test_a_cursor_of_a_lost_record_is_refused(
    cut: Path, way: Going, synchronous: str
) -> None:
    assert await is_refused(cut, 9, way, synchronous=synchronous)


async def test_a_cursor_of_a_record_that_is_there_goes_on(cut: Path) -> None:
    assert not await is_refused(cut, 6)
    async with SqliteAgentPoolStore.open(cut) as store:
        waiting = asyncio.create_task(watch(store, AgentPoolStoreCursor(6)))
        await store.read(POOL)
        assert await send(store, "new") == 7
        [record] = await waiting
    assert record.cursor.sequence == 7


async def test_a_cursor_that_nobody_can_have_seen_waits(cut: Path) -> None:
    [(upto, _)] = promised(cut)
    assert await is_refused(cut, upto)
    assert not await is_refused(cut, upto + 1)
    async with SqliteAgentPoolStore.open(cut) as store:
        waiting = asyncio.create_task(watch(store, AgentPoolStoreCursor(upto + 1)))
        for seq in range(7, upto + 3):
            assert await send(store, seq) == seq
        [record] = await waiting
    assert record.cursor.sequence == upto + 2


async def test_it_is_refused_until_its_number_was_given_out_again(cut: Path) -> None:
    for seq in (7, 8):
        await append(cut, f"new.{seq}")
        assert len(records(cut)) == seq
        assert await is_refused(cut, 9)
    await append(cut, "new.9")
    assert not await is_refused(cut, 9)


async def test_it_is_refused_also_after_a_second_restart_and_a_second_cut(cut: Path) -> None:
    await append(cut, "second")
    [(second, first)] = promised(cut)
    assert second > first
    with another_boot():
        assert await is_refused(cut, 9)
        assert await is_refused(cut, second)
        assert not await is_refused(cut, second + 1)
        await append(cut, "third")
        assert [former for _, former in promised(cut)] == [second]


async def test_other_pools_are_unharmed(cut: Path) -> None:
    async with SqliteAgentPoolStore.open(cut) as store:
        await store.open_pool("pool.other")
        assert await store.read("pool.other", AgentPoolStoreCursor(9)) == []


# --- what is no power cut


async def test_in_the_same_boot_a_cursor_beyond_the_end_waits(path: Path) -> None:
    async with normal(path) as store:
        await store.open_pool(POOL)
    assert promised(path) == [(17, 0)]
    assert not await is_refused(path, 5)


async def test_a_restart_after_a_clean_close_harms_no_cursor(path: Path) -> None:
    async with normal(path) as store:
        await store.open_pool(POOL)
        assert await send(store, "a") == 2
    with another_boot():
        assert not await is_refused(path, 2)
        await append(path, "b")
        assert not await is_refused(path, 2, watch)
        assert not await is_refused(path, 3)


async def test_a_restart_after_a_kill_harms_no_cursor(path: Path) -> None:
    async with normal(path) as store:
        await store.open_pool(POOL)
    async with worker("append.py", path, "x", 0, 1, "NORMAL") as killed:
        assert await killed.line() == "ready"
        killed.tell("go")
        lines = [await killed.line() for _ in range(25)]
        killed.kill()
        _, rest, _ = await killed.finish()
    last = int([*lines, *rest][-1].split()[1])
    assert not await is_refused(path, last)
    assert not await is_refused(path, len(records(path)) + 1)
    with another_boot():
        assert not await is_refused(path, last)


async def test_where_a_boot_has_no_name_nothing_is_promised_and_nothing_refused(
    cut: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = promised(cut)
    with monkeypatch.context() as nameless:
        nameless.setattr(process, "boot_id", lambda: None)
        assert not await is_refused(cut, 9)
        await append(cut, "x", 2)
    assert promised(cut) == before
    assert await is_refused(cut, 9)
