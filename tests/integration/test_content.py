"""Bodies in a file: shared by all handles, kept for good, and written whole or not at all."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from agentpool import (
    ContentNotFoundError,
    CorruptRecordError,
    InvalidValueError,
    SqliteAgentPoolStore,
    StoreBusyError,
    StoreClosedError,
    StoreFullError,
)

from .helpers import BOUND, POOL, is_intact, send, sql


def kept(path: Path) -> list[tuple[str, str, bytes]]:
    """List what the file keeps, by plain SQL."""
    with sql(path) as connection:
        return connection.execute(
            "SELECT sha256, media_type, data FROM agentpool_content"
        ).fetchall()


async def test_a_body_is_there_after_reopening_and_for_other_handles(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path) as first, SqliteAgentPoolStore.open(path) as second:
        ref = await first.put_content(b"body")
        assert await second.get_content(ref) == b"body"
        assert await second.put_content(b"body") == ref
    async with SqliteAgentPoolStore.open(path) as again:
        assert await again.get_content(ref) == b"body"
    assert len(kept(path)) == 1


async def test_the_media_type_of_the_first_is_kept(store: SqliteAgentPoolStore, path: Path) -> None:
    plain = await store.put_content(b"text", media_type="text/plain")
    octets = await store.put_content(b"octets")
    await store.put_content(b"text", media_type="text/html")
    assert sorted(kept(path)) == sorted(
        [(plain, "text/plain", b"text"), (octets, "application/octet-stream", b"octets")]
    )


@pytest.mark.parametrize("damage", ["x'00'", "'body'", "substr(data, 1, 3)", "5"])
async def test_a_damaged_body_is_refused_until_it_is_put_again(
    damage: str, store: SqliteAgentPoolStore, path: Path
) -> None:
    ref = await store.put_content(b"body")
    with sql(path) as connection:
        connection.execute(f"UPDATE agentpool_content SET data = {damage}")
    with pytest.raises(CorruptRecordError, match=ref):
        await store.get_content(ref)
    assert await store.put_content(b"body") == ref
    assert await store.get_content(ref) == b"body"


async def test_a_store_takes_bodies_as_large_as_it_was_told(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path, max_body=10) as store:
        assert await store.get_content(await store.put_content(b"x" * 10)) == b"x" * 10
        with pytest.raises(InvalidValueError, match=r"data: 11 bytes .* 10 .* max_body"):
            await store.put_content(b"x" * 11)
    async with SqliteAgentPoolStore.open(path, max_body=2**25) as store:
        await store.put_content(bytes(2**24 + 1))


async def test_a_full_file_keeps_nothing_of_a_body(store: SqliteAgentPoolStore, path: Path) -> None:
    def limit(connection: sqlite3.Connection) -> None:
        [pages] = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 8}").fetchone()

    await store._writer.run(limit)
    with pytest.raises(StoreFullError):
        await store.put_content(b"x" * 2**20)
    assert kept(path) == []
    ref = await store.put_content(b"small")
    assert await store.get_content(ref) == b"small"
    assert await send(store, "a") == 2
    assert is_intact(path)


async def test_a_body_waits_for_the_lock_and_gives_up_in_the_end(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path, busy_timeout=0.05) as store:
        with sql(path) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreBusyError):
                await store.put_content(b"body")
            other.execute("COMMIT")
        assert await store.get_content(await store.put_content(b"body")) == b"body"


async def test_closing_ends_the_wait_for_the_lock(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path, busy_timeout=3600) as store:
        with sql(path) as other:
            other.execute("BEGIN IMMEDIATE")
            putting = asyncio.create_task(store.put_content(b"body"))
            await asyncio.sleep(0)
            async with asyncio.timeout(BOUND):
                await store.aclose()
                with pytest.raises(StoreClosedError):
                    await putting
            other.execute("COMMIT")
    assert kept(path) == []


async def test_bodies_and_records_share_the_file_and_nothing_else(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    ref = await store.put_content(b"body")
    assert await send(store, "a", content_ref=ref) == 2
    with sql(path) as connection:
        connection.execute("DELETE FROM agentpool_content")
    with pytest.raises(ContentNotFoundError):
        await store.get_content(ref)
    assert len(await store.read(POOL)) == 2
