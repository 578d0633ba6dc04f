"""What a server answers in place of doing it: an error of ours, and nothing changed.

The server says it itself, in a trigger, for every code; some are brought about as they come.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import pytest

from agentpool import (
    AgentPool,
    AgentPoolError,
    AgentPoolMember,
    IncompatibleStoreError,
    RunAddress,
    StoreBusyError,
    StoreError,
    StoreFullError,
)
from agentpool.stores.postgres import PostgresAgentPoolStore

from .server import Server
from .working import BOUND, POOL, come, names, opened, pages, send, sessions

STATES: dict[str, type[AgentPoolError]] = {
    "53100": StoreFullError,
    "53200": StoreBusyError,
    "53300": StoreBusyError,
    "57014": StoreBusyError,
    "40P01": StoreBusyError,
    "40001": StoreBusyError,
    "25006": StoreBusyError,
    "42501": IncompatibleStoreError,
    "42P01": StoreError,
    "XX001": StoreError,
    "58030": StoreError,
    "P0001": StoreError,
}
MOMENTS = {"as it is written": "", "at the commit": "DEFERRABLE INITIALLY DEFERRED"}


class Trigger:
    """Fails what appends a record, or puts a row, with a code, until it is removed."""

    def __init__(self, server: Server, schema: str, state: str, moment: str) -> None:
        self._server = server
        self._schema = schema
        server.sql(f"""CREATE OR REPLACE FUNCTION "{schema}".fail() RETURNS trigger
            LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $$""")
        for table in ("records", "rows"):
            server.sql(f"""CREATE CONSTRAINT TRIGGER fail AFTER INSERT OR UPDATE ON
                "{schema}".{table} {MOMENTS[moment]} FOR EACH ROW
                EXECUTE FUNCTION "{schema}".fail()""")

    def remove(self) -> None:
        for table in ("records", "rows"):
            self._server.sql(f'DROP TRIGGER fail ON "{self._schema}".{table}')


async def test_each_code_is_a_typed_error_and_changes_nothing(
    postgres: Server, schema: str
) -> None:
    me = AgentPoolMember("run.me", "agent.a")
    async with opened(postgres.url(), schema) as store, AgentPool.open(store, POOL) as pool:
        await pool.join_run(me)
        await store.open_pool("pool.other")
        address = RunAddress.run("run.me")
        expected = 2
        for moment in MOMENTS:
            for state, kind in STATES.items():
                await pool.acting_as(me).send(address, content_ref="content.1")
                before = pages(postgres, schema)
                trigger = Trigger(postgres, schema, state, moment)
                calls: list[Awaitable[object]] = [
                    send(store, state),
                    come(store, f"run.{state}", "pool.other"),
                    pool.inbox("run.me").take(),
                ]
                for told in await asyncio.gather(*calls, return_exceptions=True):
                    assert type(told) is kind, (state, moment, told)
                    assert state in str(told)
                trigger.remove()
                assert pages(postgres, schema) == before
                taken = await pool.inbox("run.me").take()
                await taken.ack()
                expected = before[-1][0] + 2
                assert [await send(store, f"{state} {moment}")] == [expected - 1]
    assert names(postgres, schema, "pool.other") == {}


async def test_what_reads_and_waits_may_be_cancelled_at_the_server(
    postgres: Server, schema: str
) -> None:
    async with opened(postgres.url(), schema) as store:
        with postgres.connect() as holding, holding.transaction():
            holding.execute(f'SELECT FROM "{schema}".pools FOR UPDATE')
            waiting = asyncio.create_task(send(store, "a"))
            await asyncio.to_thread(cancel_waiting, postgres)
            async with asyncio.timeout(BOUND):
                with pytest.raises(StoreBusyError, match="57014"):
                    await waiting
        assert await send(store, "a") == 2
    assert names(postgres, schema) == {"a": 1}


def cancel_waiting(server: Server) -> None:
    """Cancel what waits for a lock, but not at the moment for which the main lane does."""
    waits = """SELECT pg_cancel_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'agentpool' AND wait_event_type = 'Lock'
        AND query_start < clock_timestamp() - interval '0.2 s'"""
    server._until(lambda: server.sql(waits) == [(True,)], "a client that waits for a lock")


async def test_tables_that_are_gone_are_an_error_until_they_are_back(
    postgres: Server, schema: str
) -> None:
    away = f'"{schema}_away"'
    async with opened(postgres.url(), schema) as store:
        ref = await store.put_content(b"body")
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: send(store, "a"),
            lambda: store.read(POOL),
            lambda: store.due([POOL]),
            store.pool_ids,
            lambda: store.put_content(b"other"),
            lambda: store.get_content(ref),
        ]
        for _ in range(2):
            postgres.sql(f'ALTER SCHEMA "{schema}" RENAME TO {away}')
            for call in calls:
                with pytest.raises(StoreError, match="tables of the store are gone"):
                    await call()
            postgres.sql(f'ALTER SCHEMA {away} RENAME TO "{schema}"')
            for call in calls:
                await call()
    assert names(postgres, schema) == {"a": 1}


async def test_tables_that_were_made_anew_are_not_taken_for_the_former_ones(
    postgres: Server, schema: str
) -> None:
    async with opened(postgres.url(), schema) as store, aclosing(store.watch(POOL)) as watcher:
        await send(store, "a")
        assert [(await anext(watcher)).cursor.sequence for _ in range(2)] == [1, 2]
        following = asyncio.ensure_future(anext(watcher))
        postgres.sql(f'DROP SCHEMA "{schema}" CASCADE')
        async with PostgresAgentPoolStore.open(postgres.url(), schema=schema) as other:
            await other.open_pool("pool.other")  # which has the number that the other one had
            for name in ("x", "y"):
                await send(other, name, "pool.other")
            await other.open_pool(POOL)
            assert await send(store, "b") == 2
            assert len(await store.read(POOL)) == 2
            assert len(await store.read("pool.other")) == 3
        async with asyncio.timeout(BOUND):
            with pytest.raises(StoreError):
                await following
    assert names(postgres, schema) == {"b": 1}
    assert names(postgres, schema, "pool.other") == {"x": 1, "y": 1}


async def test_a_session_that_was_ended_is_made_anew(postgres: Server, schema: str) -> None:
    async with opened(postgres.url(), schema) as store:
        for number in range(3):
            end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s"
            for pid, _ in sessions(postgres):
                postgres.sql(end, pid)
            await send(store, str(number))
            assert len(await store.read(POOL)) == number + 2
    assert names(postgres, schema) == {"0": 1, "1": 1, "2": 1}


async def test_a_server_that_takes_no_writes_for_now_is_busy(postgres: Server, schema: str) -> None:
    url = f"{postgres.url()}?options=-c%20default_transaction_read_only%3Don"
    with pytest.raises(StoreBusyError, match="read-only"):
        await PostgresAgentPoolStore.open(url, schema=schema)
