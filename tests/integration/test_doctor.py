"""The doctor looks, and leaves everything as it was: in use, closed, crashed, copied."""

import asyncio
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentpool import (
    AgentPool,
    AgentPoolMember,
    RunAddress,
    SqliteAgentPoolStore,
)
from agentpool.doctor import Finding, Level, Report, examination, examine, file, pools, reading
from agentpool.doctor.processes import locks, openers
from agentpool.stores.sqlite.schema import SCHEMA_VERSION

from .doctoring import MENDED, broken_by, examined, sound_file, traces
from .helpers import BOUND, FIXTURES, POOL, send, sql, worker


@pytest.fixture
def no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", MENDED)


async def command(*arguments: object) -> tuple[int | None, str]:
    """Run the command line in a process of its own: its exit code and what it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agentpool", *map(str, arguments), stdout=-1, stderr=-2
    )
    async with asyncio.timeout(BOUND):
        out, _ = await process.communicate()
    return process.returncode, out.decode()


def levels(report: Report) -> set[Level]:
    """List the levels of what was found about the content."""
    outside = {"sqlite", "mount", "names", "permissions", "processes", "wal"}
    return {each.level for each in report.findings if each.check not in outside}


async def test_the_help_names_the_command_and_the_exit_codes() -> None:
    assert "doctor" in (await command("--help"))[1]
    assert "exit code: 0" in (await command("doctor", "--help"))[1]


async def test_the_command_prints_a_line_for_each_check(path: Path) -> None:
    await sound_file(path)
    code, out = await command("doctor", path)
    lines = out.splitlines()
    assert code == 1  # by the real clock, all that it waits for is long overdue
    assert all(line.startswith(("ok ", "note ", "   ")) for line in lines[:-1])
    assert lines[-1].endswith(", 0 BROKEN")


async def test_the_command_says_broken_by_its_exit_code(path: Path) -> None:
    await sound_file(path)
    broken_by(path, "DELETE FROM agent_pool_records WHERE seq = 2")
    code, out = await command("doctor", path)
    assert code == 2
    assert "BROKEN  numbers" in out


# --- nothing is changed


async def test_a_closed_file_is_left_as_it_was(path: Path) -> None:
    await sound_file(path)
    before = traces(path.parent)
    assert examined(path).of("journal").level is Level.OK
    assert traces(path.parent) == before
    assert "pool.db-wal" not in before


async def test_a_file_of_the_rust_implementation_is_left_as_it_was(tmp_path: Path) -> None:
    shutil.copy(FIXTURES / "seed-store.db", tmp_path)
    before = traces(tmp_path)
    report = examine(tmp_path / "seed-store.db")
    assert "20 in 1 pools" in report.of("records").what
    assert levels(report) == {Level.OK, Level.NOTE}
    assert traces(tmp_path) == before


@pytest.fixture
async def crashed(path: Path, tmp_path: Path) -> Path:
    """Give a file as a killed process leaves it: with a log that holds all of its records."""
    folder = tmp_path / "crashed"
    folder.mkdir()
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)
        for number in range(9):
            await send(store, number)
        for suffix in ("", "-wal", "-shm"):
            shutil.copy(f"{path}{suffix}", folder)
    return folder / "pool.db"


async def test_what_a_crash_left_is_read_and_left_as_it_was(crashed: Path) -> None:
    before = traces(crashed.parent)
    assert before["pool.db-wal"]
    report = examine(crashed)
    assert "10 in 1 pools" in report.of("records").what
    assert levels(report) == {Level.OK}
    assert traces(crashed.parent) == before


async def test_a_copy_without_its_shared_memory_is_read_and_left_as_it_was(crashed: Path) -> None:
    crashed.with_name("pool.db-shm").unlink()
    before = traces(crashed.parent)
    report = examine(crashed)
    assert "10 in 1 pools" in report.of("records").what
    assert report.of("journal").level is Level.OK
    assert traces(crashed.parent) == before


async def test_an_empty_log_that_a_reader_left_is_left_as_it_was(path: Path) -> None:
    await sound_file(path)
    path.with_name("pool.db-wal").touch()
    before = traces(path.parent)
    assert levels(examined(path)) == {Level.OK}
    assert traces(path.parent) == before


async def test_a_file_in_use_by_another_process_is_left_as_it_was(path: Path) -> None:
    await sound_file(path)
    async with worker("append.py", path, "x", 0, 1) as other:
        assert await other.line() == "ready"
        before = traces(path.parent)
        report = examined(path)
        after = traces(path.parent)
    assert levels(report) == {Level.OK}
    assert "open in process" in report.of("processes").what
    assert after.keys() == before.keys()
    del before["pool.db-shm"], after["pool.db-shm"]  # where a reader marks its place
    assert after == before


async def test_a_file_that_others_write_to_all_the_time_is_sound(path: Path) -> None:
    await sound_file(path)
    async with worker("append.py", path, "x", 0, 8) as other:
        assert await other.line() == "ready"
        other.tell("go")
        assert await other.line()
        for _ in range(3):
            report = await asyncio.to_thread(examined, path)
            assert levels(report) == {Level.OK}, str(report)


async def test_the_locks_of_a_store_in_the_same_process_stay(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)
        held = locks(path), locks(path.with_name("pool.db-shm"))
        assert all(held)
        examine(path)
        assert (locks(path), locks(path.with_name("pool.db-shm"))) == held
        await send(store, "afterwards")


async def test_a_pool_that_waits_for_answers_is_sound(path: Path) -> None:
    """Agents ask, answer, claim and wait while the file is examined."""
    async with (
        asyncio.timeout(BOUND),
        SqliteAgentPoolStore.open(path) as store,
        AgentPool.open(store, POOL) as pool,
        pool.member(AgentPoolMember("run.a", "agent.a")) as asker,
        pool.member(AgentPoolMember("run.b", "agent.b")) as answerer,
    ):
        asking = asker.ask(RunAddress.run("run.b"), content_ref="content.1", timeout=BOUND)
        question = asyncio.create_task(asking)
        async with await answerer.inbox.take() as delivery:
            report = await asyncio.to_thread(examine, path)
            assert levels(report) == {Level.OK}, str(report)
            await answerer.reply(delivery.message, "content.2")
        assert len(await question) == 1
        report = await asyncio.to_thread(examine, path)
        assert levels(report) == {Level.OK}, str(report)


async def test_a_file_that_changes_under_an_examination_is_examined_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sound_file(path)
    looks: list[int] = []

    def meddling(*_: object) -> Iterator[Finding]:
        looks.append(len(looks))
        if len(looks) == 1:
            broken_by(path, "CREATE TABLE something_else (x)")
        yield from ()

    monkeypatch.setattr(pools, "check_records", meddling)
    assert levels(examined(path)) == {Level.OK}
    assert looks == [0, 1]


async def test_a_file_that_never_holds_still_is_noted(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sound_file(path)
    counter = iter(range(99))
    monkeypatch.setattr(examination, "footprint", lambda _: next(counter))
    assert examined(path).of("file").level is Level.NOTE


async def test_a_file_that_is_kept_locked_is_noted(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sound_file(path)
    monkeypatch.setattr(reading, "_PATIENCE", 0.01)
    monkeypatch.setattr(examination, "way_of", lambda _: reading.Way("mode=ro", isolated=True))
    with sql(path) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        assert examined(path).of("file").level is Level.NOTE


# --- what a file depends on


async def test_the_bug_of_the_library_is_noted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await sound_file(path)
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 45, 1))
    assert examined(path).of("sqlite").level is Level.NOTE
    assert examined(path).exit_code == 1


@pytest.mark.usefixtures("no_bug")
async def test_what_may_not_be_written_is_noted(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sound_file(path)
    monkeypatch.setattr(os, "access", lambda each, _: Path(each) != path)
    found = examined(path)
    assert "may not write pool.db" in found.of("permissions").what
    assert found.exit_code == 1


@pytest.mark.usefixtures("no_bug")
async def test_a_large_log_is_noted_with_who_holds_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)
        assert examine(path).exit_code == 0
        monkeypatch.setattr(file, "WAL_LIMIT", 1000)
        assert "wal_checkpoint" in examine(path).of("wal").advice
        with sql(path) as connection:
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM agent_pool_records").fetchone()
            found = examine(path)
            assert f"process {os.getpid()} " in found.of("wal").what
            assert found.of("wal").level is Level.NOTE
            assert found.exit_code == 1


@pytest.mark.usefixtures("no_bug")
async def test_a_process_on_a_deleted_log_is_broken(path: Path) -> None:
    await sound_file(path)
    async with worker("append.py", path, "x", 0, 1) as other:
        assert await other.line() == "ready"
        [pid] = openers(path)
        path.with_name("pool.db-wal").unlink()
        found = examined(path).of("processes")
        assert found.level is Level.BROKEN
        assert f"process {pid} " in found.what
