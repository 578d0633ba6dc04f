"""What a role needs, what a schema has to be, and what of a migration is left that failed."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from itertools import chain
from tempfile import TemporaryDirectory

import pytest

from agentpool import (
    AgentPool,
    AgentPoolMember,
    IncompatibleStoreError,
    RunAddress,
    StoreBusyError,
    StoreError,
    open_store,
)
from agentpool.copying import copy_pools
from agentpool.stores.postgres import PostgresAgentPoolStore
from agentpool.stores.postgres import schema as schemas

from .server import USER, Server
from .working import POOL, come, go, names, opened, send, sessions, until

RIGHTS = {
    "meta": ("SELECT",),
    "pools": ("SELECT", "INSERT", "UPDATE"),
    "records": ("SELECT", "INSERT"),
    "checkpoints": ("SELECT", "INSERT", "UPDATE"),
    "rows": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "times": ("SELECT", "INSERT"),
    "content": ("SELECT", "INSERT", "UPDATE"),
    "content_pieces": ("SELECT", "INSERT", "UPDATE"),
}
"""All that a role needs once the tables are there, beside USAGE of their schema."""
LARGE = bytes(3 << 20)


@contextmanager
def a_role(server: Server, schema: str, limit: int = -1) -> Iterator[str]:
    """Make a role that may do nothing, and give the URL by which it connects."""
    server.sql(f"CREATE ROLE {schema} LOGIN CONNECTION LIMIT {limit}")
    try:
        yield server.url().replace(f"//{USER}@", f"//{schema}@")
    finally:
        server.sql(f"DROP OWNED BY {schema}")
        server.sql(f"DROP ROLE {schema}")


def grant(server: Server, schema: str) -> None:
    server.sql(f'GRANT USAGE ON SCHEMA "{schema}" TO {schema}')
    for table, rights in RIGHTS.items():
        server.sql(f'GRANT {", ".join(rights)} ON "{schema}".{table} TO {schema}')


async def work(url: str, schema: str, turn: int) -> None:
    """Do what a store is for, all of it."""
    me = AgentPoolMember("run.me", "agent.a")
    async with (
        PostgresAgentPoolStore.open(url, schema=schema, create=False) as store,
        AgentPool.open(store, f"pool.{turn}") as pool,
    ):
        await pool.join_run(me)
        for _ in range(2):  # which writes a checkpoint, and then another one over it
            both = ((come, go) for _ in range(20))
            await asyncio.gather(*(each(store, "run.a", f"pool.{turn}") for each in chain(*both)))
        await pool.acting_as(me).send(RunAddress.run("run.me"), content_ref="content.1")
        taken = await pool.inbox("run.me").take()
        await taken.ack()
        assert await pool.explain(taken.message)
        for body in (b"small %d" % turn, LARGE + b"%d" % turn):
            assert await store.get_content(await store.put_content(body)) == body
        assert len((await store.snapshot(f"pool.{turn}")).members) == 1


async def test_these_rights_are_enough_and_each_is_needed(postgres: Server, schema: str) -> None:
    async with opened(postgres.url(), schema):
        pass
    with a_role(postgres, schema) as url:
        with pytest.raises(IncompatibleStoreError, match="may not do that"):
            await work(url, schema, 0)
        grant(postgres, schema)
        await work(url, schema, 0)
        turn = 1
        for table, rights in RIGHTS.items():
            for right in rights:
                if table.startswith("content") and right == "UPDATE":
                    continue  # needed for what was damaged
                postgres.sql(f'REVOKE {right} ON "{schema}".{table} FROM {schema}')
                [told] = await asyncio.gather(work(url, schema, turn), return_exceptions=True)
                assert type(told) is IncompatibleStoreError, f"{right} on {table}: {told}"
                postgres.sql(f'GRANT {right} ON "{schema}".{table} TO {schema}')
                turn += 1
        await work(url, schema, turn)


async def test_to_copy_a_pool_into_a_server_takes_more(postgres: Server, schema: str) -> None:
    async with PostgresAgentPoolStore.open(postgres.url(), schema=schema):
        pass
    with a_role(postgres, schema) as url, TemporaryDirectory() as folder:
        grant(postgres, schema)
        async with open_store(f"{folder}/pool.db") as source:
            await source.open_pool(POOL)
            await send(source, "a")
            async with PostgresAgentPoolStore.open(url, schema=schema) as target:
                with pytest.raises(IncompatibleStoreError, match="rights"):
                    await copy_pools(source, target)
                for table in ("records", "times"):
                    postgres.sql(f'GRANT UPDATE, DELETE ON "{schema}".{table} TO {schema}')
                [copied] = await copy_pools(source, target)
                assert (copied.pool_id, copied.was_there) == (POOL, False)


async def test_too_many_connections_are_a_typed_error(postgres: Server, schema: str) -> None:
    async with opened(postgres.url(), schema):
        pass
    with a_role(postgres, schema, limit=1) as url:
        grant(postgres, schema)
        with pytest.raises(StoreBusyError, match="too many connections"):
            await PostgresAgentPoolStore.open(url, schema=schema, create=False)
        await until(lambda: not sessions(postgres), "the first connection to end")
        postgres.sql(f"ALTER ROLE {schema} CONNECTION LIMIT 2")
        async with PostgresAgentPoolStore.open(url, schema=schema, create=False) as store:
            await store.open_pool(POOL)


def test_the_tables_of_version_1_are_for_ever() -> None:
    """What is to be changed is a migration: stores of this version are out there."""
    first = "\n".join(schemas.MIGRATIONS[0])
    digest = "7d678fa0e798203638760b3892aca40167f9ef164aa86f6d44079c09f304a9f0"
    assert sha256(first.encode()).hexdigest() == digest


async def test_who_may_not_create_is_told_and_leaves_nothing(postgres: Server, schema: str) -> None:
    with a_role(postgres, schema) as url:
        with pytest.raises(IncompatibleStoreError, match="may not create"):
            await PostgresAgentPoolStore.open(url, schema=schema)
        postgres.sql(f'CREATE SCHEMA "{schema}"')
        postgres.sql(f'GRANT USAGE ON SCHEMA "{schema}" TO {schema}')
        with pytest.raises(IncompatibleStoreError, match="may not create"):
            await PostgresAgentPoolStore.open(url, schema=schema)
        postgres.sql(f'GRANT CREATE ON SCHEMA "{schema}" TO {schema}')
        async with PostgresAgentPoolStore.open(url, schema=schema) as store:
            await store.open_pool(POOL)


async def test_what_is_not_there_is_not_created_where_that_is_not_wanted(
    postgres: Server, schema: str
) -> None:
    with pytest.raises(IncompatibleStoreError, match="no store in the schema"):
        await PostgresAgentPoolStore.open(postgres.url(), schema=schema, create=False)
    assert postgres.sql("SELECT to_regnamespace(%s)::text", f'"{schema}"') == [(None,)]


async def test_a_schema_of_something_else_is_refused(postgres: Server, schema: str) -> None:
    others = ("TABLE meta (a int)", "TABLE things (a int)", "VIEW meta AS SELECT 1 AS version")
    for each in others:
        postgres.sql(f'CREATE SCHEMA "{schema}" CREATE {each}')
        before = relations(postgres, schema)
        for create in (True, False):
            with pytest.raises(IncompatibleStoreError, match="is of something else"):
                await PostgresAgentPoolStore.open(postgres.url(), schema=schema, create=create)
        assert relations(postgres, schema) == before
        postgres.sql(f'DROP SCHEMA "{schema}" CASCADE')


def relations(server: Server, schema: str) -> list[tuple[str]]:
    return server.sql(
        "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(%s) ORDER BY 1",
        f'"{schema}"',
    )


async def test_a_newer_version_is_refused(postgres: Server, schema: str) -> None:
    async with opened(postgres.url(), schema) as store:
        await send(store, "a")
    postgres.sql(f'UPDATE "{schema}".meta SET version = version + 1')
    with pytest.raises(IncompatibleStoreError, match="use the version that wrote it"):
        await PostgresAgentPoolStore.open(postgres.url(), schema=schema)
    postgres.sql(f'UPDATE "{schema}".meta SET version = version - 1')
    async with opened(postgres.url(), schema) as store:
        assert await send(store, "b") == 3


async def test_clients_that_migrate_at_once_make_one_store(postgres: Server, schema: str) -> None:
    clients = [come_in(postgres, schema, str(number)) for number in range(6)]
    assert sorted(await asyncio.gather(*clients)) == [2, 3, 4, 5, 6, 7]
    assert names(postgres, schema) == {str(number): 1 for number in range(6)}


async def test_who_migrates_waits_for_another_one(postgres: Server, schema: str) -> None:
    lock = "SELECT pg_advisory_xact_lock(hashtextextended('agentpool' || %s, 0))"
    waits = """SELECT count(*) FROM pg_stat_activity WHERE application_name = 'agentpool'
        AND wait_event_type = 'Lock' AND query_start < clock_timestamp() - interval '0.2 s'"""
    with postgres.connect() as holding:
        with holding.transaction():
            holding.execute(lock, [f'"{schema}"'])
            with pytest.raises(StoreBusyError):
                await PostgresAgentPoolStore.open(postgres.url(), schema=schema, busy_timeout=0.1)
            opening = asyncio.ensure_future(come_in(postgres, schema, "a"))
            await until(lambda: postgres.sql(waits) == [(1,)], "a client that waits")
        assert await opening == 2


async def come_in(server: Server, schema: str, name: str) -> int:
    async with opened(server.url(), schema) as store:
        return await send(store, name)


async def test_a_migration_that_failed_leaves_nothing(
    postgres: Server, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = (*schemas._TABLES, "CREATE TABLE @.more (a no_type)")
    with monkeypatch.context() as patched:
        patched.setattr(schemas, "MIGRATIONS", (broken,))
        with pytest.raises(StoreError, match="no_type"):
            await PostgresAgentPoolStore.open(postgres.url(), schema=schema)
    assert postgres.sql("SELECT to_regnamespace(%s)::text", f'"{schema}"') == [(None,)]
    async with opened(postgres.url(), schema) as store:
        await send(store, "a")
    with monkeypatch.context() as patched:
        patched.setattr(
            schemas, "MIGRATIONS", (schemas._TABLES, ("CREATE TABLE @.other (a int)", *broken[-1:]))
        )
        patched.setattr(schemas, "SCHEMA_VERSION", 2)
        before = relations(postgres, schema)
        with pytest.raises(StoreError, match="no_type"):
            await PostgresAgentPoolStore.open(postgres.url(), schema=schema)
        assert relations(postgres, schema) == before
    async with opened(postgres.url(), schema) as store:
        assert await send(store, "b") == 3
