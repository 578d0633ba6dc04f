"""A standby takes over: a synchronous one has everything; what another one lost is told."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing

import pytest

from agentpool import (
    AgentPool,
    AgentPoolStoreCursor,
    AgentPoolStoreRecord,
    EventFilter,
    RetryClassification,
    StoreError,
)
from agentpool.stores.postgres import PostgresAgentPoolStore, statements

from .fixtures import StartServer
from .proxy import Proxy
from .server import HOST, USER, Server
from .working import (
    BOUND,
    HELLO,
    POOL,
    Work,
    come,
    go,
    left_by,
    names,
    opened,
    pattern,
    rounds,
    send,
    until,
)

FAILOVERS = rounds("FAILOVERS", 1)


def url_of(*ports: int) -> str:
    places = ",".join(f"{HOST}:{port}" for port in ports)
    return f"postgresql://{USER}@{places}/postgres"


def take_over(primary: Server, standby: Server) -> None:
    primary.stop("immediate")
    standby.promote()


def detach(primary: Server, standby: Server) -> None:
    """Let a standby receive no more, once it has all that there is."""
    [(last,)] = primary.sql("SELECT pg_current_wal_insert_lsn()::text")
    has_all = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
    standby._until(lambda: standby.sql(has_all, last) == [(True,)], "the standby to have all")
    standby.sql("ALTER SYSTEM SET primary_conninfo = ''")
    standby.sql("SELECT pg_reload_conf()")
    standby._until(lambda: not primary._streams(), "the standby to be detached")


@pytest.mark.parametrize("number", range(FAILOVERS))
async def test_a_synchronous_standby_has_all_that_was_acknowledged(
    another_postgres: StartServer, number: int
) -> None:
    primary = another_postgres()
    standby = primary.standby(synchronous=True)
    sent: list[str] = []
    over = asyncio.Event()
    async with opened(url_of(primary.port, standby.port), "agentpool") as store:

        async def sending(task: int) -> None:
            while not over.is_set():
                name = f"{number}.{task}.{len(sent)}"
                await come(store, name)
                await go(store, name)
                await send(store, name)
                sent.append(name)

        tasks = [asyncio.create_task(sending(task)) for task in range(4)]
        await until(lambda: len(sent) > 10, "work")
        await asyncio.to_thread(take_over, primary, standby)
        before = len(sent)
        await until(lambda: len(sent) > before + 10, "work on the other server")
        over.set()
        await asyncio.gather(*tasks)
    found = names(standby, "agentpool")
    assert set(found.values()) == {1}
    assert {*sent} == {name for name in found if " " not in name}


async def next_of(watcher: AsyncGenerator[AgentPoolStoreRecord, None]) -> int:
    async with asyncio.timeout(BOUND):
        return (await anext(watcher)).cursor.sequence


async def test_what_a_detached_standby_has_lost_is_told(
    another_postgres: StartServer, caplog: pytest.LogCaptureFixture
) -> None:
    primary = another_postgres()
    standby = primary.standby()
    url = url_of(primary.port, standby.port)
    async with (
        opened(url, "agentpool") as reading,
        opened(url, "agentpool") as writing,
        AgentPool.open(reading, POOL) as pool,
        aclosing(reading.watch(POOL)) as watcher,
        aclosing(reading.watch("pool.whole")) as undisturbed,
        aclosing(pool.subscribe(EventFilter())) as subscription,
    ):
        await writing.open_pool("pool.whole")
        await send(writing, "kept")
        await asyncio.to_thread(detach, primary, standby)
        cursors = [AgentPoolStoreCursor(await send(writing, each)) for each in ("a", "b")]
        assert [await next_of(watcher) for _ in range(4)] == [1, 2, 3, 4]
        assert await next_of(undisturbed) == 1
        async with asyncio.timeout(BOUND):
            assert len([await anext(subscription) for _ in range(3)]) == 3
        following = [asyncio.ensure_future(anext(each)) for each in (watcher, subscription)]
        going_on = asyncio.create_task(next_of(undisturbed))
        await asyncio.to_thread(take_over, primary, standby)
        async with asyncio.timeout(BOUND):
            told = await asyncio.gather(*following, return_exceptions=True)
        for each in told:
            assert type(each) is StoreError
            assert each.pool_id == POOL
            assert each.retry is RetryClassification.REPAIR_NEEDED
        for store in (reading, writing):
            for cursor in cursors:
                with pytest.raises(StoreError, match="was seen"):
                    await store.read(POOL, cursor)
            assert len(await store.read(POOL)) == 2
        assert await send(writing, "new") == 3
        assert await come(reading, "run.new") == 4
        assert await come(writing, "run.new", "pool.whole") == 2
        assert await going_on == 2
        assert await next_of(reading.watch(POOL, AgentPoolStoreCursor(3))) == 4
    assert names(standby, "agentpool") == {"kept": 1, "new": 1, "run.new member_joined": 1}
    warned = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert {getattr(each, "action", None) for each in warned} == {"another_past"}
    assert len(warned) == 2  # once for each of two handles
    assert "timeline 00000002" in warned[0].getMessage()


def use_up_numbers(primary: Server, standby: Server) -> None:
    """Let others have the numbers of transactions that the standby never heard of."""
    [(last,)] = primary.sql("SELECT pg_current_xact_id()::text::bigint")
    take_over(primary, standby)
    with standby.connect() as connection:
        for _ in range(10_000):
            found = connection.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()
            if found and found[0] > last:
                return
    raise AssertionError


async def lose_commit(store: PostgresAgentPoolStore, proxy: Proxy, pool_id: str, work: Work) -> int:
    """Work, and be away from when the COMMIT was sent until the proxy leads elsewhere."""
    cut = proxy.cut_at(pattern(store, statements.COMMIT), "after")
    for _ in range(1000):
        proxy.cut_at(HELLO)
    working = asyncio.ensure_future(work(store, "a", pool_id))
    await asyncio.to_thread(cut.wait)
    async with asyncio.timeout(BOUND):
        return await working


async def test_the_number_of_a_lost_transaction_is_not_taken_for_another_one_s(
    another_postgres: StartServer,
) -> None:
    primary = another_postgres()
    standby = primary.standby()
    works: dict[str, Work] = {"pool.send": send, "pool.go": go}
    async with AsyncExitStack() as stack:
        proxies = [stack.enter_context(Proxy(primary.port)) for _ in works]
        urls = [primary.url(port=proxy.port) for proxy in proxies]
        stores = [await stack.enter_async_context(opened(url, "agentpool")) for url in urls]
        for store, pool_id in zip(stores, works, strict=True):
            await store.open_pool(pool_id)
            await come(store, "a", pool_id)
        await asyncio.to_thread(detach, primary, standby)
        lost = [
            asyncio.create_task(lose_commit(*each))
            for each in zip(stores, proxies, works, works.values(), strict=True)
        ]

        def all_are_there() -> bool:
            return all(
                left_by(work, "a").items() <= names(primary, "agentpool", pool_id).items()
                for pool_id, work in works.items()
            )

        await until(all_are_there, "the commits that are going to be lost")
        await asyncio.to_thread(use_up_numbers, primary, standby)
        for proxy in proxies:
            proxy.lead_to(standby.port)
        assert await asyncio.gather(*lost) == [3, 3]
    for pool_id, work in works.items():
        assert names(standby, "agentpool", pool_id) == left_by(come, "a") | left_by(work, "a")
