"""A record that cannot be read, or is of an unknown kind, harms nothing but itself."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentpool import (
    AgentPool,
    AgentPoolStoreCursor,
    AskOutcome,
    CorruptRecordError,
    MemberLeft,
    NoAnswerError,
    NotAMemberError,
    RetryClassification,
    RunAddress,
    SqliteAgentPoolStore,
    UnknownRecord,
    UnknownRecordError,
)

from .helpers import POOL, member, send, sql, take

OTHER = "pool.other"
FUTURE = '{"type":"job_queued","job":1}'
KEYED = (
    '{"type":"run_message","stored":{"message":{"message_id":"message.b","idempotency_key":"key.b"}'
)

DAMAGE = {
    "broken JSON": "payload_json = '{\"type\":'",
    "empty text": "payload_json = ''",
    "JSON of another shape": "payload_json = '[]'",
    "JSON null": "payload_json = 'null'",
    "a field is missing": f"payload_json = '{KEYED}}}}}'",
    "a BLOB": "payload_json = x'00ff'",
    "a BLOB of what was text": "payload_json = CAST(payload_json AS BLOB)",
    "a number": "payload_json = 7",
    "no UTF-8": "payload_json = CAST(x'7bff7d' AS TEXT)",
    "kind does not match type": "kind = 'wake'",
}


@pytest.fixture(params=[*DAMAGE.values()], ids=[*DAMAGE])
async def damaged(
    request: pytest.FixtureRequest, path: Path
) -> AsyncIterator[SqliteAgentPoolStore]:
    """Open a store whose record 4 of `POOL`, message b, is damaged; `OTHER` is whole."""
    async with SqliteAgentPoolStore.open(path) as store:
        await fill(store, POOL)
        await fill(store, OTHER)
    damage(path, 4, request.param)
    async with SqliteAgentPoolStore.open(path) as store:
        yield store


async def fill(store: SqliteAgentPoolStore, pool_id: str) -> None:
    await store.open_pool(pool_id)
    await store.join_member(pool_id, member(1))
    for name in "abc":
        await send(store, name, pool_id)


def damage(path: Path, seq: int, change: str) -> None:
    update = f"UPDATE agent_pool_records SET {change} WHERE pool_id = ? AND seq = ?"
    with sql(path) as connection:
        connection.execute(update, (POOL, seq))


async def test_reading_names_the_pool_and_the_record(damaged: SqliteAgentPoolStore) -> None:
    for reading in (damaged.read, damaged.snapshot):
        with pytest.raises(CorruptRecordError) as caught:
            await reading(POOL)
        assert (caught.value.pool_id, caught.value.seq) == (POOL, 4)
        assert caught.value.retry is RetryClassification.REPAIR_NEEDED


async def test_records_before_and_after_it_can_be_read(damaged: SqliteAgentPoolStore) -> None:
    before = await damaged.read(POOL, limit=3)
    after = await damaged.read(POOL, AgentPoolStoreCursor(4))
    assert [record.cursor.sequence for record in before + after] == [1, 2, 3, 5]


async def test_a_watcher_gets_what_is_before_it_and_then_the_error(
    damaged: SqliteAgentPoolStore,
) -> None:
    watcher = damaged.watch(POOL)
    assert [record.cursor.sequence for record in await take(watcher, 3)] == [1, 2, 3]
    with pytest.raises(CorruptRecordError) as caught:
        await take(watcher, 1)
    assert (caught.value.pool_id, caught.value.seq) == (POOL, 4)


async def test_appends_and_lookups_of_whole_records_go_on(damaged: SqliteAgentPoolStore) -> None:
    assert await send(damaged, "d") == 6
    assert await send(damaged, "a") == 3
    receipt = await damaged.message_receipt(POOL, "key.c")
    assert receipt is not None
    assert receipt.message_id == "message.c"


async def test_members_may_come_and_go_beside_a_damaged_message(
    damaged: SqliteAgentPoolStore,
) -> None:
    assert (await damaged.join_member(POOL, member(1))).sequence == 2
    assert (await damaged.join_member(POOL, member(2))).sequence == 6
    assert (await damaged.leave_member(POOL, "run.1"))[1].sequence == 7


async def test_other_pools_are_unharmed(damaged: SqliteAgentPoolStore) -> None:
    assert len((await damaged.snapshot(OTHER)).messages) == 3
    assert await send(damaged, "d", OTHER) == 6
    assert len(await damaged.read(OTHER)) == 6


async def test_commands_of_one_batch_that_meet_it_fail_alone(damaged: SqliteAgentPoolStore) -> None:
    met, *rest = await asyncio.gather(
        send(damaged, "b"),
        send(damaged, "d"),
        send(damaged, "c"),
        send(damaged, "d", OTHER),
        return_exceptions=True,
    )
    assert isinstance(met, int | CorruptRecordError)
    assert [each for each in rest if isinstance(each, Exception)] == []
    assert rest[1:] == [5, 6]


async def test_a_corrupt_member_is_none_and_the_others_go_on(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path) as store:
        await fill(store, POOL)
    damage(path, 2, "payload_json = '{}'")
    async with SqliteAgentPoolStore.open(path) as store:
        assert (await store.join_member(POOL, member(2))).sequence == 6
        with pytest.raises(NotAMemberError):
            await store.leave_member(POOL, "run.1")
        assert (await store.record_pool_created(POOL)).sequence == 7
        assert (await store.join_member(POOL, member(1))).sequence == 8
        assert (await store.leave_member(POOL, "run.1"))[1].sequence == 9
        with pytest.raises(CorruptRecordError):
            await store.snapshot(POOL)


async def test_of_a_pool_whose_config_cannot_be_read_nothing_is_decided(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path) as store:
        await fill(store, POOL)
    damage(path, 1, "payload_json = '{}'")
    async with SqliteAgentPoolStore.open(path) as store:
        for call in (store.open_pool, store.record_pool_created):
            with pytest.raises(CorruptRecordError) as caught:
                await call(POOL)
            assert (caught.value.pool_id, caught.value.seq) == (POOL, 1)
        assert await store.next_event_sequence(POOL) == 1


@pytest.fixture
async def future(path: Path) -> AsyncIterator[SqliteAgentPoolStore]:
    """Open a store whose record 6 is of a kind that a later version writes, and 7 is not."""
    async with SqliteAgentPoolStore.open(path) as store:
        await fill(store, POOL)
        await fill(store, OTHER)
        with sql(path) as connection:
            insert = "INSERT INTO agent_pool_records VALUES (?, ?, ?, ?)"
            left = '{"type":"member_left","member":{"run_id":"run.1","agent_id":"agent.a"}}'
            connection.execute(insert, (POOL, 6, "job_queued", FUTURE))
            connection.execute(insert, (POOL, 7, "member_left", left))
        yield store


async def test_an_unknown_kind_is_an_error_with_its_place(future: SqliteAgentPoolStore) -> None:
    for call in (future.read, future.snapshot):
        with pytest.raises(UnknownRecordError) as caught:
            await call(POOL)
        assert (caught.value.pool_id, caught.value.seq) == (POOL, 6)
        assert caught.value.retry is RetryClassification.USER_ACTION_NEEDED


async def test_what_does_not_need_it_goes_on(future: SqliteAgentPoolStore) -> None:
    assert (await future.record_pool_created(POOL)).sequence == 8
    assert (await future.join_member(POOL, member(2))).sequence == 9
    assert await future.next_event_sequence(POOL) == 1


async def test_reading_can_be_told_to_keep_unknown_kinds(future: SqliteAgentPoolStore) -> None:
    *_, unknown, last = await future.read(POOL, keep_unknown=True)
    assert unknown.payload == UnknownRecord("job_queued", FUTURE)
    assert isinstance(last.payload, MemberLeft)


async def test_a_watcher_can_be_told_to_keep_unknown_kinds(future: SqliteAgentPoolStore) -> None:
    watcher = future.watch(POOL, AgentPoolStoreCursor(5), keep_unknown=True)
    unknown, last = await take(watcher, 2)
    assert unknown.payload == UnknownRecord("job_queued", FUTURE)
    assert isinstance(last.payload, MemberLeft)


async def test_a_watcher_stops_at_an_unknown_kind(future: SqliteAgentPoolStore) -> None:
    watcher = future.watch(POOL, AgentPoolStoreCursor(4))
    await take(watcher, 1)
    with pytest.raises(UnknownRecordError) as caught:
        await take(watcher, 1)
    assert caught.value.seq == 6


async def test_an_unknown_kind_leaves_other_pools_alone(future: SqliteAgentPoolStore) -> None:
    assert await send(future, "d", OTHER) == 6
    assert len((await future.snapshot(OTHER)).messages) == 4


async def test_an_answer_that_was_damaged_hides_none_of_the_others(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path) as store, AgentPool.open(store, POOL) as pool:
        for number in range(1, 5):
            await pool.join_run(member(number))
        me = pool.acting_as(member(1))
        asking = asyncio.create_task(
            me.ask(RunAddress.pool(POOL), "?", expected="all", idempotency_key="key.q")
        )
        for number in (2, 3, 4):
            other = pool.acting_as(member(number))
            async with await other.inbox.take() as delivery:
                await delivery.reply(f"answer {number}")
        assert len(await asking) == 3
    with sql(path) as connection:
        [[damaged]] = connection.execute(
            "SELECT seq FROM agent_pool_records WHERE payload_json LIKE ? AND payload_json LIKE ?",
            (f'%"from":"{member(3).run_id}"%', '%"status":"delivered"%'),
        )
        connection.execute(
            "UPDATE agent_pool_records SET payload_json = '{' WHERE seq = ?", (damaged,)
        )
    async with SqliteAgentPoolStore.open(path) as store, AgentPool.open(store, POOL) as pool:
        me = pool.acting_as(member(1))
        answers = await me.ask(RunAddress.pool(POOL), "?", idempotency_key="key.q")
        assert [await me.read(each) for each in answers] == ["answer 2", "answer 4"]
        assert (answers.unreadable, answers.missing) == ((damaged,), (member(3).run_id,))
        assert answers.outcome is AskOutcome.COMPLETE
        each = me.ask_each(RunAddress.pool(POOL), "?", idempotency_key="key.q")
        assert [answer.sender async for answer in each] == [answers[0].sender, answers[1].sender]


async def test_the_one_answer_that_was_damaged_is_named(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path) as store, AgentPool.open(store, POOL) as pool:
        for number in (1, 2):
            await pool.join_run(member(number))
        me, other = pool.acting_as(member(1)), pool.acting_as(member(2))
        to = RunAddress.run(member(2).run_id)
        asking = asyncio.create_task(me.ask_one(to, "?", idempotency_key="key.q"))
        async with await other.inbox.take() as delivery:
            await delivery.reply("answer")
        await asking
        with sql(path) as connection:
            [seq] = connection.execute(
                "SELECT seq FROM agent_pool_records WHERE payload_json LIKE ? ORDER BY seq DESC",
                ('%"reply_to":%"status":"delivered"%',),
            ).fetchone()
            connection.execute(
                "UPDATE agent_pool_records SET payload_json = '{' WHERE seq = ?", (seq,)
            )
        with pytest.raises(NoAnswerError, match=f"record {seq}, cannot be read"):
            await me.ask_one(to, "?", idempotency_key="key.q")
