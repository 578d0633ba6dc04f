"""The disk, or the file's own limit, is full: nothing is half done, and later all works again."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from agentpool import RetryClassification, SqliteAgentPoolStore, StoreFullError

from .helpers import POOL, is_intact, member, records, send

BIG = "x" * 500


async def limit_pages(store: SqliteAgentPoolStore, more: int) -> None:
    """Let the file grow by so many pages at most; the limit is the writing connection's own."""

    def limit(connection: sqlite3.Connection) -> None:
        [pages] = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + more}").fetchone()

    await store._writer.run(limit)


async def fill(store: SqliteAgentPoolStore, label: str) -> list[int]:
    """Send until the file is full, and give the numbers of what was acknowledged."""
    acknowledged: list[int] = []
    for number in range(100_000):
        try:
            acknowledged += [await send(store, f"{label}.{number}", content_ref=BIG)]
        except StoreFullError:
            return acknowledged
    pytest.fail("the file was never full")


LIMITED = """
import asyncio, resource, sys
from agentpool import SqliteAgentPoolStore, StoreFullError

async def main():
    async with SqliteAgentPoolStore.open(sys.argv[1]) as store:
        await store.open_pool("pool.test")
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, resource.RLIM_INFINITY))
        for number in range(100):
            try:
                await store.put_content(bytes([number]) * 2**16)
            except StoreFullError as error:
                assert "RLIMIT_FSIZE" in str(error), error
                break
        else:
            raise AssertionError("there was no limit")
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        await store.put_content(b"afterwards")

asyncio.run(main())
"""


def test_a_limit_of_the_process_is_told(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert is_intact(path)


async def test_what_was_acknowledged_is_there_and_the_rest_is_not(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    await limit_pages(store, 8)
    acknowledged = await fill(store, "a")
    assert [seq for seq, _, _ in records(path)] == [1, *acknowledged]
    assert len(await store.read(POOL)) == len(acknowledged) + 1
    assert is_intact(path)


async def test_a_whole_batch_fails_and_nothing_of_it_stays(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    await limit_pages(store, 8)
    calls = (send(store, number, content_ref=BIG) for number in range(500))
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StoreFullError}
    assert len(records(path)) == 1
    assert await send(store, "after") == 2


async def test_it_works_again_once_there_is_room(store: SqliteAgentPoolStore, path: Path) -> None:
    await limit_pages(store, 4)
    acknowledged = await fill(store, "a")
    for _ in range(3):
        with pytest.raises(StoreFullError) as caught:
            await send(store, "again", content_ref=BIG)
        assert caught.value.retry is RetryClassification.RETRYABLE
    await limit_pages(store, 100_000)
    assert await send(store, "again", content_ref=BIG) == acknowledged[-1] + 1
    await store.join_member(POOL, member(1))
    assert [seq for seq, _, _ in records(path)] == list(range(1, acknowledged[-1] + 3))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of one megabyte."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if os.name != "posix" or os.geteuid() != 0 or not (mount and umount):
        pytest.skip("mounting a small file system needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    options = [mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(options, check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    yield disk
    subprocess.run([umount, "--lazy", disk], check=True)


def enlarge(disk: Path) -> None:
    remount(disk, "size=16m")


def remount(disk: Path, option: str) -> None:
    mount = shutil.which("mount")
    assert mount
    subprocess.run([mount, "-o", f"remount,{option}", disk], check=True)


async def test_a_full_disk(small_disk: Path) -> None:
    path = small_disk / "pool.db"
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)
        acknowledged = await fill(store, "a")
        assert len(await store.read(POOL)) == len(acknowledged) + 1
        enlarge(small_disk)
        assert await send(store, "after", content_ref=BIG) == acknowledged[-1] + 1
    assert [seq for seq, _, _ in records(path)] == list(range(1, acknowledged[-1] + 2))
    assert is_intact(path)


async def test_opening_and_closing_on_a_full_disk(small_disk: Path) -> None:
    path = small_disk / "pool.db"
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)
        acknowledged = await fill(store, "a")
        filler = small_disk / "filler"
        with pytest.raises(OSError, match="No space"):
            filler.write_bytes(bytes(2**20))
    with pytest.raises(StoreFullError):
        await SqliteAgentPoolStore.open(small_disk / "another.db")
    filler.unlink()
    enlarge(small_disk)
    async with SqliteAgentPoolStore.open(path) as store:
        assert len(await store.read(POOL)) == len(acknowledged) + 1
        assert await send(store, "after") == acknowledged[-1] + 1
    assert is_intact(path)


async def test_opening_on_a_disk_that_takes_no_more_files(small_disk: Path) -> None:
    path = small_disk / "pool.db"
    enlarge(small_disk)
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)
    remount(small_disk, "nr_inodes=30")
    fillers = [small_disk / f"filler.{number}" for number in range(30)]
    with suppress(OSError):
        for filler in fillers:
            filler.touch()
    assert not fillers[-1].exists()
    for name in (path, small_disk / "another.db"):
        with pytest.raises(StoreFullError, match="as many files as it takes; make room"):
            await SqliteAgentPoolStore.open(name)
    for filler in fillers:
        filler.unlink(missing_ok=True)
    async with SqliteAgentPoolStore.open(path) as store:
        assert await send(store, "after") == 2
