"""Commands that come together are committed together, and stand or fall alone."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from agentpool import (
    AgentPool,
    AgentPoolError,
    IdempotencyConflictError,
    MessageReceipt,
    NotAMemberError,
    PoolNotOpenError,
    SqliteAgentPoolStore,
)
from agentpool.rules.command import Command, Decision, PoolView
from agentpool.testing.values import a_member, a_message

from .helpers import BOUND, POOL, member, records, send, sql


async def count_commits(store: SqliteAgentPoolStore) -> list[str]:
    """List the commits of a store from here on."""
    commits: list[str] = []

    def note(statement: str) -> None:
        if statement.startswith("COMMIT"):
            commits.append(statement)

    await store._writer.run(lambda connection: connection.set_trace_callback(note))
    return commits


async def test_many_concurrent_appends_make_few_commits(store: SqliteAgentPoolStore) -> None:
    commits = await count_commits(store)
    await asyncio.gather(*(send(store, number) for number in range(300)))
    assert len(commits) <= 3


async def test_tasks_that_go_on_appending_share_their_commits(store: SqliteAgentPoolStore) -> None:
    commits = await count_commits(store)

    async def send_some(task: int) -> None:
        for number in range(10):
            await send(store, f"{task}.{number}")

    await asyncio.gather(*map(send_some, range(30)))
    assert len(commits) <= 60  # 300 appends


async def test_others_see_a_batch_whole_or_not_at_all(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    def versions(connection: sqlite3.Connection) -> tuple[int, int]:
        [version] = connection.execute("PRAGMA data_version").fetchone()
        [count] = connection.execute("SELECT count(*) FROM agent_pool_records").fetchone()
        return version, count

    with sql(path) as other:
        seen = {versions(other)}
        sending = asyncio.gather(*(send(store, number) for number in range(200)))
        while not sending.done():
            seen.add(versions(other))
            await asyncio.sleep(0)
        seen.add(versions(other))
    assert {count for _, count in seen} == {1, 201}


class Breaking(Command[None]):
    """A command with a bug."""

    def decide(self, view: PoolView) -> Decision[None]:
        raise ZeroDivisionError(view.pool_id)


async def test_a_consumer_is_woken_for_each_message_of_a_batch_that_broke(
    store: SqliteAgentPoolStore,
) -> None:
    async with AgentPool.open(store, POOL) as pool, asyncio.timeout(BOUND):
        for run_id in ("run.a", "run.b"):
            await pool.join_run(a_member(run_id))
        breaking: Command[Any] = Breaking()
        takers = [asyncio.ensure_future(pool.inbox("run.b").take()) for _ in range(3)]
        await asyncio.wait(takers, timeout=0.05)
        *receipts, broken = await asyncio.gather(
            *(pool.send(a_message(f"message.{number}")) for number in range(3)),
            store.execute(POOL, breaking),
            return_exceptions=True,
        )
        assert isinstance(broken, ZeroDivisionError)
        assert all(isinstance(each, MessageReceipt) for each in receipts)
        taken = await asyncio.gather(*takers)
        assert sorted(each.message.message_id for each in taken) == [
            f"message.{number}" for number in range(3)
        ]


async def test_a_refused_command_does_not_fail_its_batch(store: SqliteAgentPoolStore) -> None:
    commits = await count_commits(store)
    outcomes = await asyncio.gather(
        send(store, "a"),
        store.leave_member(POOL, "run.nobody"),
        send(store, "b"),
        send(store, "a", content_ref="something else"),
        send(store, "c", "pool.never.opened"),
        send(store, "c"),
        return_exceptions=True,
    )
    kinds = [outcome if isinstance(outcome, int) else type(outcome) for outcome in outcomes]
    conflict = IdempotencyConflictError
    assert kinds == [2, NotAMemberError, 3, conflict, PoolNotOpenError, 4]
    assert len(commits) == 1


async def test_each_command_sees_the_effect_of_those_before_it(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    joined, left, joined_again, first, retry = await asyncio.gather(
        store.join_member(POOL, member(1)),
        store.leave_member(POOL, "run.1"),
        store.join_member(POOL, member(1)),
        send(store, "a"),
        send(store, "other id", content_ref="content.a", idempotency_key="key.a"),
    )
    assert (joined.sequence, left[1].sequence, joined_again.sequence) == (2, 3, 4)
    assert first == retry == 5
    assert [seq for seq, _, _ in records(path)] == [1, 2, 3, 4, 5]


async def test_batches_hold_commands_of_several_pools(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    pools = [f"pool.{number}" for number in range(20)]
    await asyncio.gather(*(store.open_pool(pool) for pool in pools))
    commits = await count_commits(store)
    sent = await asyncio.gather(*(send(store, n, pool) for n in range(3) for pool in pools))
    assert len(commits) == 1
    assert sorted(sent) == sorted([2, 3, 4] * 20)
    assert all([seq for seq, _, _ in records(path, pool)] == [1, 2, 3, 4] for pool in pools)


async def test_more_commands_than_fit_a_batch_are_all_committed(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    sent = await asyncio.gather(*(send(store, number) for number in range(3000)))
    assert sent == list(range(2, 3002))
    assert len(records(path)) == 3001


async def test_a_command_cancelled_in_the_queue_has_no_effect(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    with sql(path) as other:
        other.execute("BEGIN IMMEDIATE")
        first = asyncio.create_task(send(store, "first"))
        await store.read(POOL)  # the first is with the writer, which waits for the lock
        queued = asyncio.create_task(send(store, "queued"))
        await store.read(POOL)
        queued.cancel()
        with pytest.raises(asyncio.CancelledError):
            await queued
        other.execute("COMMIT")
    async with asyncio.timeout(BOUND):
        assert await first == 2
    assert await send(store, "third") == 3
    assert await store.message_receipt(POOL, "key.queued") is None


async def test_a_command_cancelled_in_its_batch_has_its_whole_effect(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    with sql(path) as other:
        other.execute("BEGIN IMMEDIATE")
        sending = asyncio.create_task(send(store, "a"))
        await store.read(POOL)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        other.execute("COMMIT")
    assert await send(store, "b") == 3
    assert await send(store, "a") == 2


async def test_errors_of_the_engine_fail_the_batch_but_not_the_next(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    with sql(path) as other:
        other.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON agent_pool_records WHEN new.seq = 5"
            " BEGIN SELECT RAISE(ROLLBACK, 'the transaction is gone'); END"
        )
        outcomes = await asyncio.gather(
            *(send(store, number) for number in range(10)), return_exceptions=True
        )
        assert not [outcome for outcome in outcomes if isinstance(outcome, int)]
        assert len(records(path)) == 1
        other.execute("DROP TRIGGER refuse")
    assert await asyncio.gather(*(send(store, number) for number in range(10))) == list(
        range(2, 12)
    )


WRONG = {
    "a trigger that refuses": "BEFORE INSERT ON agent_pool_records WHEN NEW.pool_id = '{pool}'"
    " BEGIN SELECT RAISE(ABORT, 'no'); END",
    "a trigger that rolls back": "AFTER INSERT ON agent_pool_records WHEN NEW.pool_id = '{pool}'"
    " BEGIN SELECT RAISE(ROLLBACK, 'no'); END",
    "a trigger that swallows": "BEFORE INSERT ON agent_pool_records WHEN NEW.pool_id = '{pool}'"
    " BEGIN SELECT RAISE(IGNORE); END",
    "a trigger that takes away": "AFTER INSERT ON agent_pool_records WHEN NEW.pool_id = '{pool}'"
    " BEGIN DELETE FROM agent_pool_records WHERE pool_id = NEW.pool_id; END",
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_what_is_wrong_with_one_pool_fails_no_call_in_another(
    wrong: str, store: SqliteAgentPoolStore, path: Path
) -> None:
    for pool_id in (POOL, "pool.harmed"):
        await store.open_pool(pool_id)
    with sql(path) as connection:
        connection.execute(f"CREATE TRIGGER wrong {WRONG[wrong].format(pool='pool.harmed')}")
    sending = (
        send(store, number, pool_id) for number in range(10) for pool_id in (POOL, "pool.harmed")
    )
    outcomes = await asyncio.gather(*sending, return_exceptions=True)
    assert all(isinstance(each, AgentPoolError) for each in outcomes[1::2])
    assert outcomes[0::2] == [*range(2, 12)]
    assert len(records(path)) == 11


async def test_whoever_asks_after_a_cancelled_call_is_told_what_came_of_it(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    with sql(path) as other:
        other.execute("BEGIN IMMEDIATE")
        sending = asyncio.ensure_future(send(store, "cancelled"))
        for _ in range(10):
            await asyncio.sleep(0)
        assert store._commits._under_way
        sending.cancel()
        asking = asyncio.ensure_future(store.message_receipt(POOL, "key.cancelled"))
        await asyncio.wait([asking], timeout=0.05)  # the call is under way, and nobody knows
        other.execute("ROLLBACK")
    async with asyncio.timeout(BOUND):
        receipt = await asking
    assert receipt is not None
    assert len(await store.read(POOL)) == 2
