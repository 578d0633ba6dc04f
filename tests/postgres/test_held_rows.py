"""Rows that another client is writing just now are waited for, as long as a call may wait."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NoReturn, TypeAlias

import psycopg
import pytest

from agentpool import AgentPoolStore, StoreBusyError, open_store
from agentpool.rules.command import Command, PoolView
from agentpool.rules.consequences import CatchUp
from agentpool.rules.holding import Holding
from agentpool.rules.membership import HoldRun
from agentpool.rules.rows import LEASE, deadline_key
from agentpool.runtime.heartbeat import Heartbeats
from agentpool.stores.batch.raw import RawPool
from agentpool.stores.postgres.lanes import MOMENT
from agentpool.stores.turns import Ending
from agentpool.testing import a_member
from agentpool.wire.content import OCTETS, content_ref

from .server import Server
from .working import BOUND, POOL, names, opened, send

Held: TypeAlias = AbstractAsyncContextManager[psycopg.Connection[Any]]

BODY = b"a body"
OTHER = "pool.other"
LEASE_MILLIS = 3_600_000
HELD_SECONDS = 4 * MOMENT


@asynccontextmanager
async def holding(url: str, statement: str, *values: Any) -> AsyncIterator[psycopg.Connection[Any]]:
    """Keep what a statement wrote uncommitted, for the length of the block."""
    with psycopg.connect(url) as connection:
        connection.execute(statement.encode(), values)
        yield connection


@pytest.fixture
async def store(postgres_url: str, schema: str) -> AsyncIterator[AgentPoolStore]:
    async with open_store(postgres_url, schema=schema, busy_timeout=30) as store:
        yield store


async def test_a_pool_that_another_makes_at_the_same_time_is_waited_for(
    store: AgentPoolStore, postgres_url: str, schema: str
) -> None:
    made = f'INSERT INTO "{schema}".pools (pool_id) VALUES (%s)'
    async with holding(postgres_url, made, "pool.new") as connection:
        opening = asyncio.ensure_future(store.open_pool("pool.new"))
        await store.open_pool("pool.other")
        await asyncio.sleep(HELD_SECONDS)
        assert not opening.done()
        connection.commit()
        await opening
    assert sorted(await store.pool_ids()) == ["pool.new", "pool.other"]


async def test_a_body_that_another_puts_at_the_same_time_is_waited_for(
    store: AgentPoolStore, postgres_url: str, schema: str
) -> None:
    put = f'INSERT INTO "{schema}".content (sha256, media_type, data) VALUES (%s, %s, %s)'
    async with holding(postgres_url, put, content_ref(BODY), OCTETS, BODY) as connection:
        putting = asyncio.ensure_future(store.put_content(BODY))
        await asyncio.sleep(HELD_SECONDS)
        assert not putting.done()
        connection.commit()
        assert await putting == content_ref(BODY)
    assert await store.get_content(content_ref(BODY)) == BODY


async def test_what_is_held_for_too_long_is_told_to_be_busy(postgres_url: str, schema: str) -> None:
    async with open_store(postgres_url, schema=schema, busy_timeout=HELD_SECONDS) as store:
        put = f'INSERT INTO "{schema}".content (sha256, media_type, data) VALUES (%s, %s, %s)'
        async with holding(postgres_url, put, content_ref(BODY), OCTETS, BODY):
            with pytest.raises(StoreBusyError):
                await store.put_content(BODY)
        assert await store.put_content(BODY) == content_ref(BODY)


def holding_pool(url: str, schema: str, pool_id: str = POOL) -> Held:
    """Hold a pool for the length of the block, as a client that is in a transaction does."""
    lock = f'SELECT FROM "{schema}".pools WHERE pool_id = %s FOR UPDATE'
    return holding(url, lock, pool_id)


async def test_a_write_gives_up_after_the_timeout_and_writes_nothing(
    postgres: Server, schema: str
) -> None:
    url = postgres.url()
    async with opened(url, schema, busy_timeout=HELD_SECONDS) as store:
        async with holding_pool(url, schema), asyncio.timeout(BOUND):
            calls = (send(store, name) for name in "abc")
            errors = await asyncio.gather(*calls, return_exceptions=True)
            assert {isinstance(error, StoreBusyError) for error in errors} == {True}
            assert len(set(errors)) == 3
            said = f"schema \"{schema}\": another client held pool '{POOL}' for {HELD_SECONDS} s"
            assert all(said in str(error) for error in errors)
        assert names(postgres, schema) == {}
        assert await send(store, "a") == 2


async def test_rows_of_a_log_that_are_held_for_too_long_are_told_to_be_busy(
    postgres: Server, schema: str
) -> None:
    url = postgres.url()
    async with opened(url, schema, busy_timeout=HELD_SECONDS) as store:
        async with (
            holding(url, f'LOCK TABLE "{schema}".records IN SHARE MODE'),
            asyncio.timeout(BOUND),
        ):
            with pytest.raises(StoreBusyError, match=POOL):
                await send(store, "a")
        assert await send(store, "a") == 2


async def test_leases_in_other_pools_are_renewed_while_one_is_held_for_too_long(
    postgres: Server, schema: str
) -> None:
    url = postgres.url()
    async with opened(url, schema, busy_timeout=HELD_SECONDS) as store:
        beats = Heartbeats(store)
        for pool_id in (POOL, OTHER):
            await store.open_pool(pool_id)
            await store.execute(pool_id, CatchUp())
            held = Holding(a_member("run.a"), "1", "test", LEASE_MILLIS)
            await store.execute(pool_id, HoldRun(held))
            beats.add_holding(pool_id, held, Ending("lost"))

        def end_of_lease(view: PoolView) -> int:
            row = view.row(deadline_key(LEASE, "run.a"))
            assert row is not None
            return row.due_at

        async with holding_pool(url, schema), asyncio.timeout(BOUND):
            beats._schedule(1)
            beating = asyncio.create_task(beats.run())
            ends = {await store.query(OTHER, end_of_lease)}
            while len(ends) < 4:  # each beat fails in the pool that is held, and comes again
                await asyncio.sleep(MOMENT)
                ends.add(await store.query(OTHER, end_of_lease))
        beating.cancel()
        await asyncio.wait([beating])


class Bug(Exception):  # noqa: N818  # it stands for anything that nobody expects
    pass


class BreakingItsBatch(Command[None]):
    """A command that fails, for which the others of its batch are tried alone.

    :param when_alone: called when it is tried alone itself, before them
    """

    def __init__(self, when_alone: Callable[[], object]) -> None:
        self._calls: Iterator[Callable[[], object]] = iter((lambda: None, when_alone))

    def decide(self, _: PoolView) -> NoReturn:
        next(self._calls)()
        raise Bug


async def test_a_pool_that_is_held_when_a_command_is_tried_alone_is_waited_for(
    store: AgentPoolStore, postgres_url: str, schema: str
) -> None:
    for pool_id in (OTHER, POOL):
        await store.open_pool(pool_id)
    with psycopg.connect(postgres_url) as connection:
        lock = f'SELECT FROM "{schema}".pools WHERE pool_id = %s FOR UPDATE'
        breaking = BreakingItsBatch(lambda: connection.execute(lock.encode(), [POOL]))
        broken = asyncio.ensure_future(store.execute(OTHER, breaking))
        sending = asyncio.ensure_future(send(store, "a"))
        with pytest.raises(Bug):
            await broken
        await asyncio.sleep(HELD_SECONDS)
        assert not sending.done()
        connection.rollback()
        async with asyncio.timeout(BOUND):
            assert await sending == 2


async def test_a_pool_that_is_held_is_waited_for_to_be_rewritten(
    postgres: Server, schema: str
) -> None:
    url = postgres.url()

    def head(pool: RawPool) -> int:
        return pool.source.head()

    async with opened(url, schema) as store, holding_pool(url, schema) as connection:
        rewriting = asyncio.ensure_future(store.rewrite(POOL, head, durable=True))
        await store.open_pool(OTHER)
        await asyncio.sleep(HELD_SECONDS)
        assert not rewriting.done()
        connection.rollback()
        async with asyncio.timeout(BOUND):
            assert await rewriting == 1
    async with opened(url, schema, busy_timeout=HELD_SECONDS) as store, holding_pool(url, schema):
        with pytest.raises(StoreBusyError, match=f"{HELD_SECONDS} s"):
            await store.rewrite(POOL, head, durable=True)


async def test_only_reads_of_a_pool_wait_for_what_becomes_of_a_cancelled_call_in_it(
    store: AgentPoolStore, postgres_url: str, schema: str
) -> None:
    for pool_id in (POOL, OTHER):
        await store.open_pool(pool_id)
    async with holding_pool(postgres_url, schema) as connection:
        sending = asyncio.ensure_future(send(store, "a"))
        await asyncio.sleep(HELD_SECONDS)  # by now it waits apart
        sending.cancel()
        of_pool = asyncio.ensure_future(store.message_receipt(POOL, "key.a"))
        of_all = asyncio.ensure_future(store.pool_ids())
        async with asyncio.timeout(BOUND):
            assert await store.message_receipt(OTHER, "key.a") is None
            assert (await store.due([OTHER]))[OTHER].head == 1
        assert not of_pool.done()
        assert not of_all.done()
        connection.rollback()
        async with asyncio.timeout(BOUND):
            assert await of_pool is not None
            assert sorted(await of_all) == [OTHER, POOL]


async def test_many_pools_that_are_held_are_found_at_once(postgres: Server, schema: str) -> None:
    url, ids = postgres.url(), [f"pool.{number:02}" for number in range(20)]
    lock = f'SELECT FROM "{schema}".pools WHERE pool_id <> %s FOR UPDATE'
    async with opened(url, schema) as store:
        for pool_id in (*ids, OTHER):
            await store.open_pool(pool_id)
        pipeline = store._opened.writer.engine.pipeline
        before = pipeline.trips
        async with holding(url, lock, OTHER), asyncio.timeout(BOUND):
            waiting = [asyncio.ensure_future(send(store, "a", each)) for each in ids]
            assert await send(store, "a", OTHER) == 2
            assert pipeline.trips - before < 10
            assert not any(each.done() for each in waiting)
        async with asyncio.timeout(BOUND):
            assert await asyncio.gather(*waiting) == [2] * 20


async def test_pools_are_waited_for_whose_whole_table_is_held(
    store: AgentPoolStore, postgres_url: str, schema: str
) -> None:
    for pool_id in (POOL, OTHER):
        await store.open_pool(pool_id)
    lock = f'LOCK TABLE "{schema}".pools IN EXCLUSIVE MODE'
    async with holding(postgres_url, lock) as connection, asyncio.timeout(BOUND):
        sending = [asyncio.ensure_future(send(store, "a", each)) for each in (POOL, OTHER)]
        await asyncio.sleep(HELD_SECONDS)
        assert not any(each.done() for each in sending)
        connection.rollback()
        assert await asyncio.gather(*sending) == [2, 2]
