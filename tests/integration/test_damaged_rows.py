"""A damaged row beside the log: what needs it is refused whole, and all else goes on."""

import asyncio
from pathlib import Path

import pytest

from agentpool import (
    AgentPool,
    CorruptRecordError,
    EventFilter,
    MessageResponseContract,
    RunAddress,
    SqliteAgentPoolStore,
)
from agentpool.testing import a_member, a_message
from agentpool.testing.conformance.pool_kit import an_event

from .helpers import BOUND, POOL, sql


async def test_an_answer_that_cannot_be_counted_is_refused_and_not_recorded(path: Path) -> None:
    """Also when it comes in one batch with others, which are recorded."""
    async with SqliteAgentPoolStore.open(path) as store, AgentPool.open(store, POOL) as pool:
        for run_id in ("run.a", "run.b"):
            await pool.join_run(a_member(run_id))
        contract = MessageResponseContract(expected_responses=1)
        await pool.send(a_message("question", response_contract=contract))
        with sql(path) as connection:
            connection.execute("UPDATE agentpool_rows SET value = '{' WHERE kind = 'contract'")
        answer = a_message(
            "answer", sender="run.b", to=RunAddress.run("run.a"), reply_to="question"
        )
        with pytest.raises(CorruptRecordError) as caught:
            await pool.send(answer)
        assert caught.value.pool_id == POOL
        assert "'contract'" in str(caught.value)
        before = len(await store.read(POOL))
        outcomes = await asyncio.gather(
            pool.send(a_message("beside.1")),
            pool.send(answer),
            pool.send(a_message("beside.2")),
            return_exceptions=True,
        )
        assert [isinstance(each, CorruptRecordError) for each in outcomes] == [False, True, False]
        assert len(await store.read(POOL)) == before + 4
        assert await store.message_receipt(POOL, answer.idempotency_key) is None


@pytest.mark.parametrize("value", ["{", "{}"], ids=["no JSON", "no such value"])
async def test_what_cannot_be_read_names_its_pool(path: Path, value: str) -> None:
    """Also where it is only asked for."""
    async with SqliteAgentPoolStore.open(path) as store, AgentPool.open(store, POOL) as pool:
        await pool.join_run(a_member("run.a"))
        await pool.publish(an_event())
        with sql(path) as connection:
            connection.execute("UPDATE agentpool_rows SET value = ? WHERE kind = 'event'", [value])
        for call in (
            lambda: pool.publish(an_event()),
            lambda: anext(pool.subscribe(EventFilter())),
        ):
            with pytest.raises(CorruptRecordError, match="'event'") as caught:
                await call()
            assert caught.value.pool_id == POOL
            assert str(caught.value).startswith(f"pool {POOL!r}: ")


DAMAGED = {
    "a value that is no text": "value = x'7b7d'",
    "a value that is no UTF-8": "value = CAST(x'7bff7d' AS TEXT)",
    "a value that is no JSON": "value = '{'",
    "a time that is no integer": "due_at = 0.5",
    "a time before all time": "due_at = -9e999",
    "a time that is text": "due_at = 'soon'",
    "a time that is no UTF-8": "due_at = CAST(x'ff' AS TEXT)",
    "a negative number": "number = -number",
    "a number that is no integer": "number = number + 0.5",
    "a number that is no UTF-8": "number = CAST(x'ff' AS TEXT)",
}


@pytest.fixture(params=DAMAGED.values(), ids=[*DAMAGED])
def damage(request: pytest.FixtureRequest) -> str:
    return f"UPDATE agentpool_rows SET {request.param}"


async def test_what_is_damaged_in_an_inbox_hides_nothing_else(path: Path, damage: str) -> None:
    """Neither from takes nor from who looks, and who waits behind it waits for the next."""
    async with (
        asyncio.timeout(BOUND),
        SqliteAgentPoolStore.open(path) as store,
        AgentPool.open(store, POOL) as pool,
        pool.member(a_member("run.a")) as me,
    ):
        for number in range(3):
            await me.send(RunAddress.run("run.a"), f"body {number}")
        with sql(path) as connection:
            first = "SELECT min(number) FROM agentpool_rows WHERE kind = 'inbox'"
            connection.execute(f"{damage} WHERE kind = 'inbox' AND number = ({first})")
        assert len(await me.inbox.peek()) == 2
        await pool.explain("run.a")
        for number in (1, 2):
            async with await me.inbox.take() as delivery:
                assert await delivery.text() == f"body {number}"
        waiting = asyncio.create_task(me.inbox.take())
        await asyncio.sleep(0)
        await me.send(RunAddress.run("run.a"), "the next")
        async with await waiting as delivery:
            assert await delivery.text() == "the next"


async def test_a_damaged_dead_letter_hides_none_of_the_others(path: Path, damage: str) -> None:
    async with (
        SqliteAgentPoolStore.open(path) as store,
        AgentPool.open(store, POOL) as pool,
        pool.member(a_member("run.a"), max_attempts=1) as me,
    ):
        for number in range(2):
            await me.send(RunAddress.run("run.a"), f"body {number}")
            await (await me.inbox.take()).nack()
        first, second = await me.inbox.dead()
        with sql(path) as connection:
            connection.execute(f"{damage} WHERE kind = 'dead' AND number = {first.seq}")
        assert second in await me.inbox.dead()
        await me.inbox.retry(second)
        assert (await me.inbox.take()).message == second.message


@pytest.mark.parametrize("value", ["x'7b7d'", "CAST(x'7bff7d' AS TEXT)"])
async def test_a_row_that_is_looked_up_is_said_to_be_damaged(path: Path, value: str) -> None:
    async with (
        SqliteAgentPoolStore.open(path) as store,
        AgentPool.open(store, POOL) as pool,
        pool.member(a_member("run.a"), max_attempts=1) as me,
    ):
        await me.send(RunAddress.run("run.a"), "body")
        await (await me.inbox.take()).nack()
        [letter] = await me.inbox.dead()
        with sql(path) as connection:
            connection.execute(f"UPDATE agentpool_rows SET value = {value} WHERE kind = 'dead'")
        with pytest.raises(CorruptRecordError, match="'dead'") as caught:
            await me.inbox.retry(letter)
        assert caught.value.pool_id == POOL
