"""Records that are read many at a time are those that stand in the rows, each at its place."""

import sqlite3
import threading
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from samples import member

from agentpool import AgentPoolError, MemberJoined, MemberLeft, encode
from agentpool.stores.sqlite.schema import prepare_file
from agentpool.stores.sqlite.source import SqliteSource
from agentpool.wire.payload import open_each, open_payload, open_payloads

from .helpers import POOL

INSERT = "INSERT INTO agent_pool_records VALUES (?, ?, ?, ?)"
A, B = (encode(MemberJoined(member(run_id))).decode() for run_id in ("run.a", "run.b"))
LEFT = encode(MemberLeft(member("run.ä\u20ac"))).decode()
ESCAPED = A.replace("run.a", "run.\\u00e9")

ROWS: dict[str, list[tuple[Any, Any, Any]]] = {
    "as usual": [(1, "member_joined", A), (2, "member_left", LEFT), (3, "member_joined", B)],
    "a gap": [(1, "member_joined", A), (3, "member_joined", B), (4, "member_joined", A)],
    "numbers between": [
        (1, "member_joined", A),
        (1.5, "member_joined", B),
        (3, "member_joined", A),
    ],
    "a payload as bytes": [(1, "member_joined", A), (2, "member_joined", B.encode())],
    "a kind as bytes": [(1, "member_joined", A), (2, b"member_joined", B)],
    "two in one": [(1, "member_joined", f"{A}\n{B}"), (2, "member_joined", "")],
    "two kinds in one": [(1, "member_joined\nmember_joined", A), (2, b"", B)],
    "one in two": [(1, "member_joined", A[:30]), (2, "member_joined", f"{A[30:]}\n{B}")],
    "not as written": [(1, "member_joined", A), (2, "member_joined", ESCAPED)],
    "another kind": [(1, "member_joined", A), (2, "member_left", B), (3, "member_joined", A)],
    "no JSON": [(1, "member_joined", A), (2, "member_joined", "{"), (3, "member_joined", B)],
    "many": [(seq, "member_joined", (A, B)[seq % 2]) for seq in range(1, 251)],
    "many, one odd": [
        (seq, "member_joined", ESCAPED if seq == 150 else A) for seq in range(1, 251)
    ],
}


@pytest.fixture(params=[*ROWS.values()], ids=[*ROWS])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqliteSource]:
    """Give a pool with these rows, beside another one."""
    connection = sqlite3.connect(tmp_path / "pool.db", isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    prepare_file(connection, 0, threading.Event())
    connection.executemany(INSERT, [(POOL, *row) for row in request.param])
    connection.executemany(INSERT, [(f"{POOL}.more", *row) for row in ROWS["as usual"]])
    yield SqliteSource(connection, POOL)
    connection.close()


def one_by_one(source: SqliteSource, after: int, limit: int) -> Iterator[tuple[int, Any]]:
    for seq, kind, raw in source.page(after, limit):
        yield seq, open_payload(POOL, seq, kind, raw)


def many_at_once(source: SqliteSource, after: int, limit: int) -> Iterator[tuple[int, Any]]:
    for numbers, payloads in source.stretches(after, limit, open_payloads):
        yield from zip(numbers, payloads, strict=True)


def each_as_it_is(source: SqliteSource, after: int, limit: int) -> Iterator[tuple[int, Any]]:
    for seq, kind, raw in source.page(after, limit):
        try:
            yield seq, open_payload(POOL, seq, kind, raw)
        except AgentPoolError as error:
            yield seq, str(error)


def each_at_once(source: SqliteSource, after: int, limit: int) -> Iterator[tuple[int, Any]]:
    for numbers, payloads in source.stretches(after, limit, open_each):
        for seq, payload in zip(numbers, payloads, strict=True):
            yield seq, str(payload) if isinstance(payload, AgentPoolError) else payload


def taken(values: Iterator[tuple[int, Any]]) -> tuple[list[tuple[int, Any]], str]:
    """Take what there is before an error, and the error."""
    found = []
    try:
        for value in values:
            found.append(value)  # noqa: PERF402  # what comes before an error counts
    except AgentPoolError as error:
        return found, str(error)
    return found, ""


def test_they_are_what_stands_in_the_rows(source: SqliteSource) -> None:
    for after, limit in product([0, 1, 99, 400], [1, 2, 100, 101, 500]):
        found = taken(many_at_once(source, after, limit))
        assert found == taken(one_by_one(source, after, limit))


def test_one_that_cannot_be_read_is_its_error_at_its_place(source: SqliteSource) -> None:
    for after, limit in product([0, 1, 99, 400], [1, 2, 100, 101, 500]):
        found = taken(each_at_once(source, after, limit))
        assert found == taken(each_as_it_is(source, after, limit))
