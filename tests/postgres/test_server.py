"""The server that the tests start."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from .fixtures import StartServer
from .programs import NoPostgresError, find_programs
from .server import Server


def fill(server: Server) -> None:
    server.sql("CREATE TABLE kept (number int)")
    server.sql("INSERT INTO kept VALUES (%s)", 1)


def kept(server: Server) -> list[tuple[int]]:
    return server.sql("SELECT number FROM kept")


def test_a_server_answers_on_its_socket_and_by_tcp(postgres: Server, postgres_url: str) -> None:
    import psycopg  # noqa: PLC0415  # not always there

    for url in (postgres_url, postgres.url(tcp=True)):
        with psycopg.connect(url) as connection:
            assert connection.info.server_version // 10_000 == postgres.version
            assert connection.execute("SELECT current_user").fetchone() == ("agentpool",)


def test_a_server_syncs_unless_it_is_told_not_to(
    postgres: Server, another_postgres: StartServer
) -> None:
    assert postgres.sql("SHOW fsync") == [("on",)]
    other = another_postgres(fsync=False, max_connections=17)
    assert other.sql("SHOW fsync") == [("off",)]
    assert other.sql("SHOW max_connections") == [("17",)]


def test_a_schema_has_a_name_of_its_own(postgres: Server, schema: str) -> None:
    postgres.sql(f"CREATE SCHEMA {schema} CREATE TABLE things (number int)")


def test_a_database_has_the_encoding_and_collation_that_were_asked_for(postgres: Server) -> None:
    postgres.create_database("of latin", encoding="LATIN1")
    asked = "SELECT pg_encoding_to_char(encoding), datcollate FROM pg_database WHERE datname = %s"
    assert postgres.sql(asked, "of latin", database="of latin") == [("LATIN1", "C")]


def test_a_server_has_what_was_committed_after_each_kind_of_end(
    another_postgres: StartServer,
) -> None:
    server = another_postgres()
    url = server.url(tcp=True)
    fill(server)
    ends: list[Callable[[], None]] = [lambda: server.stop("immediate"), server.kill, server.stop]
    for end in ends:
        end()
        assert not server.running
        server.start_again()
        assert kept(server) == [(1,)]
    assert server.url(tcp=True) == url


@pytest.mark.parametrize("synchronous", [False, True])
def test_a_standby_follows_and_is_promoted(
    another_postgres: StartServer, *, synchronous: bool
) -> None:
    primary = another_postgres()
    standby = primary.standby(synchronous=synchronous)
    fill(primary)
    assert standby.sql("SELECT pg_is_in_recovery()") == [(True,)]
    primary.stop()  # which lets the standby have all of it first
    standby.promote()
    standby.sql("INSERT INTO kept VALUES (2)")
    assert kept(standby) == [(1,), (2,)]


def test_a_primary_goes_on_without_a_synchronous_standby_that_was_closed(
    another_postgres: StartServer,
) -> None:
    primary = another_postgres()
    with primary.standby(synchronous=True):
        assert primary.sql("SHOW synchronous_standby_names") != [("",)]
    fill(primary)
    assert kept(primary) == [(1,)]


def test_a_closed_server_leaves_nothing_behind(another_postgres: StartServer) -> None:
    server = another_postgres()
    pid = int((server.data / "postmaster.pid").read_text().split()[0])
    server.close()
    server.close()
    assert not server.home.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.usefixtures("postgres")  # which says what is missing
def test_a_version_or_a_folder_can_be_asked_for(tmp_path: Path) -> None:
    found = find_programs()
    for wanted in (str(found.version), str(found.folder)):
        assert find_programs({"AGENTPOOL_TEST_POSTGRES": wanted}).version == found.version
    for unknown in ("7", str(tmp_path)):
        with pytest.raises(NoPostgresError, match="pip install"):
            find_programs({"AGENTPOOL_TEST_POSTGRES": unknown})
