"""The file under its name: which are refused, how one is made, and what happens when it goes."""

import asyncio
import os
import shutil
import socket
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from agentpool import (
    AgentPool,
    AgentPoolMember,
    IncompatibleStoreError,
    RetryClassification,
    RunAddress,
    SqliteAgentPoolStore,
    StoreError,
)

from .helpers import BOUND, POOL, foreign_file, records, send, sql, take, worker

MEMBER = AgentPoolMember("run.a", "agent.a")


def listing(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def content(path: Path) -> bytes:
    return path.read_bytes()


async def make(path: Path) -> None:
    """Make a store with one record."""
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)


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


# --- gone while it was open


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


@pytest.mark.parametrize("lose", WAYS)
async def test_who_only_waits_learns_that_the_file_has_gone(
    tmp_path: Path, lose: Callable[[Path], None]
) -> None:
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
        before = len(records(path))
        for number in range(3):
            async with worker("append.py", path, f"theirs.{number}", 1, 1) as other:
                assert await other.line() == "ready"
                other.tell("go")
                code, _, errors = await other.finish()
                assert code == 0, errors
            await send(store, f"ours.{number}")
        assert len(await store.read(POOL)) == before + 6
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
