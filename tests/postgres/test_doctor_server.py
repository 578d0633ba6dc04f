"""What the doctor says of the server, of who works there, and where it may not look."""

import asyncio
import time
from collections.abc import Callable, Iterator
from threading import Thread
from typing import LiteralString

import pytest
from integration.helpers import BOUND, POOL

from agentpool import AgentPool, open_store
from agentpool.doctor import Finding, Level, examine, pools
from agentpool.doctor.server import activity, tables
from agentpool.stores.postgres.schema import SCHEMA_VERSION
from agentpool.testing import a_member, a_message

from .fixtures import StartServer
from .server import Server


@pytest.fixture
def store(postgres: Server, schema: str) -> str:
    """Name the schema of a new store."""
    asyncio.run(open_and_close(postgres.url(), schema))
    return schema


async def open_and_close(url: str, schema: str) -> None:
    async with asyncio.timeout(BOUND), open_store(url, schema=schema):
        pass


def test_what_a_version_has_is_what_the_server_says_of_a_new_schema(
    postgres: Server, store: str
) -> None:
    columns: dict[str, set[str]] = {}
    for table, column in postgres.sql(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = %s",
        store,
    ):
        columns.setdefault(table, set()).add(column)
    wanted, indexes = tables.expected(SCHEMA_VERSION)
    assert columns == wanted
    assert tables.RIGHTS.keys() == wanted.keys()
    found = postgres.sql(
        "SELECT indexname FROM pg_indexes WHERE schemaname = %s AND indexname !~ '_(pkey|id_key)$'",
        store,
    )
    assert {name for [name] in found} == indexes


def test_where_nothing_can_be_asked_that_is_the_finding(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "a secret")
    latin = postgres.create_database("doctor of latin", encoding="LATIN1")
    for url, says in (
        (f"postgresql://agentpool:a-secret@127.0.0.1:{postgres.port}/nothing", "does not exist"),
        (f"postgresql://nobody@127.0.0.1:{postgres.port}/postgres", "does not exist"),
        ("postgresql://agentpool@127.0.0.1:1/postgres", "cannot be reached"),
        ("postgresql://agentpool@127.0.0.1/postgres?no=thing", "url: "),
        (latin, "LATIN1"),
    ):
        report = examine(url)
        assert says in report.of("server").what
        assert report.exit_code == 2
        assert "secret" not in str(report)
    assert examine(postgres.url(), schema="pg_x").exit_code == 2


def test_a_server_that_goes_away_is_no_fault_of_the_store(
    postgres: Server, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*_: object) -> Iterator[Finding]:
        postgres.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'agentpool' AND pid <> pg_backend_pid()"
        )
        yield from ()

    monkeypatch.setattr(pools, "check_records", ended)
    report = examine(postgres.url(), schema=store)
    assert "went away" in report.of("server").what
    assert report.of("schema").level is Level.OK


# --- rights


def url_of(postgres: Server, role: str, database: str = "postgres") -> str:
    return f"postgresql://{role}@127.0.0.1:{postgres.port}/{database}"


@pytest.fixture
def role(postgres: Server, store: str) -> Iterator[str]:
    name = f"role_{store}"[:60]
    postgres.sql(f"CREATE ROLE {name} LOGIN")
    yield name
    postgres.sql(f"DROP OWNED BY {name}")
    postgres.sql(f"DROP ROLE {name}")


async def use(url: str, schema: str) -> None:
    """Do a bit of everything."""
    async with (
        asyncio.timeout(BOUND),
        open_store(url, schema=schema, create=False) as store,
        AgentPool.open(store, POOL) as pool,
    ):
        for run_id in ("run.a", "run.b"):
            await pool.join_run(a_member(run_id))
        await pool.send(a_message())
        await pool.store.next_event_sequence(POOL)
        for body in (b"small", bytes(300_000)):
            assert await store.get_content(await store.put_content(body)) == body
        async with await pool.inbox("run.b").take() as delivery:
            await delivery.ack()


def test_the_rights_that_a_role_lacks_are_named(postgres: Server, store: str, role: str) -> None:
    url = url_of(postgres, role)
    report = examine(url, schema=store)
    assert "may not use the schema" in report.of("schema").what
    postgres.sql(f"GRANT USAGE ON SCHEMA {store} TO {role}")
    assert "may not look" in examine(url, schema=store).of("schema").what
    postgres.sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA {store} TO {role}")
    report = examine(url, schema=store)
    assert "INSERT on pools" in report.of("rights").what
    others = [each for each in report.findings if each.check != "rights"]
    assert all(each.level is Level.OK for each in others), str(report)


def test_with_the_rights_that_are_named_a_role_can_do_everything(
    postgres: Server, store: str, role: str
) -> None:
    url = url_of(postgres, role)
    postgres.sql(f"GRANT USAGE ON SCHEMA {store} TO {role}")
    for table, rights in tables.RIGHTS.items():
        postgres.sql(f"GRANT {rights} ON {store}.{table} TO {role}")
    asyncio.run(use(url, store))
    assert examine(url, schema=store).of("rights").level is Level.OK


# --- who works there


def test_who_holds_an_old_snapshot_is_named(
    postgres: Server, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgres.connect() as holder:
        holder.execute("SET application_name = 'reporter'")
        holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT 1")
        assert examine(postgres.url(), schema=store).of("snapshots").level is Level.OK
        monkeypatch.setattr(activity, "OLD_SECONDS", 0.0)
        found = examine(postgres.url(), schema=store).of("snapshots")
        assert found.level is Level.NOTE
        assert f"session {holder.info.backend_pid} (reporter" in found.what


LOCKED: LiteralString = "SELECT 1 FROM pg_locks WHERE NOT granted AND pid = %s"


def test_who_waits_for_a_lock_is_named_with_who_has_it(
    postgres: Server, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity, "WAITING_SECONDS", 0.0)
    postgres.sql(f"INSERT INTO {store}.pools (pool_id) VALUES ('pool.held')")
    lock = f"SELECT FROM {store}.pools FOR NO KEY UPDATE".encode()
    with postgres.connect() as holder, postgres.connect() as waiter:
        holder.execute("BEGIN")
        holder.execute(lock)
        waiting = Thread(target=lambda: waiter.execute(lock))
        waiting.start()
        pids = waiter.info.backend_pid, holder.info.backend_pid
        try:
            until(lambda: bool(postgres.sql(LOCKED, pids[0])))
            report = examine(postgres.url(), schema=store)
        finally:
            holder.execute("ROLLBACK")
            waiting.join(BOUND)
    told = [each for each in report.findings if each.level is not Level.OK]
    assert [each.check for each in told] == ["locks"], str(report)
    found = report.of("locks")
    assert f"session {pids[0]} " in found.what
    assert found.what.endswith(f"held by {pids[1]}")


def until(holds: Callable[[], bool]) -> None:
    late = time.monotonic() + BOUND
    while not holds():
        assert time.monotonic() < late
        time.sleep(0.01)


async def test_how_many_listen_is_said(
    postgres: Server, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        asyncio.timeout(BOUND),
        open_store(postgres.url(), schema=store) as opened,
        AgentPool.open(opened, POOL),
    ):
        while True:
            report = await asyncio.to_thread(examine, postgres.url(), schema=store)
            if report.of("listeners").what.startswith("1 handles"):
                break
        # Once more: its connections were counted before, when the one that listens was not there.
        report = await asyncio.to_thread(examine, postgres.url(), schema=store)
        assert report.exit_code == 0, str(report)
        assert "3 of them by stores" in report.of("connections").what
        monkeypatch.setattr(activity, "MANY_LISTENERS", 0)
        report = await asyncio.to_thread(examine, postgres.url(), schema=store)
        assert report.of("listeners").level is Level.NOTE


def test_what_was_left_behind_is_counted(
    postgres: Server, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity, "MANY_DEAD", 0)
    with postgres.connect() as session:
        session.execute(f'ALTER TABLE "{store}".times SET (autovacuum_enabled = false)'.encode())
        session.execute(
            f'INSERT INTO "{store}".times SELECT 1, n, 0 FROM generate_series(1, 100) n'.encode()
        )
        session.execute("SELECT pg_stat_force_next_flush()")
        session.execute(f'DELETE FROM "{store}".times'.encode())
        session.execute("SELECT pg_stat_force_next_flush()")
    until(lambda: "times has 100 dead rows" in bloat(postgres, store).what)
    assert bloat(postgres, store).level is Level.NOTE


def bloat(postgres: Server, schema: str) -> Finding:
    return examine(postgres.url(), schema=schema).of("bloat")


# --- a server that is set up in another way


def test_settings_that_lose_what_was_acknowledged_are_named(
    another_postgres: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = another_postgres(
        fsync=False,
        full_page_writes=False,
        autovacuum=False,
        synchronous_commit=False,
        max_prepared_transactions=2,
        max_connections=8,
    )
    monkeypatch.setattr(activity, "OLD_SECONDS", 0.0)
    server.sql("ALTER ROLE agentpool SET statement_timeout = '7s'")
    server.sql("SELECT pg_create_physical_replication_slot('forgotten', true)")
    with server.connect() as session:
        session.execute("BEGIN")
        session.execute("SELECT pg_current_xact_id()")
        session.execute("PREPARE TRANSACTION 'undecided'")
    report = examine(server.url())
    for name in ("fsync", "full_page_writes", "autovacuum", "synchronous_commit"):
        assert f"{name} is off" in report.of("settings").what
    assert "statement_timeout = 7000 ms" in report.of("timeouts").what
    assert "prepared transaction 'undecided'" in report.of("snapshots").what
    assert "replication slot forgotten, unused" in report.of("snapshots").what
    assert report.of("connections").level is Level.NOTE
    told = {each.check for each in report.findings if each.level is not Level.OK}
    assert told == {"settings", "timeouts", "snapshots", "connections", "schema"}


def test_a_standby_is_examined_and_its_primary_says_that_it_has_one(
    another_postgres: StartServer,
) -> None:
    primary = another_postgres(fsync=False)
    asyncio.run(open_and_close(primary.url(), "agentpool"))
    with primary.standby() as standby:
        assert "none synchronous" in examine(primary.url()).of("recovery").what
        report = examine(standby.url())
        assert report.of("recovery").level is Level.NOTE, str(report)
        assert report.of("records").level is Level.OK, str(report)
        primary.wait_for_standby("nobody")
        until(lambda: examine(primary.url()).of("recovery").level is Level.BROKEN)
        primary.wait_for_standby("")
