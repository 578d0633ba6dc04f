"""A store, or a store and a pool in it, by a path or a URL."""

import asyncio
import sqlite3
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from agentpool import (
    AgentPoolError,
    AgentPoolMember,
    AgentPoolMessagePolicy,
    AgentPoolWakePolicy,
    IncompatibleStoreError,
    InMemoryAgentPoolStore,
    InvalidValueError,
    PoolConfigConflictError,
    SqliteAgentPoolStore,
    StoreClosedError,
    open_pool,
    open_store,
)

ADA = AgentPoolMember("run.ada", "agent.librarian")
POOL = "pool.library"


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("where", ["{}", "sqlite:///{}", "SQLite:///{}"])
@pytest.mark.parametrize("full", [False, True])
async def test_a_file_is_opened_by_its_path_or_its_url(
    tmp_path: Path, where: str, *, full: bool
) -> None:
    name = str(tmp_path / "pool.db") if full else "pool.db"
    async with open_store(where.format(name)) as store:
        assert isinstance(store, SqliteAgentPoolStore)
        assert store.path == Path(name)
        await store.open_pool(POOL)
    async with open_store(tmp_path / "pool.db") as store:
        assert [each.pool_id for each in await store.pools()] == [POOL]


@pytest.mark.parametrize("name", ["a:b.db", "C:pool.db", "100%.db", "./memory:", "a b#c.db"])
async def test_a_name_that_only_looks_like_a_url_is_a_file(tmp_path: Path, name: str) -> None:
    async with open_store(name):
        assert (tmp_path / name).exists()


@pytest.mark.parametrize("url", ["memory:", "memory://"])
async def test_each_opening_of_memory_is_a_store_of_its_own(url: str) -> None:
    opening = open_store(url, max_body=3)
    for _ in range(2):
        async with opening as store:
            assert isinstance(store, InMemoryAgentPoolStore)
            assert await store.pools() == []
            await store.open_pool(POOL)
            with pytest.raises(InvalidValueError):
                await store.put_content(b"1234")


async def test_a_store_that_is_awaited_is_closed_by_its_user() -> None:
    store = await open_store("pool.db", synchronous="NORMAL")
    await store.open_pool(POOL)
    await store.aclose()
    with pytest.raises(StoreClosedError):
        await store.pools()


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "PostgreSQL"])
async def test_a_server_is_told_to_need_an_extra_where_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setitem(sys.modules, "agentpool.stores.postgres", None)
    with pytest.raises(IncompatibleStoreError, match="extra 'postgres'") as caught:
        open_store(f"{scheme}://ada:secret@db/pools")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://db/pools", "no store of scheme 'mysql'"),
        ("sqlite://pool.db", "sqlite:///pool.db"),
        ("sqlite:pool.db", "sqlite:///pool.db"),
        ("sqlite:///", "sqlite:///pool.db"),
        ("sqlite:///:memory:", "memory"),
        ("sqlite:///pool.db?synchronous=NORMAL", "by name"),
        ("memory:pool.x", "'memory:'"),
        ("host=db password=secret", "postgresql://user@host/database"),
        (" dbname = pools", "postgresql://user@host/database"),
        ("sslmode=require host=db password=secret", "postgresql://user@host/database"),
        ("", "no file"),
    ],
)
def test_what_is_no_url_of_a_store_is_told_what_to_write(url: str, said: str) -> None:
    with pytest.raises(InvalidValueError, match="path") as caught:
        open_store(url)
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("where", "options"),
    [
        ("memory:", {"synchronous": "NORMAL"}),
        ("memory:", {"schema": "agentpool"}),
        ("pool.db", {"schema": "agentpool"}),
        ("sqlite:///pool.db", {"timeout": 1}),
    ],
)
def test_an_option_that_this_kind_of_store_lacks_is_named(
    where: str, options: dict[str, Any]
) -> None:
    with pytest.raises(InvalidValueError, match=next(iter(options))):
        open_store(where, **options)
    with pytest.raises(InvalidValueError, match=next(iter(options))):
        open_pool(where, POOL, **options)


# --- what is to be there


@pytest.mark.parametrize("where", ["pool.db", "folder/pool.db", "sqlite:///pool.db", "link.db"])
async def test_a_file_that_is_not_there_is_refused_and_not_made(tmp_path: Path, where: str) -> None:
    (tmp_path / "link.db").symlink_to("pool.db")
    before = _files_in(tmp_path)
    for opening in (open_store(where, create=False), open_pool(where, POOL, create=False)):
        with pytest.raises(IncompatibleStoreError, match="no such file"):
            await opening
    with pytest.raises(IncompatibleStoreError, match="no such file"):
        await SqliteAgentPoolStore.open(where.removeprefix("sqlite:///"), create=False)
    assert _files_in(tmp_path) == before


async def test_a_file_that_is_there_is_opened() -> None:
    async with open_pool("pool.db", POOL) as pool:
        await pool.join_run(ADA)
    async with open_pool("pool.db", POOL, create=False) as pool:
        assert await pool.members() == (ADA,)


def test_nothing_is_there_in_memory() -> None:
    with pytest.raises(IncompatibleStoreError, match="always new"):
        open_store("memory:", create=False)


# --- a store and a pool


async def test_a_pool_and_its_store_are_opened_and_closed_together() -> None:
    async with open_pool("pool.db", POOL) as pool:
        assert isinstance(pool.store, SqliteAgentPoolStore)
        await pool.join_run(ADA)
    with pytest.raises(StoreClosedError):
        await pool.members()
    with pytest.raises(StoreClosedError):
        await pool.store.pools()


async def test_a_pool_that_is_awaited_closes_both_once() -> None:
    pool = await open_pool("memory:", POOL)
    me = await pool.member(ADA, lease=None)
    await asyncio.gather(pool.aclose(), pool.aclose())
    await pool.aclose()
    await me.aclose()
    with pytest.raises(StoreClosedError):
        await pool.store.pools()


async def test_a_pool_is_opened_with_its_policies() -> None:
    policy = AgentPoolMessagePolicy(include_sender_in_pool_broadcast=True)
    async with open_pool("pool.db", POOL, message_policy=policy) as pool:
        assert (await pool.snapshot()).message_policy == policy
    with pytest.raises(PoolConfigConflictError):
        await open_pool("pool.db", POOL, wake_policy=AgentPoolWakePolicy(envelope_only=False))
    assert _nobody_has_it_open("pool.db")


async def test_a_close_that_is_cancelled_closes_both() -> None:
    pool = await open_pool("pool.db", POOL)
    closing = asyncio.create_task(pool.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    await pool.store.aclose()
    assert _nobody_has_it_open("pool.db")


async def test_an_opening_that_is_cancelled_anywhere_leaves_nothing_open() -> None:
    for turns in range(0, 60, 4):
        opening = asyncio.ensure_future(open_pool("pool.db", POOL))
        for _ in range(turns):
            await asyncio.sleep(0.0005)
        opening.cancel()
        with suppress(asyncio.CancelledError, AgentPoolError):
            await (await opening).aclose()
        assert _nobody_has_it_open("pool.db")


def _files_in(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def _nobody_has_it_open(path: str) -> bool:
    """Whoever closes a database last takes its write-ahead log away."""
    if not Path(path).exists():
        return True
    sqlite3.connect(path).close()
    return not Path(f"{path}-wal").exists()
