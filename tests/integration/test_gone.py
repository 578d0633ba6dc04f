"""A file that is gone or replaced while it is open: nothing is acknowledged, and all are told."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from agentpool import (
    AgentPool,
    AgentPoolMember,
    RetryClassification,
    RunAddress,
    RunMessageRecorded,
    SqliteAgentPoolStore,
    StoreError,
)
from agentpool.stores.sqlite import moved_file

from .helpers import BOUND, POOL, listing, make, records, send, sql, take, worker

MEMBER = AgentPoolMember("run.a", "agent.a")


def deleted(path: Path) -> None:
    path.unlink()


def all_deleted(path: Path) -> None:
    for each in path.parent.iterdir():
        shutil.rmtree(each) if each.is_dir() else each.unlink()


def renamed(path: Path) -> None:
    path.rename(path.with_name("renamed.db"))


def replaced(path: Path) -> None:
    other = path.with_name("other.db")
    other.write_bytes(path.read_bytes())
    other.rename(path)


def moved_behind_a_link(path: Path) -> None:
    path.rename(path.with_name("moved.db"))
    path.symlink_to("moved.db")


def log_moved_behind_a_link(path: Path) -> None:
    moved_behind_a_link(path.with_name(f"{path.name}-wal"))


def folder_renamed(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


def log_deleted(path: Path) -> None:
    path.with_name(f"{path.name}-wal").unlink()


def index_replaced(path: Path) -> None:
    path.with_name("other").touch()
    path.with_name("other").rename(path.with_name(f"{path.name}-shm"))


WAYS: list[Callable[[Path], None]] = [
    *(deleted, all_deleted, renamed, replaced, folder_renamed, log_deleted, index_replaced),
    *(moved_behind_a_link, log_moved_behind_a_link),
]


@asynccontextmanager
async def losing(folder: Path) -> AsyncIterator[tuple[SqliteAgentPoolStore, AgentPool, Path]]:
    """Open a pool on a file in a folder of its own, which is going to be lost."""
    path = folder / "own" / "pool.db"
    path.parent.mkdir()
    store = await SqliteAgentPoolStore.open(path)
    try:
        async with AgentPool.open(store, POOL) as pool:
            await pool.join_run(MEMBER)
            yield store, pool, path
    finally:
        await store.aclose()


def tells(error: StoreError, path: Path) -> bool:
    repair = error.retry is RetryClassification.REPAIR_NEEDED
    return type(error) is StoreError and repair and str(path) in str(error)


@pytest.mark.parametrize("lose", WAYS)
async def test_nothing_is_acknowledged_once_the_file_has_gone(
    tmp_path: Path, lose: Callable[[Path], None]
) -> None:
    async with losing(tmp_path) as (store, pool, path):
        await pool.acting_as(MEMBER).send(RunAddress.run("run.a"), "content.1")
        lose(path)
        for call in (
            lambda: pool.acting_as(MEMBER).send(RunAddress.run("run.a"), "content.2"),
            lambda: store.put_content(b"a body"),
            lambda: store.next_event_sequence(POOL),
            lambda: store.read(POOL),  # what has been noticed is not asked again
        ):
            with pytest.raises(StoreError) as caught:
                await call()
            assert tells(caught.value, path)


async def test_a_commit_into_a_file_that_goes_meanwhile_is_not_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with losing(tmp_path) as (store, pool, path):
        check, checks = store._guard.check, 0

        def lose_after_the_first_check() -> None:
            nonlocal checks
            checks += 1
            check()
            if checks == 1:
                renamed(path)

        monkeypatch.setattr(store._guard, "check", lose_after_the_first_check)
        with pytest.raises(StoreError, match="renamed"):
            await pool.acting_as(MEMBER).send(RunAddress.run("run.a"), "content.1")
        assert checks == 2


async def test_nothing_is_written_to_a_file_that_was_renamed(tmp_path: Path) -> None:
    async with losing(tmp_path) as (_, pool, path):
        before = len(records(path))
        renamed(path)
        with pytest.raises(StoreError):
            await pool.acting_as(MEMBER).send(RunAddress.run("run.a"), "content.1")
        for suffix in ("-wal", "-shm"):
            path.with_name(f"pool.db{suffix}").rename(path.with_name(f"renamed.db{suffix}"))
        assert len(records(path.with_name("renamed.db"))) == before


def refuse_to_hear() -> NoReturn:
    raise OSError


@pytest.mark.parametrize("heard", [True, False], ids=["heard", "looked at"])
@pytest.mark.parametrize("lose", WAYS)
async def test_who_only_waits_learns_that_the_file_has_gone(
    tmp_path: Path, lose: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch, heard: bool
) -> None:
    if heard:
        monkeypatch.setattr(moved_file, "NET_SECONDS", 2 * BOUND)
    else:
        monkeypatch.setattr(moved_file, "Inotify", refuse_to_hear)
    async with losing(tmp_path) as (store, pool, path):
        watcher = store.watch(POOL)
        seen = await take(watcher, len(records(path)))
        taking = asyncio.create_task(pool.acting_as(MEMBER).inbox.take())
        watching = asyncio.create_task(take(watcher, 1))
        await store.read(POOL)
        lose(path)
        async with asyncio.timeout(BOUND):
            errors = await asyncio.gather(taking, watching, return_exceptions=True)
        for error in errors:
            assert isinstance(error, StoreError)
            assert tells(error, path)
        with pytest.raises(StoreError):
            await store.read(POOL, seen[0].cursor)


async def test_a_link_that_leads_elsewhere_is_noticed_too(tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    await make(tmp_path / "one.db")
    await make(tmp_path / "two.db")
    link.symlink_to("one.db")
    async with SqliteAgentPoolStore.open(link) as store:
        link.unlink()
        link.symlink_to("two.db")
        with pytest.raises(StoreError, match=r"link\.db was replaced"):
            await send(store, "a")
    async with SqliteAgentPoolStore.open(link) as store:
        assert await send(store, "a") == 2


async def test_a_name_that_leads_to_a_file_by_a_link_may_lead_there_by_another(
    tmp_path: Path,
) -> None:
    await make(tmp_path / "pool.db")
    for name in ("one", "two"):
        (tmp_path / name).symlink_to("pool.db")
    link = tmp_path / "link.db"
    link.symlink_to("one")
    async with SqliteAgentPoolStore.open(link) as store:
        link.unlink()
        link.symlink_to("two")
        assert await send(store, "a") == 2


async def test_a_file_whose_folder_is_moved_behind_a_link_is_one_file_to_all(
    tmp_path: Path,
) -> None:
    async with losing(tmp_path) as (store, _, path):
        moved_behind_a_link(path.parent)
        for number in range(3):
            async with worker("append.py", path, f"theirs.{number}", 1, 1) as other:
                assert await other.line() == "ready"
                other.tell("go")
                code, _, errors = await other.finish()
                assert code == 0, errors
            await send(store, f"ours.{number}")
        # What was only accepted may have failed meanwhile, which is another record of it.
        keys = {
            record.payload.stored.message.idempotency_key
            for record in await store.read(POOL)
            if isinstance(record.payload, RunMessageRecorded)
        }
        assert len(keys) == 6
        assert listing(path.parent) == listing(tmp_path / "moved.db")


async def test_what_replaced_a_file_is_left_alone_and_can_be_opened(tmp_path: Path) -> None:
    async with losing(tmp_path) as (_, _, path):
        replaced(path)
        for name in ("-wal", "-shm"):
            path.with_name(f"pool.db{name}").unlink()
        async with SqliteAgentPoolStore.open(path) as new:
            await new.open_pool(POOL)
            ours = await send(new, "new")
            with sql(path) as other:  # keeps the new log when the store is closed
                other.execute("SELECT count(*) FROM agent_pool_records").fetchone()
                await new.aclose()
    assert ours in [seq for seq, _, _ in records(path)]


async def test_a_file_that_others_use_goes_on(store: SqliteAgentPoolStore, path: Path) -> None:
    for number in range(3):
        async with SqliteAgentPoolStore.open(path) as other:
            await send(other, f"other.{number}")
        with sql(path) as plain:
            plain.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            plain.execute("VACUUM")
        await send(store, number)
    assert len(records(path)) == 7
