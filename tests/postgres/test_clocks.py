"""Clients whose clocks are an hour off: leases and deadlines are as ever, by the server's clock."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest
from integration.helpers import worker

from agentpool import AgentPool, AgentPoolMember, MemberLeft, RunAddress
from agentpool.rules.host_events import NextEventSequence

from .server import Server
from .working import BOUND, POOL, opened

WORKER = Path(__file__).parent / "workers" / "other_clock.py"
HOUR = 3600


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
async def test_what_a_client_with_another_clock_holds_is_held_as_long(
    postgres: Server, schema: str, seconds: int
) -> None:
    me = AgentPoolMember("run.me", "agent.a")
    async with (
        opened(postgres.url(), schema) as store,
        AgentPool.open(store, POOL) as pool,
        asyncio.timeout(BOUND),
    ):
        for run_id in ("run.me", "run.far", "run.near"):
            await pool.join_run(AgentPoolMember(run_id, "agent.a"))
            address = RunAddress.run(run_id)
            await pool.acting_as(me).send(address, content_ref=run_id, expires_in=HOUR / 2)
        async with worker(str(WORKER), postgres.url(), schema, POOL, seconds) as other:
            told = int(await other.line())
            assert abs(told - store.clock()) < HOUR * 1000 / 10
            assert [await other.line() for _ in range(2)] == ["run.far", "run.near"]
            assert "run.other" in {each.run_id for each in await pool.members()}
            other.kill()
        near = await pool.inbox("run.near").take()
        assert near.message.content_ref == "run.near"
        assert await pool.inbox("run.far").take(timeout=0.1) is None
        async with aclosing(pool.watch_pool()) as watcher:
            async for record in watcher:
                if isinstance(record.payload, MemberLeft):
                    assert record.payload.member.run_id == "run.other"
                    break
        [(now,)] = postgres.sql("SELECT extract(epoch FROM clock_timestamp())::float8")
        assert abs(now * 1000 - store.clock()) < HOUR * 1000 / 10


@pytest.mark.parametrize("seconds", [60, -60])
@pytest.mark.parametrize("writes", [False, True])
async def test_a_handle_follows_the_clock_of_a_server_that_was_set(
    postgres: Server, schema: str, seconds: int, writes: bool
) -> None:
    async with opened(postgres.url(), schema) as store:
        began = store.clock.began
        store.clock.begin_at(began + seconds * 1000)  # as the server's was until now
        if writes:
            await store.execute(POOL, NextEventSequence())
        else:
            await store.due([POOL])
        assert abs(store.clock.began - began) < BOUND


async def test_what_is_due_only_by_a_former_clock_of_the_server_makes_nobody_try_all_the_time(
    postgres: Server, schema: str
) -> None:
    me = AgentPoolMember("run.me", "agent.a")
    async with opened(postgres.url(), schema) as store, AgentPool.open(store, POOL) as pool:
        await pool.join_run(me)
        lasts = HOUR / 2
        await pool.acting_as(me).send(RunAddress.run("run.me"), content_ref="x", expires_in=lasts)
        pipeline = store._opened.writer.engine.pipeline
        before = pipeline.trips
        store.clock.begin_at(store.clock.began + HOUR * 1000)
        store.notify([POOL])
        await asyncio.sleep(1)
        assert pipeline.trips - before < 20
