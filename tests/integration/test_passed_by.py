"""A record that another program left, and that cannot be read, stops nothing of its pool."""

import asyncio
import logging
from pathlib import Path

import pytest

from agentpool import (
    AgentPool,
    CorruptRecordError,
    EventFilter,
    EventKind,
    RunAddress,
    SqliteAgentPoolStore,
    StoreError,
    UnknownRecordError,
    include,
)
from agentpool.doctor import examine

from .helpers import BOUND, POOL, member, sql, worker

BAD = {
    "an unknown kind": ("'job_queued', '{\"type\":\"job_queued\"}'", UnknownRecordError),
    "a kind that is no UTF-8": ("CAST(x'ff66' AS TEXT), '{}'", UnknownRecordError),
    "a message that is no JSON": ("'run_message', '{'", CorruptRecordError),
    "a message without fields": ("'run_message', '{\"type\":\"run_message\"}'", CorruptRecordError),
    "a wake that is a number": ("'wake', 7", CorruptRecordError),
    "a message that is too long": ("'run_message', hex(zeroblob(8400000))", CorruptRecordError),
    "an unknown kind, and long": ("'job_queued', hex(zeroblob(8400000))", UnknownRecordError),
}  # fmt: skip


@pytest.fixture(params=[*BAD])
def bad(request: pytest.FixtureRequest) -> tuple[str, type[Exception]]:
    return BAD[request.param]


def append(path: Path, values: str) -> int:
    """Append a record by plain SQL, as another program does."""
    with sql(path) as connection:
        [head] = connection.execute(
            "SELECT max(seq) FROM agent_pool_records WHERE pool_id = ?", (POOL,)
        ).fetchone()
        insert = f"INSERT INTO agent_pool_records VALUES (?, ?, {values})"
        connection.execute(insert, (POOL, head + 1))
    return int(head) + 1


async def use(pool: AgentPool) -> None:
    """Do what members of a pool do, with one another."""
    async with pool.member(member(1)) as me, pool.member(member(2)) as you:
        joined = EventFilter(kinds=include(EventKind.AGENT_POOL_RUN_JOINED))
        assert (await me.wait_until(joined)).triggered
        asking = asyncio.create_task(me.ask(RunAddress.run(you.run_id), "hello"))
        async with await you.inbox.take() as delivery:
            await delivery.reply("hello")
        [answer] = await asking
        assert answer.sender == you.run_id
        nothing = EventFilter(run_ids=include("run.nobody"))
        assert not (await me.wait_until(nothing, timeout=0.01)).triggered
        await pool.store.next_event_sequence(POOL)


def passed_by(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.message for each in caplog.records if each.levelno == logging.WARNING]


async def test_everything_that_does_not_need_it_goes_on(
    path: Path, bad: tuple[str, type[Exception]], caplog: pytest.LogCaptureFixture
) -> None:
    values, error = bad
    async with asyncio.timeout(BOUND):
        async with SqliteAgentPoolStore.open(path) as store, AgentPool.open(store, POOL) as pool:
            await use(pool)
            caplog.clear()
            seq = append(path, values)
            await use(pool)
            with pytest.raises(error) as caught:
                await store.read(POOL)
            assert getattr(caught.value, "seq", None) == seq
        [told] = passed_by(caplog)
        assert f"record {seq}" in told
        assert told.startswith("passed by for good")
        caplog.clear()
        async with SqliteAgentPoolStore.open(path) as store, AgentPool.open(store, POOL) as pool:
            await use(pool)
        assert not [each for each in passed_by(caplog) if "passed by" in each]


async def test_one_that_is_there_at_opening_is_passed_by_once(
    path: Path, bad: tuple[str, type[Exception]], caplog: pytest.LogCaptureFixture
) -> None:
    values, _ = bad
    async with asyncio.timeout(BOUND):
        async with SqliteAgentPoolStore.open(path) as store:
            await store.open_pool(POOL)
            append(path, values)
            for _ in range(2):
                async with AgentPool.open(store, POOL) as pool:
                    await use(pool)
    assert len([each for each in passed_by(caplog) if "passed by" in each]) == 1


async def test_a_process_that_follows_a_pool_does_not_read_a_record_that_is_too_long(
    path: Path,
) -> None:
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)
        async with worker("follow.py", path) as process:
            before = int(await process.line())
            seq = append(path, "'run_message', hex(zeroblob(20000000))")
            error, after = await process.line(), int(await process.line())
        assert f"record {seq}" in error
        assert after - before < 20_000  # kilobytes, of 40 million characters
        assert await store.next_event_sequence(POOL) == 1


async def test_a_log_that_lost_its_newest_records_is_refused_and_nothing_hangs(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path) as store, AgentPool.open(store, POOL) as pool:
        await use(pool)
    with sql(path) as connection:
        connection.execute("DELETE FROM agent_pool_records WHERE seq > 5")
    async with asyncio.timeout(BOUND), SqliteAgentPoolStore.open(path) as store:
        with pytest.raises(StoreError, match=r"the log ends at record 5, but record \d+ was"):
            await AgentPool.open(store, POOL)
        with pytest.raises(StoreError, match="its newest records are gone"):
            await AgentPool(store, POOL).join_run(member(3))
        assert await store.next_event_sequence(POOL) > 0
        assert len(await store.read(POOL)) == 5


@pytest.mark.parametrize("damage", ["payload_json = '{'", "payload_json = 7", "kind = 'future'"])
async def test_a_message_that_cannot_be_read_blocks_no_inbox(path: Path, damage: str) -> None:
    async with asyncio.timeout(BOUND):
        async with SqliteAgentPoolStore.open(path) as store, AgentPool.open(store, POOL) as pool:
            for number in (1, 2):
                await pool.join_run(member(number))
            ref = await store.put_content(b"hello")
            me = pool.acting_as(member(1))
            places = [
                (await me.send(RunAddress.run("run.2"), ref), len(await store.read(POOL)))[1]
                for _ in range(2)
            ]
            with sql(path) as connection:
                update = f"UPDATE agent_pool_records SET {damage} WHERE seq = ?"
                connection.execute(update, (places[0],))
            inbox = pool.inbox("run.2")
            assert len(await inbox.peek()) == 1
            async with await inbox.take() as delivery:
                assert delivery.claim.seq == places[1]
            assert await inbox.take(timeout=0) is None
    report = examine(path)
    assert report.exit_code > 0
    assert f"record {places[0]}: " in str(report)
