"""The SQL over a pool. Each statement is a point, or some rows in the order of an index.

So its plan is the same on empty tables and on large ones, and it reads what it gives. Points for
many keys at once have a ``LIMIT``: with it, the keys are gone through one by one. Without, all of a
pool was read and compared to each of them, as long as the tables were not analysed.
"""

from typing import Final

from agentpool.rules.rows import EXPIRY
from agentpool.stores.batch.raw import INCOMING
from agentpool.stores.postgres.pipeline import Statement
from agentpool.wire.ids import I64_MAX
from agentpool.wire.payload import LONGEST

__all__ = (
    "APPEND",
    "BEGIN_READING",
    "BEGIN_WRITING",
    "CHECKPOINT",
    "COMMIT",
    "DEADLINES",
    "DELETE_ROWS",
    "DUE",
    "DUE_OF_POOLS",
    "FIND_POOL",
    "FIRST_OF_WAKE",
    "FIRST_POOL_RECORD",
    "FIRST_ROWS",
    "FIRST_TO_TAKE",
    "HELD",
    "INSERT_POOL",
    "LOCK",
    "LOOK",
    "MEMBER_BEFORE",
    "MESSAGES_BY_KEY",
    "MOST_NEWS",
    "NEXT_DUE",
    "NUMBERS",
    "NUMBERS_AND_NEWS",
    "PAGE",
    "POOLS",
    "POOL_PAGE",
    "PUT",
    "PUT_CHECKPOINT",
    "RECORDS_OF_MESSAGE",
    "ROLLBACK",
    "ROWS",
    "ROWS_BY_KEY",
    "TIME",
    "TIME_OF_SERVER",
    "VERSIONS",
    "WAKES_BY_CONDITION",
    "WAKES_BY_KEY",
    "WITHOUT_DISK",
)

# --- transactions

BEGIN_WRITING: Final = Statement("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
BEGIN_READING: Final = Statement("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
COMMIT: Final = Statement("COMMIT")
ROLLBACK: Final = Statement("ROLLBACK")
WITHOUT_DISK: Final = Statement("SET LOCAL synchronous_commit = off")

INSERT_POOL: Final = Statement(
    "INSERT INTO @.pools (pool_id) VALUES ($1) ON CONFLICT (pool_id) DO NOTHING"
)
LOCK: Final = Statement("SELECT pool FROM @.pools WHERE pool_id = $1 FOR NO KEY UPDATE")
HELD: Final = Statement(
    """
    SELECT k.pool_id
    FROM unnest($1::text[]) AS k (pool_id) CROSS JOIN LATERAL (
        SELECT FROM @.pools WHERE pool_id = k.pool_id LIMIT 1
    ) found LEFT JOIN LATERAL (
        SELECT pool FROM @.pools WHERE pool_id = k.pool_id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
    ) free ON true WHERE free.pool IS NULL
    """
)
FIND_POOL: Final = Statement("SELECT pool FROM @.pools WHERE pool_id = $1")

_MILLIS: Final = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
TIME_OF_SERVER: Final = Statement(f"SELECT {_MILLIS}")

# --- what nearly every transaction looks up

_HEAD: Final = "(SELECT seq FROM @.records r WHERE r.pool = {pool} ORDER BY seq DESC LIMIT 1)"
_NEXT_DEADLINE: Final = """(
    SELECT due_at FROM @.rows d WHERE d.pool = {pool} AND d.kind = 'deadline'
    ORDER BY due_at LIMIT 1
)"""
_NUMBERS: Final = f"""
    {_HEAD.format(pool="$1::bigint")}, p.event_sequence, p.projected,
    {_NEXT_DEADLINE.format(pool="$1::bigint")}, p.pool_id
"""
NUMBERS: Final = Statement(f"SELECT {_NUMBERS} FROM @.pools p WHERE p.pool = $1::bigint")
POOLS: Final = Statement(
    f"""
    SELECT pool_id FROM @.pools p WHERE {_HEAD.format(pool="p.pool")} IS NOT NULL
    AND NOT EXISTS (
        SELECT FROM @.records m
        WHERE m.pool = p.pool AND m.seq = {I64_MAX} AND m.kind = '{INCOMING}'
    )
    """
)
DUE_OF_POOLS: Final = Statement(
    f"""
    SELECT k.pool_id, {_HEAD.format(pool="p.pool")}, p.projected,
        {_NEXT_DEADLINE.format(pool="p.pool")}
    FROM unnest($1::text[]) AS k (pool_id) CROSS JOIN LATERAL (
        SELECT pool, projected FROM @.pools WHERE pool_id = k.pool_id LIMIT 1
    ) p
    """
)
VERSIONS: Final = Statement(
    """
    SELECT k.pool_id, p.version
    FROM unnest($1::text[]) AS k (pool_id) CROSS JOIN LATERAL (
        SELECT version FROM @.pools WHERE pool_id = k.pool_id LIMIT 1
    ) p
    """
)

# --- records


def _payload(alias: str) -> str:
    column = f"{alias}.payload"
    return f"CASE WHEN octet_length({column}) <= {LONGEST} THEN {column} END"


_RECORD: Final = f"""
    SELECT r.seq, r.kind, {_payload("r")} AS payload FROM @.records r WHERE r.pool = $1::bigint
"""
PAGE: Final = Statement(f"{_RECORD} AND r.seq > $2::bigint ORDER BY r.seq LIMIT $3::bigint")
_OTHERS: Final = "r.kind <> 'run_message'"
POOL_PAGE: Final = Statement(
    f"""
    {_RECORD} AND {_OTHERS} AND r.seq > $2::bigint AND r.seq <= $3::bigint
    ORDER BY r.seq LIMIT $4::bigint
    """
)
MOST_NEWS: Final = 100
_AND_NEWS: Final = f"""
    FROM @.pools p LEFT JOIN LATERAL (
        {_RECORD} AND {_OTHERS} AND r.seq > $2::bigint ORDER BY r.seq LIMIT {MOST_NEWS}
    ) n ON true
    WHERE p.pool = $1::bigint
"""
NUMBERS_AND_NEWS: Final = Statement(f"SELECT {_NUMBERS}, n.seq, n.kind, n.payload {_AND_NEWS}")
"""`NUMBERS`, and the first `MOST_NEWS` records after a number that are no messages.

A row for each of them, in order, since a join with one row keeps it: five columns of numbers, which
are the same in all, and three of the record, which are null where there is none.
"""

# The time after the lock: before it, it would be that at which the waiting began.
LOOK: Final = Statement(
    f"""
    SELECT {_NUMBERS}, n.seq, n.kind, n.payload, {_MILLIS}, pg_current_xact_id()::text {_AND_NEWS}
    """
)
"""`NUMBERS_AND_NEWS` in a transaction that writes: two more columns are its time and its number."""

FIRST_POOL_RECORD: Final = Statement(f"{_RECORD} AND {_OTHERS} ORDER BY r.seq LIMIT 1")
# Where several indexes would do, a statement asks for an order that only one of them has, and for
# one value as a range, or the planner would leave it out of the order: by the number alone, all
# records that are no messages were gone through, while the planner believed that there are few.
MEMBER_BEFORE: Final = Statement(
    f"""
    {_RECORD} AND r.kind = 'member_joined' AND r.subject >= $2::text
    AND (r.subject, r.seq) < ($2::text, $3::bigint)
    ORDER BY r.subject DESC, r.seq DESC LIMIT 1
    """
)
RECORDS_OF_MESSAGE: Final = Statement(
    f"""
    {_RECORD} AND r.kind = 'run_message' AND r.key >= $2::text AND r.key <= $2::text
    ORDER BY r.key, r.seq LIMIT $3::bigint
    """
)
FIRST_OF_WAKE: Final = Statement(
    f"""
    {_RECORD} AND r.kind = 'wake' AND r.subject >= $2::text AND r.subject <= $2::text
    ORDER BY r.subject, r.seq LIMIT 1
    """
)


def _latest(kind: str, column: str) -> Statement:
    """Find the latest record of a kind for each of many values of a column."""
    return Statement(
        f"""
        SELECT k.value, l.seq, l.kind, l.payload
        FROM unnest($2::text[]) AS k (value) CROSS JOIN LATERAL (
            {_RECORD} AND r.kind = '{kind}' AND r.{column} >= k.value AND r.{column} <= k.value
            ORDER BY r.{column} DESC, r.seq DESC LIMIT 1
        ) l
        """
    )


MESSAGES_BY_KEY: Final = _latest("run_message", "key")
WAKES_BY_KEY: Final = _latest("wake", "key")
WAKES_BY_CONDITION: Final = _latest("wake", "subject")
TIME: Final = Statement(
    """
    SELECT millis FROM @.times WHERE pool = $1::bigint AND seq <= $2::bigint
    ORDER BY seq DESC LIMIT 1
    """
)
CHECKPOINT: Final = Statement("SELECT seq, state FROM @.checkpoints WHERE pool = $1::bigint")

# --- rows

_ROW: Final = "SELECT i.kind, i.name, i.number, i.value, i.due_at FROM @.rows i"
_IN_POOL: Final = "i.pool = $1::bigint"
_KEYS: Final = "unnest($2::text[], $3::text[], $4::bigint[]) AS k (kind, name, number)"
_BY_KEY: Final = f"{_IN_POOL} AND i.kind = k.kind AND i.name = k.name AND i.number = k.number"
ROWS_BY_KEY: Final = Statement(
    f"SELECT l.* FROM {_KEYS} CROSS JOIN LATERAL ({_ROW} WHERE {_BY_KEY} LIMIT 1) l"
)
FIRST_ROWS: Final = Statement(
    f"""
    SELECT l.* FROM {_KEYS} CROSS JOIN LATERAL (
        {_ROW} WHERE {_IN_POOL} AND i.kind = k.kind AND i.name = k.name AND i.number > k.number
        ORDER BY i.number LIMIT $5::bigint
    ) l
    """
)
"""The first rows of each of many names after a number."""

ROWS: Final = Statement(
    f"""
    {_ROW} WHERE {_IN_POOL} AND i.kind = $2::text AND i.name = $3::text AND i.number > $4::bigint
    ORDER BY i.number LIMIT $5::bigint
    """
)
DUE: Final = Statement(
    f"""
    {_ROW} WHERE {_IN_POOL} AND i.kind = 'inbox' AND i.name = $2::text
    AND i.due_at > $3::bigint AND i.due_at <= $4::bigint
    ORDER BY i.due_at, i.number LIMIT $5::bigint
    """
)
NEXT_DUE: Final = Statement(
    f"""
    SELECT i.due_at FROM @.rows i WHERE {_IN_POOL} AND i.kind = 'inbox' AND i.name = $2::text
    ORDER BY i.due_at LIMIT 1
    """
)
DEADLINES: Final = Statement(
    f"""
    {_ROW} WHERE {_IN_POOL} AND i.kind = 'deadline' AND i.due_at <= $2::bigint
    ORDER BY i.due_at, i.name LIMIT $3::bigint
    """
)
# A kind that is no constant: else the index of deadlines would do, whose names are in no order.
FIRST_TO_TAKE: Final = Statement(
    f"""
    SELECT i.kind, i.name, i.number, i.value, i.due_at, r.seq, r.kind, {_payload("r")},
        r.key, l.seq, l.payload, '{EXPIRY} ' || r.key, e.value, e.due_at
    FROM (
        {_ROW} WHERE {_IN_POOL} AND i.kind = 'inbox' AND i.name = $2::text
        AND i.due_at >= 0 AND i.due_at <= 0 ORDER BY i.due_at, i.number LIMIT $3::bigint
    ) i
    LEFT JOIN LATERAL (
        SELECT * FROM @.records r WHERE r.pool = $1::bigint AND r.seq = i.number LIMIT 1
    ) r ON true
    LEFT JOIN LATERAL (
        SELECT o.seq, CASE WHEN o.seq <> r.seq THEN {_payload("o")} END AS payload
        FROM @.records o
        WHERE o.pool = $1::bigint AND o.kind = 'run_message' AND o.key >= r.key AND o.key <= r.key
        ORDER BY o.key DESC, o.seq DESC LIMIT 1
    ) l ON true
    LEFT JOIN LATERAL (
        SELECT d.value, d.due_at FROM @.rows d
        WHERE d.pool = $1::bigint AND d.kind = $4::text AND d.name = '{EXPIRY} ' || r.key
        AND d.number = 0 LIMIT 1
    ) e ON true
    ORDER BY i.due_at, i.number
    """
)
"""What can be taken first from an inbox, with all that is looked up of it.

The kind of a deadline is a parameter, so that it is found by its key: the index of the kind alone
is in another order.
"""

# --- writing

# In one statement what could be four: each costs as much by itself as what it writes.
_PUT_POOL: Final = """
    UPDATE @.pools SET event_sequence = coalesce($2::bigint, event_sequence),
        projected = coalesce($3::bigint, projected), version = version + 1
    WHERE pool = $1::bigint
"""
_PUT_ROWS: Final = """
    INSERT INTO @.rows (pool, kind, name, number, due_at, value)
    SELECT $1::bigint, k.* FROM unnest($4::text[], $5::text[], $6::bigint[], $7::bigint[],
        $8::text[]) AS k (kind, name, number, due_at, value)
    ON CONFLICT (pool, kind, name, number)
    DO UPDATE SET due_at = excluded.due_at, value = excluded.value
"""
_PUT_TIME: Final = """
    INSERT INTO @.times (pool, seq, millis)
    SELECT $1::bigint, $9::bigint, $10::bigint WHERE $10::bigint IS NOT NULL
"""
PUT: Final = Statement(f"WITH pool AS ({_PUT_POOL}) {_PUT_ROWS}")
"""Write what a pool is, and rows of it."""

APPEND: Final = Statement(
    f"""
    WITH pool AS ({_PUT_POOL}), rows AS ({_PUT_ROWS}), time AS ({_PUT_TIME})
    INSERT INTO @.records (pool, seq, kind, key, subject, payload)
    SELECT $1::bigint, $9::bigint + k.at - 1, k.kind, k.key, k.subject, k.payload
    FROM unnest($11::text[], $12::text[], $13::text[], $14::text[])
    WITH ORDINALITY AS k (kind, key, subject, payload, at)
    """
)
"""The same, and append records, with the time of the first of them."""

# By where they are, which is looked up first: nobody else changes rows of a pool that is locked.
DELETE_ROWS: Final = Statement(
    f"""
    DELETE FROM @.rows WHERE ctid = ANY(ARRAY(
        SELECT l.ctid FROM {_KEYS} CROSS JOIN LATERAL (
            SELECT i.ctid FROM @.rows i WHERE {_BY_KEY} LIMIT 1
        ) l
    ))
    """
)
PUT_CHECKPOINT: Final = Statement(
    """
    INSERT INTO @.checkpoints (pool, seq, state) VALUES ($1::bigint, $2::bigint, $3::text)
    ON CONFLICT (pool) DO UPDATE SET seq = excluded.seq, state = excluded.state
    """
)
