"""The SQL over the records of a pool and what stands beside them."""

from dataclasses import dataclass
from typing import Final

from agentpool.stores.batch.raw import INCOMING
from agentpool.stores.sqlite.schema import (
    CONDITION_ID,
    IS_LONG,
    IS_UTF_8,
    MEMBER_RUN,
    MESSAGE_KEY,
    POOL_KINDS,
    WAKE_KEY,
)
from agentpool.wire.ids import I64_MAX

__all__ = (
    "ALWAYS",
    "ALWAYS_ASKED",
    "ARE_ROWS",
    "CHECKPOINT",
    "CONDITIONS",
    "DEADLINES",
    "DELETE_DAMAGED",
    "DELETE_ROWS",
    "DUE",
    "EVENT_SEQUENCE",
    "FIRST_POOL_RECORD",
    "HEAD",
    "INSERT",
    "LINES",
    "MEMBER_BEFORE",
    "MESSAGES_BY_KEY",
    "NEXT_DEADLINE",
    "NEXT_DUE",
    "NEXT_LONG",
    "PAGE",
    "POOLS",
    "POOL_PAGE",
    "PROJECTED",
    "PUT_CHECKPOINT",
    "PUT_EVENT_SEQUENCE",
    "PUT_PROJECTED",
    "PUT_ROWS",
    "PUT_TIME",
    "READABLE",
    "ROW",
    "ROWS",
    "TIME",
    "WAKES_BY_KEY",
    "Index",
    "with_damaged_as_bytes",
    "with_kind_as_bytes",
    "without_index",
)

_BY_INDEX: Final = "INDEXED BY agentpool_long_records"
READABLE: Final = f"""
    typeof(payload_json) = 'text' AND NOT EXISTS (
        SELECT 1 FROM agent_pool_records AS long {_BY_INDEX}
        WHERE long.pool_id = agent_pool_records.pool_id AND long.seq = agent_pool_records.seq
        AND {IS_LONG.replace("payload_json", "long.payload_json")}
    )
"""
"""Whether a payload may be read; the index tells, so that one that is too long is not looked at."""

# As bytes, because what another writer stored may not be UTF-8; that is for one record to suffer.
_PAYLOAD: Final = f"CASE WHEN {READABLE} THEN CAST(payload_json AS BLOB) END"
_KIND: Final = "SELECT seq, kind,"
_RECORDS: Final = f"SELECT seq, kind, {_PAYLOAD} FROM agent_pool_records WHERE pool_id = ?"
_ROW: Final = "SELECT kind, name, number, value, due_at"
_ROWS: Final = f"{_ROW} FROM agentpool_rows WHERE pool_id = ?"
# What another program left without a number is nowhere, and without a time is never due. With the
# sign, no index is chosen by that.
_IS_KEY: Final = "typeof(number) = 'integer' AND +number >= 0"
_IS_DUE: Final = f"{_IS_KEY} AND typeof(due_at) = 'integer'"
_HAS_VALUE: Final = f"typeof(value) = 'text' AND {IS_UTF_8}(CAST(value AS BLOB))"

# --- records


def with_kind_as_bytes(sql: str) -> str:
    """Change a statement that reads records to one that reads kinds that are not UTF-8 too."""
    return sql.replace(_KIND, "SELECT seq, CAST(kind AS BLOB),", 1)


def with_damaged_as_bytes(sql: str) -> str:
    """Change a statement that reads rows to one that reads those that are not UTF-8 too."""
    return sql.replace(
        _ROW,
        f"""SELECT kind, name, number,
        CASE WHEN {_HAS_VALUE} THEN value ELSE CAST(value AS BLOB) END,
        CASE WHEN typeof(due_at) = 'integer' THEN due_at END""",
        1,
    )


def without_index(sql: str) -> str:
    """Change a statement that reads records to one for a file that lacks the index of long ones."""
    return sql.replace(_BY_INDEX, "")


@dataclass(frozen=True, eq=False)
class Index:
    """An index over one field of one kind of record: how to look up one value, and many.

    :ivar one: the latest record with a value
    :ivar first: the first of them
    :ivar all: all of them, in order
    """

    one: str
    first: str
    all: str
    many: str

    @classmethod
    def over(cls, kind: str, field: str) -> "Index":
        where = f"FROM agent_pool_records WHERE pool_id = ? AND kind = '{kind}' AND {field}"
        return cls(
            one=f"SELECT seq, kind, {_PAYLOAD} {where} = ? ORDER BY seq DESC LIMIT 1",
            first=f"SELECT seq, kind, {_PAYLOAD} {where} = ? ORDER BY seq LIMIT 1",
            all=f"SELECT seq, kind, {_PAYLOAD} {where} = ? ORDER BY seq LIMIT ?",
            many=f"SELECT {field}, seq, kind, {_PAYLOAD} {where}"
            " IN (SELECT value FROM json_each(?))",
        )


MESSAGES_BY_KEY: Final = Index.over("run_message", MESSAGE_KEY)
WAKES_BY_KEY: Final = Index.over("wake", WAKE_KEY)
CONDITIONS: Final = Index.over("wake", CONDITION_ID)

NEXT_LONG: Final = f"""
    SELECT min(seq) FROM agent_pool_records {_BY_INDEX} WHERE pool_id = ? AND seq > ? AND {IS_LONG}
"""
HEAD: Final = "SELECT max(seq) FROM agent_pool_records WHERE pool_id = ?"
PAGE: Final = f"{_RECORDS} AND seq > ? ORDER BY seq LIMIT ?"
# One row, hence one stretch without the interpreter lock, for many records. They are added together
# in the order in which the inner query gives them, which its LIMIT keeps.
LINES: Final = """
    SELECT max(seq), count(CASE WHEN typeof(seq) = 'integer' AND typeof(kind) = 'text'
        AND typeof(payload_json) = 'text' THEN 1 END), count(*),
        CAST(group_concat(kind, char(10)) AS BLOB),
        CAST(group_concat(payload_json, char(10)) AS BLOB)
    FROM (
        SELECT seq, kind, payload_json FROM agent_pool_records WHERE pool_id = ? AND seq > ?
        ORDER BY seq LIMIT ?
    )
"""
POOL_PAGE: Final = f"{_RECORDS} AND seq > ? AND seq <= ? AND {POOL_KINDS} ORDER BY seq"
FIRST_POOL_RECORD: Final = f"{_RECORDS} AND {POOL_KINDS} ORDER BY seq LIMIT 1"
MEMBER_BEFORE: Final = f"""
    {_RECORDS} AND kind = 'member_joined' AND {MEMBER_RUN} = ? AND seq <= ?
    ORDER BY seq DESC LIMIT 1
"""
_SIZES: Final = (256, 64, 32, 16, 8, 4, 2, 1)


def _for_many(sql: str, row: str) -> dict[int, str]:
    """Write a statement for so many rows each, the most first."""
    return {size: sql + ", ".join([row] * size) for size in _SIZES}


INSERT: Final = _for_many(
    "INSERT INTO agent_pool_records (pool_id, seq, kind, payload_json) VALUES ", "(?, ?, ?, ?)"
)

# --- rows

ROW: Final = f"{_ROWS} AND kind = ? AND name = ? AND number = ?"
ROWS: Final = f"""
    {_ROWS} AND kind = ? AND name = ? AND number > ? AND {_IS_KEY} ORDER BY number LIMIT ?
"""
# Rows that are due at the same time come by number, as the index holds the rest of the primary key;
# named in the ORDER BY, SQLite would sort all of them for the first.
DUE: Final = f"""
    {_ROWS} AND kind = 'inbox' AND name = ? AND due_at > ? AND due_at <= ? AND {_IS_DUE}
    ORDER BY due_at LIMIT ?
"""
# What another program may have put there is no deadline that anybody can carry out.
_DEADLINE: Final = "pool_id = ? AND kind = 'deadline'"
_IN_ORDER: Final = "due_at <= ? ORDER BY due_at, name LIMIT ?"
_IS_ROW: Final = f"""
    {_IS_DUE} AND typeof(name) = 'text' AND {IS_UTF_8}(CAST(name AS BLOB)) AND {_HAS_VALUE}
"""
DEADLINES: Final = f"""
    {_ROW} FROM agentpool_rows WHERE {_DEADLINE} AND {_IS_ROW} AND {_IN_ORDER}
"""
ARE_ROWS: Final = f"""
    SELECT min(is_row) FROM (
        SELECT {_IS_ROW} AS is_row FROM agentpool_rows WHERE {_DEADLINE} AND {_IN_ORDER}
    )
"""
DELETE_DAMAGED: Final = f"""
    DELETE FROM agentpool_rows WHERE {_DEADLINE} AND (name, number) IN (
        SELECT name, number FROM (
            SELECT name, number, {_IS_ROW} AS is_row FROM agentpool_rows
            WHERE {_DEADLINE} AND {_IN_ORDER}
        ) WHERE NOT is_row
    )
"""
NEXT_DUE: Final = f"""
    SELECT due_at FROM agentpool_rows
    WHERE pool_id = ? AND kind = 'inbox' AND name = ? AND {_IS_DUE}
    ORDER BY due_at LIMIT 1
"""
# The first row is the first that is due, whatever it holds: to look for one that is well could take
# long. What is no number comes after all that are, and is never due.
NEXT_DEADLINE: Final = f"""
    SELECT CASE WHEN typeof(due_at) IN ('integer', 'real') THEN CAST(due_at AS INTEGER) END
    FROM agentpool_rows WHERE {_DEADLINE} ORDER BY due_at LIMIT 1
"""
PUT_ROWS: Final = _for_many(
    "INSERT OR REPLACE INTO agentpool_rows (pool_id, kind, name, number, value, due_at) VALUES ",
    "(?, ?, ?, ?, ?, ?)",
)
# Each by the whole key: in a list of keys SQLite would not use the index. Of more than a few it
# takes milliseconds to plan.
DELETE_ROWS: Final = {
    size: "DELETE FROM agentpool_rows WHERE "
    + " OR ".join(["(pool_id = ? AND kind = ? AND name = ? AND number = ?)"] * size)
    for size in (8, 4, 2, 1)
}

# --- one value for a pool

POOLS: Final = f"""
    WITH RECURSIVE pools (pool_id) AS (
        SELECT min(pool_id) FROM agent_pool_records
        UNION ALL
        SELECT (SELECT min(pool_id) FROM agent_pool_records WHERE pool_id > pools.pool_id)
        FROM pools WHERE pool_id IS NOT NULL
    )
    SELECT CAST(pool_id AS BLOB) FROM pools WHERE typeof(pool_id) = 'text' AND NOT EXISTS (
        SELECT 1 FROM agent_pool_records AS mark
        WHERE mark.pool_id = pools.pool_id AND seq = {I64_MAX} AND kind = '{INCOMING}'
    )
"""
"""Two steps of the index for a pool, however many records each has."""

EVENT_SEQUENCE: Final = "SELECT seq FROM agent_pool_event_seq WHERE pool_id = ?"
PROJECTED: Final = "SELECT projected FROM agentpool_pools WHERE pool_id = ?"
TIME: Final = """
    SELECT millis FROM agentpool_times WHERE pool_id = ? AND seq <= ? ORDER BY seq DESC LIMIT 1
"""
CHECKPOINT: Final = """
    SELECT seq, CAST(state_json AS BLOB) FROM agentpool_checkpoints WHERE pool_id = ?
"""
ALWAYS_ASKED: Final = (HEAD, PROJECTED, NEXT_DEADLINE)
"""What nearly every transaction looks up, which `ALWAYS` does in one statement."""
ALWAYS: Final = f"SELECT ({'), ('.join(ALWAYS_ASKED)})"
PUT_EVENT_SEQUENCE: Final = """
    INSERT OR REPLACE INTO agent_pool_event_seq (pool_id, seq) VALUES (?, ?)
"""
PUT_PROJECTED: Final = "INSERT OR REPLACE INTO agentpool_pools (pool_id, projected) VALUES (?, ?)"
PUT_TIME: Final = "INSERT OR REPLACE INTO agentpool_times (pool_id, seq, millis) VALUES (?, ?, ?)"
PUT_CHECKPOINT: Final = """
    INSERT OR REPLACE INTO agentpool_checkpoints (pool_id, seq, state_json) VALUES (?, ?, ?)
"""
