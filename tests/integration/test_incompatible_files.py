"""What is not a store is refused in words, and left as it was."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from agentpool import (
    IncompatibleStoreError,
    InvalidValueError,
    RetryClassification,
    SqliteAgentPoolStore,
    StoreError,
)
from agentpool.stores.sqlite.schema import SCHEMA_VERSION

from .helpers import POOL, foreign_file, records, send, sql, worker


async def refusal(path: Path) -> IncompatibleStoreError:
    with pytest.raises(IncompatibleStoreError) as caught:
        await SqliteAgentPoolStore.open(path)
    assert str(path) in str(caught.value)
    assert caught.value.retry is RetryClassification.USER_ACTION_NEEDED
    return caught.value


@pytest.mark.parametrize("content", [b"short", b"no database at all. " * 500])
async def test_a_file_that_is_not_sqlite(path: Path, content: bytes) -> None:
    file = anyio.Path(path)
    await file.write_bytes(content)
    await refusal(path)
    assert await file.read_bytes() == content
    assert [each.name async for each in file.parent.iterdir()] == [path.name]


async def test_a_directory(path: Path) -> None:
    await anyio.Path(path).mkdir()
    assert "it is a directory; give the path of a file in it" in str(await refusal(path))


async def test_a_program_that_ends_when_it_cannot_open_ends_quietly(tmp_path: Path) -> None:
    async with worker("fail_to_open.py", tmp_path) as process:
        code, lines, errors = await process.finish()
    assert (code, lines) == (0, [])
    assert "Traceback" not in errors


async def test_a_missing_parent_folder(path: Path) -> None:
    told = str(await refusal(path / "pool.db"))
    assert f"the folder {path} does not exist; create it first" in told
    assert not await anyio.Path(path).exists()


async def test_a_folder_that_is_a_file(path: Path) -> None:
    await anyio.Path(path).write_bytes(b"")
    assert f"{path} is no folder" in str(await refusal(path / "pool.db"))


async def test_a_name_that_is_too_long(path: Path) -> None:
    assert "too long" in str(await refusal(path.with_name("x" * 300)))


async def test_links_in_a_circle(path: Path) -> None:
    await anyio.Path(path).symlink_to(path)
    await refusal(path)


async def test_a_file_of_a_newer_version(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)
    with sql(path) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    assert str(SCHEMA_VERSION + 1) in str(await refusal(path))
    assert len(records(path)) == 1


@pytest.mark.parametrize(
    "table",
    ["agent_pool_records (pool_id, number, body)", "agent_pool_event_seq (pool, next)"],
)
async def test_a_file_whose_tables_have_other_columns(path: Path, table: str) -> None:
    with sql(path) as connection:
        connection.execute(f"CREATE TABLE {table}")
        before = connection.execute("SELECT * FROM sqlite_master").fetchall()
    await refusal(path)
    with sql(path) as connection:
        assert connection.execute("SELECT * FROM sqlite_master").fetchall() == before
        assert connection.execute("PRAGMA user_version").fetchone() == (0,)


def damage_first_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100:4096] = b"\xff" * (4096 - 100)
    path.write_bytes(content)


async def test_a_damaged_file_is_an_error_of_the_engine(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)
    damage_first_page(path)
    with pytest.raises(StoreError) as caught:
        await SqliteAgentPoolStore.open(path)
    assert str(path) in str(caught.value)


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    """Take the right to write to a file, from root too where the file system can."""
    if os.geteuid() != 0:
        path.chmod(0o444)
        yield
        return
    chattr = shutil.which("chattr")
    if chattr is None or subprocess.run([chattr, "+i", path], check=False).returncode:
        pytest.skip("root can write to every file of this file system")
    try:
        yield
    finally:
        subprocess.run([chattr, "-i", path], check=True)


async def test_a_read_only_store(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)
    with read_only(path):
        await refusal(path)
    async with SqliteAgentPoolStore.open(path) as store:
        assert await send(store, "a") == 2


async def test_a_read_only_file_that_would_have_to_be_migrated(path: Path) -> None:
    foreign_file(path)
    with read_only(path):
        await refusal(path)


@pytest.mark.parametrize(
    "options",
    [{"synchronous": "OFF"}, {"synchronous": "full; --"}, {"busy_timeout": -1.0}]
    + [{"busy_timeout": float(word)} for word in ("inf", "nan")],
)
def test_options_that_do_not_exist(path: Path, options: dict[str, object]) -> None:
    with pytest.raises(InvalidValueError):
        SqliteAgentPoolStore.open(path, **options)  # type: ignore[arg-type]
    assert not path.exists()


@pytest.mark.parametrize("name", ["", ":memory:"])
def test_names_that_sqlite_takes_for_no_file(name: str) -> None:
    with pytest.raises(InvalidValueError):
        SqliteAgentPoolStore.open(name)
