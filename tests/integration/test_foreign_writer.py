"""Another program, which knows nothing of us, writes to the file while we use it."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from agentpool import (
    AgentPoolSnapshot,
    AgentPoolStoreCursor,
    IdempotencyConflictError,
    MemberJoined,
    NotAMemberError,
    PoolConfigConflictError,
    SqliteAgentPoolStore,
    decode,
    encode,
)

from .helpers import FIXTURES, POOL, foreign_file, member, records, send, sql, take, worker

SEED_POOL = "pool.interop"
OPENED = (
    '{"type":"pool_opened","config":{"message_policy":{"include_sender_in_pool_broadcast":true},'
    '"wake_policy":{"envelope_only":true}}}'
)
JOINED = '{"type":"member_joined","member":{"run_id":"run.7","agent_id":"agent.a"}}'
LEFT = '{"type":"member_left","member":{"run_id":"run.7","agent_id":"agent.a"}}'


def insert(path: Path, seq: int, kind: str, payload: str, pool_id: str = POOL) -> None:
    with sql(path) as connection:
        connection.execute(
            "INSERT INTO agent_pool_records VALUES (?, ?, ?, ?)", (pool_id, seq, kind, payload)
        )


async def test_all_see_one_order_while_both_append_and_we_watch(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    watching = asyncio.create_task(take(store.watch(POOL), 101))
    async with worker("foreign.py", path, 50) as foreign:
        assert await foreign.line() == "ready"
        foreign.tell("go")
        ours = [await send(store, number) for number in range(50)]
        code, lines, errors = await foreign.finish()
    assert code == 0, errors
    theirs = [int(line.split()[1]) for line in lines]
    assert sorted([1, *ours, *theirs]) == list(range(1, 102))
    seen = await watching
    assert [record.cursor.sequence for record in seen] == list(range(1, 102))
    joins = [each.cursor.sequence for each in seen if isinstance(each.payload, MemberJoined)]
    assert joins == theirs
    assert seen == await store.read(POOL)
    assert len((await store.snapshot(POOL)).members) == 50


async def test_our_next_append_takes_the_next_number(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    insert(path, 2, "pool_created", '{"type":"pool_created"}')
    assert await send(store, "a") == 3
    insert(path, 4, "member_joined", JOINED)
    assert await send(store, "b") == 5
    assert (await store.record_pool_created(POOL)).sequence == 2


async def test_members_that_it_lets_join_and_leave_are_respected(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    insert(path, 2, "member_joined", JOINED)
    assert (await store.join_member(POOL, member(7))).sequence == 2
    left, cursor = await store.leave_member(POOL, "run.7")
    assert (left, cursor.sequence) == (member(7), 3)
    await store.join_member(POOL, member(7))
    insert(path, 5, "member_left", LEFT)
    with pytest.raises(NotAMemberError):
        await store.leave_member(POOL, "run.7")


async def test_a_key_that_it_used_is_used(store: SqliteAgentPoolStore, path: Path) -> None:
    await send(store, "a")
    theirs = records(path)[1][2]
    for name in ("message", "key", "content"):
        theirs = theirs.replace(f"{name}.a", f"{name}.b")
    insert(path, 3, "run_message", theirs)
    assert await send(store, "b") == 3
    assert await send(store, "new id", idempotency_key="key.b", content_ref="content.b") == 3
    with pytest.raises(IdempotencyConflictError):
        await send(store, "b", content_ref="something else")
    receipt = await store.message_receipt(POOL, "key.b")
    assert receipt is not None
    assert receipt.message_id == "message.b"


async def test_a_pool_that_it_opened_is_open_with_its_config(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path) as store:
        insert(path, 1, "pool_opened", OPENED)
        assert await send(store, "a") == 2
        assert (await store.open_pool(POOL)).message_policy.include_sender_in_pool_broadcast
        insert(path, 3, "pool_opened", OPENED.replace("true", "false", 1))
        with pytest.raises(PoolConfigConflictError) as caught:
            await store.snapshot(POOL)
        assert (caught.value.pool_id, caught.value.seq) == (POOL, 3)


async def test_event_numbers_go_on_from_its_own(store: SqliteAgentPoolStore, path: Path) -> None:
    with sql(path) as connection:
        connection.execute("INSERT INTO agent_pool_event_seq VALUES (?, 41)", (POOL,))
    assert await store.next_event_sequence(POOL) == 42
    with sql(path) as connection:
        connection.execute("UPDATE agent_pool_event_seq SET seq = 99")
    assert await store.next_event_sequence(POOL) == 100


async def test_it_can_begin_a_file_that_we_go_on_with(path: Path) -> None:
    foreign_file(path)
    insert(path, 1, "pool_opened", OPENED)
    insert(path, 2, "member_joined", JOINED)
    async with SqliteAgentPoolStore.open(path) as store:
        assert (await store.snapshot(POOL)).members == (member(7),)
        assert await send(store, "a") == 3


@pytest.fixture
def seed(path: Path) -> Path:
    """Copy the file that the other implementation made through its public API."""
    shutil.copy(FIXTURES / "seed-store.db", path)
    return path


async def test_the_seed_file_means_what_its_maker_says(seed: Path) -> None:
    expected = decode((FIXTURES / "seed-store.snapshot.json").read_bytes(), AgentPoolSnapshot)
    async with SqliteAgentPoolStore.open(seed) as store:
        assert await store.snapshot(SEED_POOL) == expected
        assert await store.open_pool(SEED_POOL) == expected
        assert len(await store.read(SEED_POOL)) == 20
        assert await store.next_event_sequence(SEED_POOL) == 20


async def test_the_records_of_the_seed_file_encode_to_its_bytes(seed: Path) -> None:
    async with SqliteAgentPoolStore.open(seed) as store:
        ours = [encode(record.payload).decode() for record in await store.read(SEED_POOL)]
    assert ours == [payload for _, _, payload in records(seed, SEED_POOL)]


async def test_messages_and_wakes_of_the_seed_file_can_be_looked_up(seed: Path) -> None:
    expected = json.loads((FIXTURES / "seed-store.snapshot.json").read_text(encoding="utf-8"))
    async with SqliteAgentPoolStore.open(seed) as store:
        for stored in expected["messages"]:
            key = stored["message"]["idempotency_key"]
            receipt = await store.message_receipt(SEED_POOL, key)
            assert json.loads(encode(receipt)) == stored["receipt"]
        for stored in expected["wakes"]:
            wake = await store.wake(SEED_POOL, stored["condition"]["condition_id"])
            assert json.loads(encode(wake)) == stored


async def test_the_seed_file_stays_as_it_was_for_others(seed: Path) -> None:
    tables = ("agent_pool_records", "agent_pool_event_seq")
    before = [described(seed, table) for table in tables]
    async with SqliteAgentPoolStore.open(seed) as store:
        cursor = await store.join_member(SEED_POOL, member(7))
        watcher = store.watch(SEED_POOL, AgentPoolStoreCursor(20))
        assert cursor.sequence == 21
        insert(seed, 22, "member_left", LEFT, SEED_POOL)
        assert await send(store, "a", SEED_POOL) == 23
        assert [each.cursor.sequence for each in await take(watcher, 3)] == [21, 22, 23]
    columns, rows = described(seed, tables[0])
    assert (columns, rows[:20]) == before[0]
    assert described(seed, tables[1]) == before[1]


def described(path: Path, table: str) -> tuple[object, list[object]]:
    """Give the definition and the rows of a table."""
    with sql(path) as connection:
        columns = connection.execute(f"PRAGMA table_xinfo({table})").fetchall()
        [text] = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,))
        rows = connection.execute(f"SELECT * FROM {table} ORDER BY pool_id, seq").fetchall()
    return (columns, text), rows


async def test_a_foreign_writer_waits_for_nobody_who_only_reads(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    watcher = store.watch(POOL)
    await take(watcher, 1)
    await store.snapshot(POOL)
    with sql(path) as connection:
        connection.execute("PRAGMA busy_timeout = 0")
        connection.execute("BEGIN IMMEDIATE")
        row = (POOL, 2, "member_joined", JOINED)
        connection.execute("INSERT INTO agent_pool_records VALUES (?, ?, ?, ?)", row)
        connection.execute("COMMIT")
        [busy, *_] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert busy == 0  # a watcher that pauses pins no write-ahead log
    assert [each.cursor.sequence for each in await take(watcher, 1)] == [2]
