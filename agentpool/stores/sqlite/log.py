"""SQL over the records: pages by cursor, look-ups by index, inserts. Synchronous, on the worker."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import Any, Final, TypeAlias

from agentpool.errors import AgentPoolError
from agentpool.rules.command import Placed
from agentpool.stores.sqlite.schema import (
    CONDITION_ID,
    MEMBER_RUN,
    MESSAGE_KEY,
    POOL_KINDS,
    WAKE_KEY,
)
from agentpool.wire.payload import SealedPayload, open_payload
from agentpool.wire.records import AgentPoolMember

__all__ = (
    "CONDITIONS",
    "MESSAGES_BY_KEY",
    "WAKES_BY_KEY",
    "Index",
    "changes",
    "find",
    "find_all",
    "first_pool_record",
    "head",
    "insert",
    "member_before",
    "page",
    "pool_page",
)

Changes: TypeAlias = tuple[int, int | None, int | None]
Row: TypeAlias = tuple[int, str, bytes | None]

# As bytes, because what another writer stored may not be UTF-8; that is for one record to suffer.
_PAYLOAD: Final = "CASE typeof(payload_json) WHEN 'text' THEN CAST(payload_json AS BLOB) END"


@dataclass(frozen=True, eq=False)
class Index:
    """An index over one field of one kind of record: how to look up one value, and many."""

    kind: str
    one: str
    many: str

    @classmethod
    def over(cls, kind: str, field: str) -> "Index":
        where = f"FROM agent_pool_records WHERE pool_id = ? AND kind = '{kind}' AND {field}"
        return cls(
            kind=kind,
            one=f"SELECT seq, {_PAYLOAD} {where} = ? ORDER BY seq DESC LIMIT 1",
            many=f"SELECT {field}, seq, {_PAYLOAD} {where} IN (SELECT value FROM json_each(?))",
        )


MESSAGES_BY_KEY: Final = Index.over("run_message", MESSAGE_KEY)
WAKES_BY_KEY: Final = Index.over("wake", WAKE_KEY)
CONDITIONS: Final = Index.over("wake", CONDITION_ID)

_HEAD: Final = "SELECT max(seq) FROM agent_pool_records WHERE pool_id = ?"
_LAST_ROWS: Final = """
    SELECT (SELECT max(rowid) FROM agent_pool_records),
           (SELECT max(rowid) FROM agent_pool_event_seq)
"""
_PAGE: Final = f"""
    SELECT seq, kind, {_PAYLOAD} FROM agent_pool_records
    WHERE pool_id = ? AND seq > ? ORDER BY seq LIMIT ?
"""
_POOL_PAGE: Final = f"""
    SELECT seq, kind, {_PAYLOAD} FROM agent_pool_records
    WHERE pool_id = ? AND seq > ? AND seq <= ? AND {POOL_KINDS} ORDER BY seq
"""
_MEMBER_BEFORE: Final = f"""
    SELECT seq, {_PAYLOAD} FROM agent_pool_records
    WHERE pool_id = ? AND kind = 'member_joined' AND {MEMBER_RUN} = ? AND seq < ?
    ORDER BY seq DESC LIMIT 1
"""
_FIRST_POOL_RECORD: Final = f"""
    SELECT seq, kind, {_PAYLOAD} FROM agent_pool_records
    WHERE pool_id = ? AND {POOL_KINDS} ORDER BY seq LIMIT 1
"""
_INSERT_SIZES: Final = (256, 64, 32, 16, 8, 4, 2, 1)
_INSERT: Final = {
    size: "INSERT INTO agent_pool_records (pool_id, seq, kind, payload_json) VALUES "
    + ", ".join(["(?, ?, ?, ?)"] * size)
    for size in _INSERT_SIZES
}


def changes(connection: sqlite3.Connection, last: Changes | None) -> Changes:
    """Say what has changed in the file: anything at all, the records, the event numbers.

    :param last: what it said before; where nothing at all has changed, it says the same again
    """
    [version] = connection.execute("PRAGMA data_version").fetchone()
    if last is not None and version == last[0]:
        return last
    [records, events] = connection.execute(_LAST_ROWS).fetchone()
    return version, records, events


def head(connection: sqlite3.Connection, pool_id: str) -> int:
    """Find the number of the last record of a pool, 0 for none."""
    [seq] = connection.execute(_HEAD, (pool_id,)).fetchone()
    return seq or 0


def page(connection: sqlite3.Connection, pool_id: str, after: int, limit: int) -> list[Row]:
    """Fetch records in order, all of them at once, so that no cursor stays open."""
    return connection.execute(_PAGE, (pool_id, after, limit)).fetchall()


def pool_page(connection: sqlite3.Connection, pool_id: str, after: int, upto: int) -> list[Row]:
    """Fetch the records that are not messages."""
    return connection.execute(_POOL_PAGE, (pool_id, after, upto)).fetchall()


def find(
    connection: sqlite3.Connection, pool_id: str, index: Index, value: str
) -> Placed[Any] | None:
    """Look up the latest record with this value."""
    row = connection.execute(index.one, (pool_id, value)).fetchone()
    return None if row is None else _placed(pool_id, index, *row)


def find_all(
    connection: sqlite3.Connection, pool_id: str, index: Index, values: Iterable[str]
) -> dict[str, Placed[Any] | None]:
    """Look up the latest record for each of these values, in one statement."""
    found: dict[str, Placed[Any] | None] = dict.fromkeys(values)
    rows = connection.execute(index.many, (pool_id, json.dumps(list(found)))).fetchall()
    latest = {value: (seq, raw) for value, seq, raw in sorted(rows, key=itemgetter(1))}
    for value, (seq, raw) in latest.items():
        try:
            found[value] = _placed(pool_id, index, seq, raw)
        except AgentPoolError:
            del found[value]  # the command that looks it up by itself gets the error
    return found


def first_pool_record(connection: sqlite3.Connection, pool_id: str) -> Row | None:
    """Fetch the first record that is not a message."""
    found: Row | None = connection.execute(_FIRST_POOL_RECORD, (pool_id,)).fetchone()
    return found


def member_before(
    connection: sqlite3.Connection, pool_id: str, run_id: str, seq: int
) -> AgentPoolMember | None:
    """Find what a run last joined with before a record."""
    row = connection.execute(_MEMBER_BEFORE, (pool_id, run_id, seq)).fetchone()
    if row is None:
        return None
    member: AgentPoolMember = open_payload(pool_id, row[0], "member_joined", row[1]).member
    return member


def insert(
    connection: sqlite3.Connection, pool_id: str, seq: int, records: Sequence[SealedPayload]
) -> None:
    """Append records to a pool, numbered from ``seq`` on.

    Many rows a statement: one statement is one stretch without the interpreter lock, in which the
    event loop can run; row by row the two threads would hand the lock to and fro.
    """
    rows = [(pool_id, seq + i, kind, text) for i, (_, kind, text) in enumerate(records)]
    start = 0
    for size in _INSERT_SIZES:
        while len(rows) - start >= size:
            values = list(chain.from_iterable(rows[start : start + size]))
            connection.execute(_INSERT[size], values)
            start += size


def _placed(pool_id: str, index: Index, seq: int, raw: bytes | None) -> Placed[Any]:
    return Placed(seq, open_payload(pool_id, seq, index.kind, raw).stored)
