"""Rows that another client is writing just now are waited for, as long as a call may wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from agentpool import AgentPoolStore, StoreBusyError, open_store
from agentpool.stores.postgres.lanes import MOMENT
from agentpool.wire.content import OCTETS, content_ref

BODY = b"a body"
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
