"""The file under its name: which are refused, and how one is made."""

import asyncio
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from agentpool import (
    IncompatibleStoreError,
    SqliteAgentPoolStore,
)

from .helpers import BOUND, POOL, foreign_file, listing, make, send, sql, worker


def content(path: Path) -> bytes:
    return path.read_bytes()


async def refused(path: Path, match: str) -> None:
    with pytest.raises(IncompatibleStoreError, match=match):
        await SqliteAgentPoolStore.open(path)


# --- one name


async def test_a_file_with_two_names_is_refused_by_both_until_it_has_one(path: Path) -> None:
    await make(path)
    other = path.with_name("other.db")
    os.link(path, other)
    before = listing(path.parent)
    link = path.with_name("link.db")
    for name in (path, other):
        await refused(name, "2 names")
    assert listing(path.parent) == before
    link.symlink_to(other)
    await refused(link, "2 names")
    other.unlink()
    async with SqliteAgentPoolStore.open(path) as store:
        assert await send(store, "a") == 2


async def test_all_names_that_lead_to_a_file_open_the_same_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = path.parent / "folder"
    folder.mkdir()
    (path.parent / "linked").symlink_to(folder)
    (path.parent / "link.db").symlink_to("linked/pool.db")
    monkeypatch.chdir(path.parent)
    names = [Path("link.db"), path.parent / "linked" / "pool.db", Path("folder/pool.db")]
    for seq, name in enumerate(names, 1):
        async with SqliteAgentPoolStore.open(name) as store:
            assert store.path == name
            monkeypatch.chdir("/")  # it has been found; names that follow it mean nothing else
            await store.open_pool(POOL)
            assert await send(store, seq) == seq + 1
            assert {"pool.db-wal", "pool.db-shm"} <= set(listing(folder))
        monkeypatch.chdir(path.parent)
    assert "link.db-wal" not in listing(path.parent)


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


SPECIAL: list[Callable[[Path], None]] = [a_pipe, a_socket]


BESIDE = ["-wal", "-shm", "-journal"]


@pytest.mark.parametrize("special", SPECIAL)
@pytest.mark.parametrize("suffix", ["", *BESIDE])
async def test_what_is_no_regular_file_is_refused_and_does_not_block(
    path: Path, special: Callable[[Path], None], suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    if suffix:
        await make(path)
    special(path.with_name(path.name + suffix))
    before = listing(path.parent)
    async with asyncio.timeout(BOUND):
        await refused(path, "no regular file")
    assert listing(path.parent) == before


@pytest.mark.parametrize("made", [True, False])
@pytest.mark.parametrize("link", [os.symlink, os.link])
@pytest.mark.parametrize("suffix", BESIDE)
async def test_sqlite_files_are_not_written_through_links(
    path: Path, suffix: str, link: Callable[[Path, Path], None], made: bool
) -> None:
    if made:
        await make(path)
    victim = path.with_name("victim")
    victim.write_bytes(b"as it was")
    link(victim, path.with_name(path.name + suffix))
    before = listing(path.parent)
    await refused(path, "no regular file|2 names")
    assert victim.read_bytes() == b"as it was"
    assert listing(path.parent) == before


@pytest.mark.parametrize("suffix", BESIDE)
async def test_sqlite_files_may_vanish_while_they_are_looked_at(
    path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make(path)
    one = path.with_name(path.name + suffix)
    one.touch()
    access = os.access

    def vanish_first(each: Path, mode: int, *, effective_ids: bool) -> bool:
        if each == one:
            one.unlink(missing_ok=True)
        return access(each, mode, effective_ids=effective_ids)

    monkeypatch.setattr(os, "access", vanish_first)
    monkeypatch.setattr(os, "supports_effective_ids", {vanish_first})
    async with SqliteAgentPoolStore.open(path) as store:
        assert await send(store, "a") == 2


async def test_an_empty_rollback_journal_is_no_harm(path: Path) -> None:
    await make(path)
    path.with_name("pool.db-journal").touch()
    async with SqliteAgentPoolStore.open(path) as store:
        assert await send(store, "a") == 2


def modes(path: Path) -> set[int]:
    made = [path, path.with_name("pool.db-wal"), path.with_name("pool.db-shm")]
    return {stat.S_IMODE(each.stat().st_mode) for each in made}


async def test_a_new_file_is_for_its_user_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        async with SqliteAgentPoolStore.open(path) as store:
            await store.open_pool(POOL)
            assert modes(path) == {0o600}
    finally:
        os.umask(before)


async def test_what_lies_beside_a_file_has_its_mode(path: Path) -> None:
    os.close(os.open(path, os.O_CREAT, 0o640))
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)
        assert modes(path) == {0o640}


def in_a_folder_that_is_gone(path: Path) -> None:
    folder = path.with_name("gone")
    folder.mkdir()
    os.chdir(folder)
    folder.rmdir()


async def test_a_relative_name_in_a_folder_that_is_gone_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)  # and back, in the end
    in_a_folder_that_is_gone(path)
    await refused(Path("pool.db"), r"the folder \. does not exist")


# --- nothing is left behind


@pytest.fixture
def shared() -> Iterator[Path]:
    """Give a folder that others can reach, wherever the other temporary files are."""
    with TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)
        Path(folder).chmod(0o755)


@pytest.mark.parametrize(("of_file", "of_folder"), [(0o444, 0o777), (0o666, 0o555)])
async def test_who_may_only_read_is_refused_and_leaves_nothing(
    shared: Path, of_file: int, of_folder: int
) -> None:
    path = foreign_file(shared / "pool.db")
    for each, mode in ((path, of_file), (shared, of_folder)):
        each.chmod(mode)
    async with worker("read_only.py", path) as process:
        _, [line], errors = await process.finish()
    assert line.startswith("IncompatibleStoreError: ")
    assert "cannot be written" in line
    assert "Traceback" not in errors
    assert listing(shared) == ["pool.db"]


async def test_too_many_open_files_is_worth_a_retry(path: Path) -> None:
    async with worker("few_descriptors.py", path) as process:
        code, lines, errors = await process.finish()
    assert code == 0, errors
    assert lines[0].endswith("; left: ")
    *refusals, opened = [line.split("; left")[0] for line in lines]
    assert len(refusals) > 3
    assert set(refusals) == {"StoreBusyError retryable, too many: True"}
    assert opened == "opened"


@pytest.mark.parametrize("number", [0, 1, 2, 3, 7])
async def test_the_database_of_an_application_is_refused_and_left_as_it_was(
    path: Path, number: int
) -> None:
    with sql(path) as connection:
        connection.execute("CREATE TABLE theirs (a)")
        connection.execute(f"PRAGMA user_version = {number}")
    before = content(path)
    await refused(path, "'theirs'.*allow_foreign_tables=True")
    assert content(path) == before
    assert listing(path.parent) == [path.name]


async def test_an_application_may_want_a_store_in_its_database(path: Path) -> None:
    with sql(path) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    async with SqliteAgentPoolStore.open(path, allow_foreign_tables=True) as store:
        await store.open_pool(POOL)
    async with SqliteAgentPoolStore.open(path) as store:  # from now on it is one of ours
        assert await send(store, "a") == 2


async def test_a_number_that_counts_somebody_elses_schema_is_not_taken_for_ours(path: Path) -> None:
    with sql(path) as connection:
        connection.execute("CREATE TABLE theirs (a)")
        connection.execute("PRAGMA user_version = 1")
    with pytest.raises(IncompatibleStoreError, match="user_version is 1"):
        await SqliteAgentPoolStore.open(path, allow_foreign_tables=True)
    with sql(path) as connection:
        connection.execute("DROP TABLE theirs")
    await refused(path, "user_version is 1")
