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

from .helpers import POOL, sql


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
