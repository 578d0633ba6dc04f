"""What a hostile program may do to the file of a store, by plain SQL.

It has one pool in mind, or the tables that all share. In a statement, ``{next}`` is the number of
the next record of the pool, ``{some}`` a text of some megabytes, and ``{deep}`` one of a hundred
thousand brackets.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = ("ATTACKS", "HARMED", "Attack")

HARMED: Final = "pool.harmed"

_NEXT: Final = f"(SELECT max(seq) + 1 FROM agent_pool_records WHERE pool_id = '{HARMED}')"
_DEEP: Final = "replace(hex(zeroblob(100000)), '00', '[')"
_MESSAGE: Final = (
    f"(SELECT payload_json FROM agent_pool_records WHERE pool_id = '{HARMED}'"
    " AND kind = 'run_message' ORDER BY seq LIMIT 1)"
)
_KINDS: Final = ("run_message", "wake", "member_joined", "pool_opened", "of_tomorrow")
_LARGEST: Final = 2**63 - 1


class Attack(NamedTuple):
    """Statements, executed one by one.

    :ivar everywhere: whether it harms all pools: then every call may fail, with an error of ours
    """

    name: str
    statements: tuple[str, ...]
    everywhere: bool = False

    def sql(self, megabytes: int) -> Iterator[str]:
        """Write its statements, with texts of a size."""
        some = f"replace(hex(zeroblob({megabytes * 500_000})), '00', 'xx')"
        for statement in self.statements:
            sql = statement.replace("{some}", some).replace("{deep}", _DEEP)
            yield sql.replace("{next}", _NEXT)


def _record(kind: str, payload: str, seq: str = "{next}") -> str:
    return (
        f"INSERT OR REPLACE INTO agent_pool_records VALUES ('{HARMED}', {seq}, {kind}, {payload})"
    )


def _row(kind: str, name: str, number: object, due_at: object, value: str) -> str:
    return (
        "INSERT OR REPLACE INTO agentpool_rows (pool_id, kind, name, number, due_at, value)"
        f" VALUES ('{HARMED}', '{kind}', {name}, {number}, {due_at}, {value})"
    )


def _trigger(when: str, table: str, does: str, *, pool: bool = True) -> str:
    only = f"WHEN NEW.pool_id = '{HARMED}'" if pool else ""
    return f"CREATE TRIGGER agentpool_guard {when} ON {table} {only} BEGIN {does}; END"


_CREATED: Final = ("'pool_created'", '\'{"type":"pool_created"}\'')
_AGAIN: Final = f"INSERT OR IGNORE INTO agent_pool_records VALUES ('{HARMED}', NEW.seq + 1"

_RECORDS: Final = {
    "no JSON": tuple(_record(f"'{kind}'", "'{'") for kind in _KINDS),
    "nothing": tuple(_record(f"'{kind}'", "''") for kind in _KINDS),
    "a number": tuple(_record(f"'{kind}'", "7") for kind in _KINDS),
    "bytes": tuple(_record(f"'{kind}'", "x'ff00fe'") for kind in _KINDS),
    "a zero byte": tuple(_record(f"'{kind}'", "'\"a' || char(0) || '\"'") for kind in _KINDS),
    "a lone surrogate": tuple(
        _record(
            "'run_message'", f"json_set({_MESSAGE}, '$.stored.message.{field}', json('{text}'))"
        )
        for field in ("idempotency_key", "content_ref", "sender")
        for text in ('"\\ud800"', "1e99999", '{"a":{}}')
    ),
    "brackets without an end": tuple(_record(f"'{kind}'", "{deep}") for kind in _KINDS),
    "a deep record": tuple(
        _record(f"'{kind}'", "{deep} || replace({deep}, '[', ']')") for kind in _KINDS
    ),
    "a long text": (_record("'run_message'", "{some}"),),
    "a long unknown record": (_record("'of_tomorrow'", "'{\"a\":\"' || {some} || '\"}'"),),
    "long bytes": (_record("'wake'", "CAST({some} AS BLOB)"),),
    "a long message": (
        _record("'run_message'", f"json_set({_MESSAGE}, '$.stored.message.content_ref', {{some}})"),
    ),
    "a kind that is no text": (_record("CAST(x'ff66' AS TEXT)", "'{}'"), _record("x'00'", "'{}'")),
    "a gap": (_record(*_CREATED, seq="{next} + 5"),),
    "negative numbers": tuple(_record(*_CREATED, seq=n) for n in ("-1", "0", str(-(2**63)))),
    "the largest number": (_record(*_CREATED, seq=str(_LARGEST)),),
    "numbers that are none": tuple(_record(*_CREATED, seq=n) for n in ("'x'", "x'01'", "9e999")),
    "every second record gone": (
        f"DELETE FROM agent_pool_records WHERE pool_id = '{HARMED}' AND seq % 2",
    ),
    "no record any more": (f"DELETE FROM agent_pool_records WHERE pool_id = '{HARMED}'",),
    "records that are overwritten": (
        f"UPDATE agent_pool_records SET payload_json = '[' WHERE pool_id = '{HARMED}'",
    ),
}
_STATE: Final = {
    "event numbers": tuple(
        f"INSERT OR REPLACE INTO agent_pool_event_seq VALUES ('{HARMED}', {number})"
        for number in ("-5", str(_LARGEST), "'x'")
    ),
    "deadlines of nothing": tuple(
        _row("deadline", name, 0, due, "'x'")
        for name in ("'expiry k'", "'wake x'", "'lease run.a'", "'held m'", "''")
        for due in (1, -1, _LARGEST)
    ),
    "deadlines by the thousand": (
        f"""
        INSERT OR REPLACE INTO agentpool_rows (pool_id, kind, name, number, due_at, value)
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000)
        SELECT '{HARMED}', 'deadline', 'of_tomorrow ' || i, 0, 1, '' FROM n
        """,
    ),
    "an inbox of nothing": tuple(
        _row("inbox", "'run.a'", number, 0, value)
        for number, value in ((1, "'{'"), (_LARGEST, "'{}'"), (77, "{deep}"), (-3, "'{}'"))
    ),
    "a long row": (_row("inbox", "'run.a'", 1, 0, "{some}"),),
    "a checkpoint ahead of its log": (
        f"""
        INSERT OR REPLACE INTO agentpool_checkpoints VALUES ('{HARMED}', 999999,
            '{{"config":null,"created_at":null,"members":[],"open_wakes":[]}}')
        """,
    ),
    "a deep checkpoint": (
        f"INSERT OR REPLACE INTO agentpool_checkpoints VALUES ('{HARMED}', 2, {{deep}})",
    ),
    "more worked in than there is": (
        f"UPDATE agentpool_pools SET projected = {_LARGEST} WHERE pool_id = '{HARMED}'",
    ),
    "less worked in than nothing": (
        f"UPDATE agentpool_pools SET projected = -7 WHERE pool_id = '{HARMED}'",
    ),
}
_TRIGGERS: Final = {
    f"a trigger on {table} that {what}": (_trigger(when, table, does),)
    for table in ("agent_pool_records", "agentpool_rows")
    for what, when, does in (
        ("swallows", "BEFORE INSERT", "SELECT RAISE(IGNORE)"),
        ("refuses", "BEFORE INSERT", "SELECT RAISE(ABORT, 'no')"),
        ("rolls back", "AFTER INSERT", "SELECT RAISE(ROLLBACK, 'no')"),
        ("takes away", "AFTER INSERT", f"DELETE FROM {table} WHERE pool_id = NEW.pool_id"),
    )
} | {
    "a trigger that adds records": (
        _trigger("AFTER INSERT", "agent_pool_records", f"{_AGAIN}, {', '.join(_CREATED)})"),
    ),
    "a trigger that spoils records": (
        _trigger(
            "AFTER INSERT",
            "agent_pool_records",
            "UPDATE agent_pool_records SET payload_json = '{' WHERE rowid = NEW.rowid",
        ),
    ),
}
_EVERYWHERE: Final = {
    "a view for a table": (
        "ALTER TABLE agentpool_pools RENAME TO other_pools",
        "CREATE VIEW agentpool_pools AS SELECT * FROM other_pools",
    ),
    "a view for the records": (
        "ALTER TABLE agent_pool_records RENAME TO other_records",
        "CREATE VIEW agent_pool_records AS SELECT * FROM other_records",
    ),
    "no table of rows": ("DROP TABLE agentpool_rows",),
    "no triggers of ours": (
        "DROP TRIGGER agentpool_record_update",
        "CREATE VIEW agentpool_record_update AS SELECT 1",
    ),
    "a trigger that swallows all": (
        _trigger("BEFORE INSERT", "agent_pool_records", "SELECT RAISE(IGNORE)", pool=False),
    ),
    "a clock that is none": ("DELETE FROM agentpool_clock",),
    "a newer schema": ("PRAGMA user_version = 99",),
}

ATTACKS: Final = (
    *(Attack(name, sql) for name, sql in (_RECORDS | _STATE | _TRIGGERS).items()),
    *(Attack(name, sql, everywhere=True) for name, sql in _EVERYWHERE.items()),
)
