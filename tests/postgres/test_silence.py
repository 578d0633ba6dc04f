"""What nobody tells of is found all the same: by a look now and then, and after each connection."""

import asyncio
from contextlib import aclosing

import pytest

from agentpool import AgentPool, AgentPoolMember, RunAddress
from agentpool.stores.postgres import bell
from agentpool.stores.postgres.bell import Ringer

from .server import Server
from .working import BOUND, POOL, opened, send


async def test_a_commit_that_was_not_told_is_found(
    postgres: Server, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell, "NET_SECONDS", 0.2)
    monkeypatch.setattr(Ringer, "ring", lambda *_: None)  # killed before that
    reader = AgentPoolMember("run.reader", "agent.a")
    async with (
        asyncio.timeout(BOUND),
        opened(postgres.url(), schema) as store,
        opened(postgres.url(), schema) as other,
        AgentPool.open(store, POOL) as pool,
        AgentPool.open(other, POOL) as sending,
        aclosing(store.watch(POOL)) as watcher,
    ):
        await pool.join_run(reader)
        for _ in await store.read(POOL):
            await anext(watcher)
        for number in range(3):
            following = asyncio.ensure_future(anext(watcher))
            last = await send(other, str(number))
            assert (await following).cursor.sequence == last
        taking = asyncio.create_task(pool.inbox("run.reader").take())
        me = sending.acting_as(reader)
        await me.send(RunAddress.run("run.reader"), content_ref="content.1")
        assert (await taking).message.content_ref == "content.1"


async def test_what_was_told_while_nobody_listened_is_found(
    postgres: Server, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell, "NET_SECONDS", BOUND)
    listeners = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'agentpool' AND query LIKE 'LISTEN%'"""
    async with (
        asyncio.timeout(BOUND),
        opened(postgres.url(), schema) as store,
        opened(postgres.url(), schema) as other,
        aclosing(store.watch(POOL)) as watcher,
    ):
        await anext(watcher)
        for number in range(3):
            following = asyncio.ensure_future(anext(watcher))
            postgres.sql(listeners)
            assert await send(other, str(number)) == number + 2
            assert (await following).cursor.sequence == number + 2
