"""Where a log does not only grow: a backup is restored under handles, records change or go.

A handle answers from what is in the file, and whoever follows what is there no more is told.
"""

import asyncio
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, closing, suppress
from pathlib import Path

import pytest

from agentpool import (
    AgentPool,
    AgentPoolMember,
    AgentPoolStore,
    AgentPoolStoreCursor,
    EventFilter,
    RunAddress,
    SqliteAgentPoolStore,
    StoreError,
)
from agentpool.stores.sqlite.promises import STRETCH

from .helpers import BOUND, POOL, is_intact, member, records, send, sql, take, worker

GUIDE = Path(__file__).parents[2] / "examples/guides/service.md"


def copied(path: Path) -> Path:
    """Make a backup."""
    copy = path.with_name("copy.db")
    with sql(path) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    return copy


def restored(path: Path) -> None:
    with closing(sqlite3.connect(path.with_name("copy.db"))) as copy, sql(path) as connection:
        copy.backup(connection)


def cut(path: Path) -> None:
    with sql(path) as connection:
        connection.execute("DELETE FROM agent_pool_records WHERE seq > 3")
        connection.execute("DELETE FROM agentpool_checkpoints")


@asynccontextmanager
async def known(path: Path) -> AsyncIterator[SqliteAgentPoolStore]:
    """Give a handle that has read and written a log of six records, of which three are backed up.

    1: opened, 2: run.1 joined, 3: message a; 4: run.2 joined, 5: message b, 6: run.3 joined
    """
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)
        await store.join_member(POOL, member(1))
        await send(store, "a")
        copied(path)
        await store.join_member(POOL, member(2))
        await send(store, "b")
        await store.join_member(POOL, member(3))
        await answers(store)
        yield store


async def answers(store: AgentPoolStore) -> list[object]:
    """Ask a handle all that it may answer from what it remembers."""
    return [
        await store.snapshot(POOL),
        await store.read(POOL),
        await store.message_receipt(POOL, "key.a"),
        await store.message_receipt(POOL, "key.b"),
        await store.message_receipt(POOL, "key.c"),
        await store.query(POOL, lambda view: (view.head, sorted(view.state.members), view.config)),
    ]


async def grow(path: Path) -> None:
    """Let another handle make the log as long as it was, but not the same."""
    async with SqliteAgentPoolStore.open(path) as other:
        await other.join_member(POOL, member(7))
        await send(other, "c")
        await other.join_member(POOL, member(3))


WAYS: list[Callable[[Path], None]] = [restored, cut]


@pytest.mark.parametrize("back", WAYS)
@pytest.mark.parametrize("first", ["asked", "told"])
async def test_a_log_that_grew_again_is_answered_from_the_file(
    path: Path, back: Callable[[Path], None], first: str
) -> None:
    async with known(path) as store:
        back(path)
        await grow(path)
        if first == "told":
            await store.leave_member(POOL, "run.7")
            await send(store, "b")
        async with SqliteAgentPoolStore.open(path) as fresh:
            assert await answers(store) == await answers(fresh)
        if first == "asked":
            await store.leave_member(POOL, "run.7")
            assert await send(store, "b") == 8
        async with SqliteAgentPoolStore.open(path) as fresh:
            assert await answers(store) == await answers(fresh)
    assert [seq for seq, _, _ in records(path)] == [1, 2, 3, 4, 5, 6, 7, 8]


async def test_after_a_backup_was_restored_a_handle_goes_on_from_there(path: Path) -> None:
    async with known(path) as store:
        restored(path)
        async with SqliteAgentPoolStore.open(path) as fresh:
            assert await answers(store) == await answers(fresh)
        assert await send(store, "b") == 4
        await store.join_member(POOL, member(2))
        async with SqliteAgentPoolStore.open(path) as fresh:
            assert await answers(store) == await answers(fresh)
        with pytest.raises(StoreError, match="record 6 was seen"):
            await store.read(POOL, AgentPoolStoreCursor(6))
    assert is_intact(path)


async def test_a_record_that_was_changed_in_its_place_is_read_anew(path: Path) -> None:
    async with known(path) as store:
        with sql(path) as connection:
            for table in ("agent_pool_records", "agentpool_checkpoints"):
                column = "payload_json" if table == "agent_pool_records" else "state_json"
                connection.execute(
                    f"UPDATE {table} SET {column} = replace({column}, 'run.2', 'run.8')"
                )
        async with SqliteAgentPoolStore.open(path) as fresh:
            assert await answers(store) == await answers(fresh)
        await store.leave_member(POOL, "run.8")


@pytest.mark.parametrize("back", WAYS)
async def test_who_follows_what_is_gone_is_told(path: Path, back: Callable[[Path], None]) -> None:
    async with (
        known(path) as store,
        AgentPool.open(store, POOL) as pool,
        aclosing(store.watch(POOL)) as watcher,
        aclosing(store.watch(POOL)) as paused,
        aclosing(pool.subscribe(EventFilter(), AgentPoolStoreCursor(6))) as subscription,
    ):
        await take(watcher, 6)
        await take(paused, 2)
        waiting = [asyncio.ensure_future(anext(each)) for each in (watcher, subscription)]
        for _ in range(20):
            await store.read(POOL)  # what reads behind them has let them begin
        back(path)
        with suppress(StoreError):  # where it was cut, what was worked in is gone
            await grow(path)
        async with asyncio.timeout(BOUND):
            errors = await asyncio.gather(*waiting, anext(paused), return_exceptions=True)
    for error in errors[:2]:
        assert type(error) is StoreError
        assert error.pool_id == POOL


@pytest.mark.parametrize("statement", ["VACUUM", "CREATE TABLE more (a)", "ANALYZE"])
async def test_who_follows_is_not_disturbed_where_the_log_stays_the_same(
    path: Path, statement: str
) -> None:
    async with known(path) as store, aclosing(store.watch(POOL)) as watcher:
        await take(watcher, 6)
        with sql(path) as connection:
            connection.execute(statement)
        assert len(await store.read(POOL)) == 6
        assert await send(store, "c") == 7
        [record] = await take(watcher, 1)
        assert record.cursor.sequence == 7


async def test_a_consumer_goes_on_after_a_backup_was_restored(path: Path) -> None:
    reader = AgentPoolMember("run.r", "agent.r")
    async with (
        SqliteAgentPoolStore.open(path) as store,
        SqliteAgentPoolStore.open(path) as other,
        AgentPool.open(store, POOL) as pool,
        AgentPool.open(other, POOL) as sending,
    ):
        await pool.join_run(reader)
        copied(path)
        await sending.join_run(member(1))
        taking = asyncio.create_task(pool.acting_as(reader).inbox.take())
        await sending.join_run(member(2))
        restored(path)
        await sending.join_run(member(3))
        await sending.acting_as(member(3)).send(RunAddress.run("run.r"), content_ref="content.1")
        async with asyncio.timeout(BOUND):
            delivery = await taking
        assert delivery.message.content_ref == "content.1"
        await delivery.ack()
        assert [each.run_id for each in await pool.members()] == ["run.3", "run.r"]


async def test_what_was_promised_is_looked_up_anew(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path, synchronous="NORMAL") as store:
        await store.open_pool(POOL)
        copied(path)
        with sql(path.with_name("copy.db")) as connection:
            connection.execute("DELETE FROM agentpool_promises")
        restored(path)
        assert await send(store, "a") == 2
    with sql(path) as connection:
        [(promised,)] = connection.execute("SELECT promised FROM agentpool_promises").fetchall()
    assert promised == 1 + STRETCH  # made before the record was appended


# --- the commands of the guide


def command(verb: str, folder: Path) -> None:
    """Carry out the command that the guide gives, in a folder with ``pool.db``."""
    text = GUIDE.read_text("utf-8")
    [line] = re.findall(rf"^python3 (-c .*)  # {verb}$", text, re.MULTILINE)
    subprocess.run([sys.executable, *shlex.split(line)], cwd=folder, check=True, timeout=BOUND)


def backup(folder: Path) -> None:
    command("back up", folder)


def restore(folder: Path) -> None:
    command("restore", folder)


async def test_a_backup_is_made_and_restored_with_nobody_there(path: Path) -> None:
    async with known(path):
        path.with_name("copy.db").unlink()
    before = records(path)
    backup(path.parent)
    assert sorted(each.name for each in path.parent.glob("copy*")) == ["copy.db"]
    cut(path)
    restore(path.parent)
    assert records(path) == before
    assert is_intact(path)
    assert sorted(each.name for each in path.parent.glob("copy*")) == ["copy.db"]


async def test_a_backup_is_made_and_restored_while_processes_work(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)
        async with worker("append.py", path, "early", 1, 40) as other:
            assert await other.line() == "ready"
            other.tell("go")
            await asyncio.to_thread(backup, path.parent)
            code, _, errors = await other.finish()
            assert code == 0, errors
        kept = len(records(path.with_name("copy.db")))
        assert len(await store.read(POOL)) == 41
        await asyncio.to_thread(restore, path.parent)
        assert len(await store.read(POOL)) == kept
        assert await send(store, "late") == kept + 1
        assert is_intact(path)
        async with SqliteAgentPoolStore.open(path) as fresh:
            assert await fresh.snapshot(POOL) == await store.snapshot(POOL)
