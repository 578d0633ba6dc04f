"""A message and its body in a file: one transaction, of which both come or neither."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from agentpool import (
    AgentPool,
    CorruptRecordError,
    InvalidValueError,
    RunAddress,
    SqliteAgentPoolStore,
    StoreError,
)
from agentpool.stores.sqlite import engine
from agentpool.stores.sqlite.connection import write_transaction
from agentpool.testing import a_member

from .helpers import POOL, sql

ME, TO = a_member("run.a"), RunAddress.run("run.a")


def counted(path: Path) -> tuple[int, int]:
    """Count the bodies and the records of messages, by plain SQL."""
    with sql(path) as connection:
        [bodies] = connection.execute("SELECT count(*) FROM agentpool_content").fetchone()
        [messages] = connection.execute(
            "SELECT count(*) FROM agent_pool_records WHERE kind = 'run_message'"
        ).fetchone()
    return bodies, messages


@contextmanager
def in_the_way(path: Path, trigger: str) -> Iterator[None]:
    """Let a trigger of another program be in the way, for the block."""
    with sql(path) as connection:
        connection.execute(f"CREATE TRIGGER in_the_way {trigger}")
    yield
    with sql(path) as connection:
        connection.execute("DROP TRIGGER in_the_way")


@pytest.mark.parametrize(
    "trigger",
    [
        "BEFORE INSERT ON agent_pool_records BEGIN SELECT RAISE(ABORT, 'no'); END",
        "BEFORE INSERT ON agentpool_content BEGIN SELECT RAISE(ABORT, 'no'); END",
        "BEFORE INSERT ON agentpool_content BEGIN SELECT RAISE(IGNORE); END",
        "AFTER INSERT ON agentpool_rows BEGIN SELECT RAISE(ABORT, 'no'); END",
    ],
)
async def test_where_one_cannot_be_written_neither_is(
    trigger: str, store: SqliteAgentPoolStore, path: Path
) -> None:
    async with AgentPool.open(store, POOL) as pool:
        await pool.join_run(ME)
        me = pool.acting_as(ME)
        with in_the_way(path, trigger):
            with pytest.raises(StoreError):
                await me.send(TO, "hello")
            assert counted(path) == (0, 0)
        await me.send(TO, "hello")
        assert counted(path) == (1, 2)


@pytest.mark.parametrize("table", ["agentpool_content", "agentpool_rows"])
async def test_where_an_event_or_its_body_cannot_be_written_neither_is(
    table: str, store: SqliteAgentPoolStore, path: Path
) -> None:
    async with AgentPool.open(store, POOL) as pool:
        await pool.join_run(ME)
        me = pool.acting_as(ME)
        trigger = f"BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'no'); END"
        with in_the_way(path, trigger):
            with pytest.raises(StoreError):
                await me.publish("build.done", "hello")
            assert counted(path) == (0, 0)
        assert await me.publish("build.done", "hello") == 1
        assert counted(path) == (1, 0)


async def test_a_message_with_its_body_is_one_commit(
    store: SqliteAgentPoolStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []

    def counting(*arguments: Any) -> AbstractContextManager[None]:
        begun.append(len(begun))
        return write_transaction(*arguments)

    async with AgentPool.open(store, POOL) as pool:
        await pool.join_run(ME)
        me = pool.acting_as(ME)
        monkeypatch.setattr(engine, "write_transaction", counting)
        for body in ("text", b"bytes", {"n": 1}, "long" * 30_000):
            begun.clear()
            await me.send(TO, body)
            assert len(begun) == 1
        assert counted(path) == (4, 8)
        begun.clear()
        await me.send_many([(TO, f"body {number}") for number in range(64)])
        assert len(begun) == 1


async def test_a_damaged_body_is_whole_again_once_it_is_sent_again(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    async with AgentPool.open(store, POOL) as pool:
        await pool.join_run(ME)
        me = pool.acting_as(ME)
        await me.send(TO, "hello", idempotency_key="key")
        with sql(path) as connection:
            connection.execute("UPDATE agentpool_content SET data = x'00', media_type = x'ff'")
        async with await me.inbox.take() as delivery:
            for reading in (delivery.text, delivery.json, delivery.bytes, delivery.media_type):
                with pytest.raises(CorruptRecordError):
                    await reading()
            await me.send(TO, "hello", idempotency_key="key")
            assert await delivery.text() == "hello"


async def test_a_store_sends_bodies_as_large_as_it_was_told(path: Path) -> None:
    async with (
        SqliteAgentPoolStore.open(path, max_body=10) as store,
        AgentPool.open(store, POOL) as pool,
        pool.member(ME) as me,
    ):
        await me.send(TO, "x" * 10)
        for body in ("x" * 11, b"x" * 11, ["x" * 11]):
            with pytest.raises(InvalidValueError, match=r"body: 1\d bytes .* 10 .* max_body"):
                await me.send(TO, body)
    assert counted(path) == (1, 2)


async def test_bodies_are_read_by_other_handles_and_after_reopening(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path) as store, AgentPool.open(store, POOL) as pool:
        await pool.join_run(ME)
        await pool.acting_as(ME).send(TO, {"n": 1})
        async with SqliteAgentPoolStore.open(path) as other, AgentPool.open(other, POOL) as same:
            [sent] = await same.inbox("run.a").peek()
            assert await same.body(sent).json() == {"n": 1}
    async with (
        SqliteAgentPoolStore.open(path) as store,
        AgentPool.open(store, POOL) as pool,
        await pool.inbox("run.a").take() as delivery,
    ):
        assert await delivery.json() == {"n": 1}
