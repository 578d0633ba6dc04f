"""The parts of the store on a server that can be tried alone, or with nothing but a connection."""

import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from agentpool import IncompatibleStoreError, InvalidValueError, StoreBusyError, StoreFullError
from agentpool.errors import AgentPoolError, StoreError
from agentpool.rules.command import Decision
from agentpool.rules.topics import ANY, AllTouched
from agentpool.stores.batch.committer import Refusal, Request
from agentpool.stores.postgres.bell import Ringer, channel_of
from agentpool.stores.postgres.errors import ours
from agentpool.stores.postgres.lanes import _in_order
from agentpool.stores.postgres.pipeline import (
    LostConnectionError,
    Pipeline,
    ServerError,
    Statement,
)
from agentpool.stores.postgres.session import Place, _in_time, checked_url, quoted
from agentpool.stores.postgres.values import bigints, byteas, texts
from agentpool.testing.conformance.executing import Ask

ONE = Statement("SELECT 1")
FAILS = Statement("SELECT 1 / $1::integer")
SLEEPS = Statement("SELECT pg_sleep(60)")
ARRAYS = Statement(
    """
    SELECT t, n, encode(b, 'hex')
    FROM unnest($1::text[], $2::bigint[], $3::bytea[]) WITH ORDINALITY AS k (t, n, b, at)
    ORDER BY at
    """
)


@pytest.fixture
def pipeline(postgres_url: str) -> Iterator[Pipeline]:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        pipeline = Pipeline(connection, '"none"', 30)
        yield pipeline
        pipeline.close()


# --- the pipeline


def test_what_is_asked_goes_in_one_trip_when_an_answer_is_needed(pipeline: Pipeline) -> None:
    asked = [pipeline.ask(ONE) for _ in range(100)]
    assert pipeline.trips == 0
    assert asked[50].rows == [(b"1",)]
    assert [each.rows for each in asked] == [[(b"1",)]] * 100
    assert pipeline.trips == 1


def test_a_statement_that_fails_is_told_of_and_the_next_trip_is_well(pipeline: Pipeline) -> None:
    before, failing, after = pipeline.ask(ONE), pipeline.ask(FAILS, 0), pipeline.ask(ONE)
    with pytest.raises(ServerError) as caught:
        after.rows  # noqa: B018
    assert caught.value.state == "22012"
    assert caught.value.answer is failing
    assert before.rows == [(b"1",)]
    with pytest.raises(LostConnectionError, match="given up"):
        after.rows  # noqa: B018
    assert pipeline.ask(FAILS, 1).rows == [(b"1",)]


def test_a_statement_that_failed_when_it_was_prepared_is_prepared_anew(pipeline: Pipeline) -> None:
    wrong = Statement("SELECT nothing")
    for _ in range(2):
        with pytest.raises(ServerError) as caught:
            pipeline.ask(wrong).rows  # noqa: B018
        assert caught.value.state == "42703"
    assert pipeline.ask(ONE).row == (b"1",)


def test_what_nobody_waits_for_fails_alone(pipeline: Pipeline) -> None:
    pipeline.ask(FAILS, 0)
    pipeline.send()
    assert pipeline.ask(ONE).row == (b"1",)
    assert pipeline.trips == 1


def test_what_comes_after_a_trip_is_not_waited_for(pipeline: Pipeline) -> None:
    pipeline.patience = 20
    asked = pipeline.ask(ONE)
    pipeline.flush(after=[(Statement("SELECT pg_sleep(1)"), ()), (FAILS, (0,))])
    assert asked.row == (b"1",)
    assert pipeline.pgconn.is_busy()  # with what comes after
    assert [pipeline.ask(ONE).row for _ in range(2)] == [(b"1",)] * 2


def test_what_comes_after_a_trip_that_failed_is_not_done(pipeline: Pipeline) -> None:
    pipeline.ask(Statement("CREATE TEMPORARY TABLE noted (number integer)"))
    pipeline.flush()
    note = Statement("INSERT INTO noted VALUES ($1::integer)")
    pipeline.ask(FAILS, 0)
    with pytest.raises(ServerError):
        pipeline.flush(after=[(note, (1,))])
    assert pipeline.ask(ONE).row == (b"1",)
    pipeline.flush(after=[(note, (2,))])
    assert pipeline.ask(Statement("SELECT number FROM noted")).rows == [(b"2",)]


def test_what_is_forgotten_is_not_sent(pipeline: Pipeline) -> None:
    pipeline.ask(FAILS, 0)
    pipeline.forget()
    assert pipeline.ask(ONE).row == (b"1",)


def test_a_server_that_does_not_answer_is_given_up(pipeline: Pipeline) -> None:
    pipeline.patience = 0.2
    with pytest.raises(LostConnectionError, match=r"0\.2 s"):
        pipeline.ask(SLEEPS).rows  # noqa: B018
    assert pipeline.is_broken
    with pytest.raises(LostConnectionError):
        pipeline.ask(ONE).rows  # noqa: B018


def test_much_goes_both_ways_at_once(pipeline: Pipeline) -> None:
    echo = Statement("SELECT $1::text")
    large = "x" * 1_000_000
    asked = [pipeline.ask(echo, large) for _ in range(40)]
    assert all(each.row == (large.encode(),) for each in asked)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # it keeps nothing
@given(
    rows=st.lists(
        st.tuples(
            st.none() | st.text(st.characters(exclude_characters="\0", codec="utf-8")),
            st.integers(-(2**63), 2**63 - 1),
            st.binary(max_size=20),
        ),
        max_size=8,
    )
)
def test_arrays_arrive_as_they_are(
    pipeline: Pipeline, rows: list[tuple[str | None, int, bytes]]
) -> None:
    answer = pipeline.ask(
        ARRAYS,
        texts(text for text, _, _ in rows),
        bigints(number for _, number, _ in rows),
        byteas(data for _, _, data in rows),
    )
    assert answer.rows == [
        (None if text is None else text.encode(), b"%d" % number, data.hex().encode())
        for text, number, data in rows
    ]


# --- what is told to others


def payloads(touched: AllTouched) -> list[str]:
    return list(Ringer("channel", "me")._payloads(touched))


def test_what_was_touched_goes_in_few_payloads_that_the_server_takes() -> None:
    touched: AllTouched = {f"pool.{number}": {"log": 1, "members": 1} for number in range(1000)}
    found = payloads(touched)
    assert 1 < len(found) < 10
    assert all(len(each.encode()) < 8000 for each in found)
    together = "".join(found)
    assert all(f'"{pool_id}"' in together for pool_id in touched)


def test_what_is_too_much_to_be_said_of_a_pool_is_said_to_be_anything() -> None:
    many = {f"message {number:0500}": 1 for number in range(100)}
    assert payloads({"pool": many, "other": {"log": 1}}) == [
        '["me",{"pool":{"' + ANY + '":1},"other":{"log":1}}]'
    ]


def test_a_schema_of_any_name_has_a_channel_of_its_own() -> None:
    names = [channel_of(name) for name in ('"a"', '"b"', '"' + "x" * 63 + '"')]
    assert len(set(names)) == 3
    assert all(len(name) < 64 for name in names)


# --- lanes


def requests(*pool_ids: str) -> list[Request]:
    return [Request(each, Ask(lambda _: Decision(None))) for each in pool_ids]


def test_outcomes_stand_where_their_requests_do() -> None:
    found = _in_order(requests("a", "held", "b", "held", "a"), {"held"}, [1, None, 3])
    assert [None if isinstance(each, Refusal) else (each,) for each in found] == [
        (1,), None, (None,), None, (3,),
    ]  # fmt: skip


def test_what_did_not_fit_into_a_transaction_is_left_for_the_next() -> None:
    found = _in_order(requests("a", "held", "b", "held"), {"held"}, [1])
    assert len(found) == 2
    assert isinstance(found[1], Refusal)


# --- names and errors


@pytest.mark.parametrize("schema", ["", "x" * 64, "pg_x", "a\nb", "a\0b", None, 1, b"a"])
def test_what_can_be_no_schema_is_refused(schema: object) -> None:
    with pytest.raises(InvalidValueError, match=r"^schema: "):
        quoted(schema)  # type: ignore[arg-type]


@pytest.mark.parametrize("schema", ["agentpool", 'a"b', "A b", "x" * 63, "\N{SNOWMAN}"])
def test_any_other_name_is_quoted(schema: str) -> None:
    assert quoted(schema)[1:-1].replace('""', '"') == schema


@pytest.mark.parametrize("url", ["postgresql://h/d?nothing=1", "host='", None, 1, "\ud800"])
def test_what_is_no_url_is_refused(url: object) -> None:
    with pytest.raises(InvalidValueError, match=r"^url: "):
        checked_url(url, "url")  # type: ignore[arg-type]


def test_what_a_variable_says_is_not_chosen_by_us(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"PGAPPNAME": "mine", "PGCONNECT_TIMEOUT": "7", "PGTARGETSESSIONATTRS": "any"}
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    known = conninfo_to_dict(checked_url("postgresql://h/d?application_name=its", "url"))
    assert known["application_name"] == "its"
    assert known["connect_timeout"] == "7"
    assert known["target_session_attrs"] == "any"
    for name in said:
        monkeypatch.setenv(name, "")
    known = conninfo_to_dict(checked_url("postgresql://h/d", "url"))
    assert known["application_name"] == "agentpool"
    assert known["connect_timeout"] == "10"
    assert known["target_session_attrs"] == "read-write"


@pytest.mark.parametrize(
    ("url", "seconds", "expected"),
    [
        ("postgresql://h/d", 60, 10),
        ("postgresql://h/d", 4.5, 5),
        ("postgresql://h/d", -3, 2),
        ("postgresql://h,g/d", 9, 5),
        ("postgresql://h,g/d", 1, 2),
        ("postgresql:///d", 3, 3),
        ("postgresql://h/d?connect_timeout=3", 60, 3),
        ("postgresql://h/d?connect_timeout=0", 60, 60),
    ],
)
def test_connecting_is_bounded_by_the_time_that_is_left(
    url: str, seconds: float, expected: int
) -> None:
    conninfo = _in_time(checked_url(url, "url"), seconds)
    assert conninfo_to_dict(conninfo)["connect_timeout"] == str(expected)


def test_a_place_is_named_without_its_password() -> None:
    place = Place(checked_url("postgresql://ada:secret@h1,h2:7/db", "url"), '"s"', 5)
    assert str(place) == 'h1,h2:,7/db schema "s"'
    assert "secret" not in str(place)


@pytest.mark.parametrize(
    ("state", "type_"),
    [
        ("55P03", StoreBusyError),
        ("53100", StoreFullError),
        ("53200", StoreBusyError),
        ("42501", IncompatibleStoreError),
        ("42P01", StoreError),
        ("57P01", StoreBusyError),
        ("54000", InvalidValueError),
        ("99999", StoreError),
    ],
)
def test_each_code_has_an_error_that_names_the_server(
    state: str, type_: type[AgentPoolError]
) -> None:
    error = ours(ServerError(state, "it says so"), "the place")
    assert type(error) is type_
    assert "the place" in str(error)
    assert "it says so" in str(error)


# --- the package

LAZY: str = """
import sys, agentpool
assert "psycopg" not in sys.modules
from agentpool.stores.postgres import PostgresAgentPoolStore
assert "psycopg" in sys.modules
assert issubclass(PostgresAgentPoolStore, agentpool.AgentPoolStore)
"""


def test_who_needs_no_server_loads_nothing_for_it() -> None:
    subprocess.run([sys.executable, "-c", LAZY], check=True, timeout=60)
