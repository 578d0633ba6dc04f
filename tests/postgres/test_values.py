"""Values at the edges of what is allowed, and databases that are not as the usual ones."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from uuid import uuid4

import pytest

from agentpool import (
    AgentPool,
    AgentPoolMember,
    AgentPoolStore,
    AgentPoolStoreCursor,
    IncompatibleStoreError,
    InMemoryAgentPoolStore,
    RunAddress,
    UnknownRecord,
)
from agentpool.stores.postgres import PostgresAgentPoolStore
from agentpool.testing import a_condition

from .server import Server

U64_MAX = 2**64 - 1
LONG = "\U0001f980" * 128
"""As long as an id may be, in characters of four bytes that compress to nothing of note."""
UNLIKE = "".join(chr(0x10000 + 97 * each) for each in range(128))
"""As long, and of characters that do not repeat."""
IDS = (
    LONG,
    UNLIKE,
    "é",
    "e\u0301",
    "E",
    "a",
    "Z",
    "\u00df",
    "_",
    "-a",
    "A b",
    "'\"\\%$1",
    "\ufb01",
)


@pytest.fixture(params=["C.UTF-8", "icu", "C"])
def url(request: pytest.FixtureRequest, postgres: Server) -> Iterator[str]:
    """Make a database in a collation, and give its URL."""
    has_icu = "SELECT count(*) > 10 FROM pg_collation WHERE collprovider = 'i'"
    if request.param == "icu" and postgres.sql(has_icu) == [(False,)]:
        pytest.skip("this server was built without ICU")
    name = f"values_{uuid4().hex}"
    provider = "LOCALE_PROVIDER icu ICU_LOCALE 'en-US'" if request.param == "icu" else ""
    collation = "C" if request.param == "icu" else request.param
    postgres.sql(
        f"""CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' {provider}
        LC_COLLATE '{collation}' LC_CTYPE '{collation}'"""
    )
    yield postgres.url(name)
    postgres.sql(f"DROP DATABASE {name} WITH (FORCE)")


async def answers(store: AgentPoolStore) -> list[object]:
    """Do the same in any store, and list all that it gives."""
    for pool_id in IDS:
        await store.open_pool(pool_id)
    found: list[object] = [sorted(await store.pool_ids())]
    async with AgentPool.open(store, UNLIKE) as pool:
        for run_id in IDS:
            await pool.join_run(AgentPoolMember(run_id, run_id, topics=(run_id,)))
            condition = a_condition(run_id, run_id=run_id, idempotency_key=run_id)
            await pool.suspend_until(run_id, condition)
        me = pool.acting_as(AgentPoolMember(LONG, LONG))
        for run_id in IDS:
            to = RunAddress.topic(run_id)
            await me.send(to, body=f"\0{run_id}\0", message_id=run_id, idempotency_key=run_id)
        found.append([each.run_id for each in await pool.members()])
        for run_id in IDS:
            taken = await pool.inbox(run_id).take_many(10)
            found.append([await me.read(each.message) for each in taken])
            await pool.inbox(run_id).ack_many(taken)
            found.append(await store.message_receipt(UNLIKE, run_id))
            found.append(await store.wake_registration(UNLIKE, run_id))
            found.append(await store.message_receipt(UNLIKE, f"{run_id[:100]} "))
    return [*found, *(each.payload for each in await store.read(UNLIKE))]


async def test_ids_are_compared_byte_by_byte_in_any_collation(url: str) -> None:
    async with InMemoryAgentPoolStore() as memory:
        expected = await answers(memory)
    async with PostgresAgentPoolStore.open(url) as store:
        assert await answers(store) == expected


async def test_the_largest_cursor_has_nothing_after_it(postgres_url: str, schema: str) -> None:
    async with PostgresAgentPoolStore.open(postgres_url, schema=schema) as store:
        await store.open_pool(UNLIKE)
        for last in (2**63 - 1, 2**63, U64_MAX):
            cursor = AgentPoolStoreCursor(last)
            assert await store.read(UNLIKE, cursor) == []
            async with aclosing(store.watch(UNLIKE, cursor)) as watcher:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(anext(watcher), 0.05)


async def test_a_zero_in_json_of_others_is_read_as_it_is(
    postgres: Server, schema: str, postgres_url: str
) -> None:
    payload = r'{"type":"of_others","text":"a\u0000b"}'
    async with PostgresAgentPoolStore.open(postgres_url, schema=schema) as store:
        await store.open_pool(LONG)
        postgres.sql(
            f"""INSERT INTO "{schema}".records (pool, seq, kind, payload)
            SELECT pool, 2, 'of_others', %s FROM "{schema}".pools""",
            payload,
        )
        _, record = await store.read(LONG, keep_unknown=True)
        assert isinstance(record.payload, UnknownRecord)
        assert record.payload.kind == "of_others"
        assert await store.record_pool_created(LONG) == AgentPoolStoreCursor(3)


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
async def test_a_database_that_cannot_hold_every_text_is_refused(
    postgres: Server, encoding: str
) -> None:
    name = f"values_{uuid4().hex}"
    url = postgres.create_database(name, encoding=encoding)
    try:
        for create in (True, False):
            with pytest.raises(IncompatibleStoreError, match=f"encoding {encoding}.*UTF8"):
                await PostgresAgentPoolStore.open(url, create=create)
    finally:
        postgres.sql(f"DROP DATABASE {name} WITH (FORCE)")
