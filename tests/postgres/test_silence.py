"""What nobody tells of is found all the same: by a look now and then, and after each connection."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from agentpool import AgentPool, AgentPoolMember, RunAddress
from agentpool.stores.postgres import bell, statements
from agentpool.stores.postgres.bell import Ringer

from .proxy import Proxy
from .server import Server
from .working import BOUND, POOL, opened, pattern, send, until

LISTENERS = """FROM pg_stat_activity
    WHERE application_name = 'agentpool' AND query LIKE 'LISTEN%'"""


async def test_a_commit_that_was_not_told_is_found(
    postgres: Server, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell, "NET_SECONDS", 0.2)
    monkeypatch.setattr(Ringer, "calls", lambda *_: ())  # killed before that
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


async def test_a_commit_whose_answer_was_lost_is_told(
    postgres: Server, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NET_SECONDS", "POLL_SECONDS"):
        monkeypatch.setattr(bell, name, 2 * BOUND)  # nobody looks by time
    calls, told = Ringer.calls, list[Any]()

    def lost_at_first(ringer: Ringer, touched: Any) -> Any:
        told.append(touched)
        return calls(ringer, touched) if len(told) > 1 else ()

    with Proxy(postgres.port) as proxy:
        async with (
            asyncio.timeout(BOUND),
            opened(postgres.url(), schema) as store,
            opened(postgres.url(port=proxy.port), schema) as other,
            aclosing(store.watch(POOL)) as watcher,
        ):
            await anext(watcher)
            following = asyncio.ensure_future(anext(watcher))
            await until(lambda: bool(postgres.sql(f"SELECT pid {LISTENERS}")), "somebody listens")
            monkeypatch.setattr(Ringer, "calls", lost_at_first)
            cut = proxy.cut_at(pattern(other, statements.COMMIT), "answered")
            last = await send(other, "a")
            assert cut.happened
            assert (await following).cursor.sequence == last


async def test_what_was_told_while_nobody_listened_is_found(
    postgres: Server, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NET_SECONDS", "POLL_SECONDS"):
        monkeypatch.setattr(bell, name, 2 * BOUND)
    async with (
        asyncio.timeout(BOUND),
        opened(postgres.url(), schema) as store,
        opened(postgres.url(), schema) as other,
        aclosing(store.watch(POOL)) as watcher,
    ):
        await anext(watcher)
        for number in range(3):
            following = asyncio.ensure_future(anext(watcher))
            postgres.sql(f"SELECT pg_terminate_backend(pid) {LISTENERS}")
            assert await send(other, str(number)) == number + 2
            assert (await following).cursor.sequence == number + 2
