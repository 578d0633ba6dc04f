"""What is left behind when a store is closed, or its opening is cancelled or refused: nothing."""

import asyncio
import threading
from contextlib import aclosing

import pytest

from agentpool import AgentPool, AgentPoolMember, IncompatibleStoreError, StoreClosedError
from agentpool.stores.postgres import PostgresAgentPoolStore

from .proxy import Proxy
from .server import Server
from .working import BOUND, POOL, opened, send, sessions, until


async def is_clean(server: Server, tasks: set[object]) -> None:
    """Wait until nothing is left: sessions end at the server, and threads, a moment later."""
    assert asyncio.all_tasks() <= tasks
    for thread in threading.enumerate():
        if thread.name.startswith("agentpool"):
            await asyncio.to_thread(thread.join, BOUND)
            assert not thread.is_alive()
    await until(lambda: not sessions(server), "the end of the sessions")
    locks = "SELECT count(*) FROM pg_locks WHERE locktype IN ('advisory', 'tuple')"
    assert server.sql(locks) == [(0,)]


async def test_a_closed_store_leaves_nothing(postgres: Server, schema: str) -> None:
    before: set[object] = {*asyncio.all_tasks()}
    for _ in range(2):
        async with (
            opened(postgres.url(), schema) as store,
            AgentPool.open(store, POOL) as pool,
            pool.member(AgentPoolMember("run.a", "agent.a"), lease=5.0) as me,
            aclosing(store.watch(POOL)) as watcher,
        ):
            await anext(watcher)
            await me.inbox.take(timeout=0.01)
            waiting = asyncio.ensure_future(me.inbox.take())
            await send(store, "a")
        with pytest.raises(StoreClosedError):
            await waiting
        await is_clean(postgres, before)


async def test_who_is_closed_as_he_begins_to_listen_leaves_nothing(
    postgres: Server, schema: str
) -> None:
    before: set[object] = {*asyncio.all_tasks()}
    for turn in range(12):
        async with opened(postgres.url(), schema) as store:
            watcher = store.watch(POOL)
            await anext(watcher)
            following = asyncio.ensure_future(anext(watcher))
            await asyncio.sleep(turn * 0.001)
        [told] = await asyncio.gather(following, return_exceptions=True)
        assert isinstance(told, StoreClosedError)
        await is_clean(postgres, before)


@pytest.mark.parametrize("turns", [1, 20, 200])
async def test_a_cancelled_opening_leaves_nothing(
    postgres: Server, schema: str, turns: int
) -> None:
    before: set[object] = {*asyncio.all_tasks()}
    with Proxy(postgres.port, delay=0.002) as proxy:

        async def open_() -> None:
            async with opened(postgres.url(port=proxy.port), schema):
                pass

        opening = asyncio.create_task(open_())
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait([opening])
    await is_clean(postgres, before)


async def test_an_opening_that_was_refused_leaves_nothing(postgres: Server, schema: str) -> None:
    before: set[object] = {*asyncio.all_tasks()}
    for create in ("TABLE things (a int)", "TABLE meta (one int, version int)"):
        postgres.sql(f'CREATE SCHEMA "{schema}" CREATE {create}')
        if "version" in create:
            postgres.sql(f'INSERT INTO "{schema}".meta VALUES (1, 1000)')
        with pytest.raises(IncompatibleStoreError):
            await PostgresAgentPoolStore.open(postgres.url(), schema=schema)
        await is_clean(postgres, before)
        postgres.sql(f'DROP SCHEMA "{schema}" CASCADE')


async def test_a_store_whose_server_went_away_is_closed_without_it(
    postgres: Server, schema: str
) -> None:
    before: set[object] = {*asyncio.all_tasks()}
    with Proxy(postgres.port) as proxy:
        async with opened(postgres.url(port=proxy.port), schema) as store:
            watcher = store.watch(POOL)
            await anext(watcher)
            following = asyncio.ensure_future(anext(watcher))
            proxy.close()
            calls = [
                asyncio.ensure_future(send(store, "a")),
                asyncio.ensure_future(store.read(POOL)),
            ]
            await asyncio.sleep(0.05)
        told = await asyncio.gather(*calls, following, return_exceptions=True)
        assert {type(each) for each in told} == {StoreClosedError}
    await is_clean(postgres, before)
