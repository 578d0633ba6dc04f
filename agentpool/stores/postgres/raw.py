"""A pool on a server as it is kept, for who takes it to another store."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from agentpool.errors import CorruptRecordError
from agentpool.stores.batch.raw import (
    BYTES_AT_ONCE,
    ITEMS_AT_ONCE,
    RECORDS,
    ROWS,
    TIMES,
    Item,
    Part,
)
from agentpool.stores.postgres.pipeline import Pipeline, Statement
from agentpool.stores.postgres.source import PostgresSource
from agentpool.stores.postgres.values import Array, bigints, texts
from agentpool.wire.ids import identifier_problem

__all__ = ("PostgresRawPool", "looked_up_in")


def _page(columns: str, table: str, where: str, order: str, long: str) -> Statement:
    """Write the statement for a page, which ends where it gets too long."""
    return Statement(
        f"""
        SELECT {columns} FROM (
            SELECT *, sum(octet_length({long})) OVER (ORDER BY {order}) - octet_length({long})
                AS before
            FROM (
                SELECT * FROM @.{table} WHERE pool = $1::bigint AND {where}
                ORDER BY {order} LIMIT {ITEMS_AT_ONCE}
            ) r
        ) p WHERE before <= {BYTES_AT_ONCE} ORDER BY {order}
        """
    )


_PAGE: Final = {
    RECORDS: _page("seq, kind, payload", "records", "seq > $2::bigint", "seq", "payload"),
    TIMES: Statement(
        f"""
        SELECT seq, millis FROM @.times WHERE pool = $1::bigint AND seq > $2::bigint
        ORDER BY seq LIMIT {ITEMS_AT_ONCE}
        """
    ),
    ROWS: _page(
        "kind, name, number, due_at, value",
        "rows",
        "(kind, name, number) > ($2::text, $3::text, $4::bigint)",
        "kind, name, number",
        "value",
    ),
}
_PUT: Final = {
    RECORDS: Statement(
        """
        INSERT INTO @.records (pool, seq, kind, payload, key, subject)
        SELECT $1::bigint, k.*
        FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[])
            AS k (seq, kind, payload, key, subject)
        ON CONFLICT (pool, seq) DO UPDATE SET kind = excluded.kind, payload = excluded.payload,
            key = excluded.key, subject = excluded.subject
        """
    ),
    TIMES: Statement(
        """
        INSERT INTO @.times (pool, seq, millis)
        SELECT $1::bigint, k.* FROM unnest($2::bigint[], $3::bigint[]) AS k (seq, millis)
        ON CONFLICT (pool, seq) DO UPDATE SET millis = excluded.millis
        """
    ),
    ROWS: Statement(
        """
        INSERT INTO @.rows (pool, kind, name, number, due_at, value)
        SELECT $1::bigint, k.*
        FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[])
            AS k (kind, name, number, due_at, value)
        ON CONFLICT (pool, kind, name, number)
        DO UPDATE SET due_at = excluded.due_at, value = excluded.value
        """
    ),
}


def _by_number(table: str) -> Statement:
    return Statement(
        f"""
        DELETE FROM @.{table} d USING unnest($2::bigint[]) AS k (seq)
        WHERE d.pool = $1::bigint AND d.seq = k.seq
        """
    )


_DELETE: Final = {
    RECORDS: _by_number("records"),
    TIMES: _by_number("times"),
    ROWS: Statement(
        """
        DELETE FROM @.rows d USING unnest($2::text[], $3::text[], $4::bigint[])
            AS k (kind, name, number)
        WHERE d.pool = $1::bigint AND d.kind = k.kind AND d.name = k.name AND d.number = k.number
        """
    ),
}
_LOOKED_UP_BY: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "run_message": (("stored", "message", "idempotency_key"), ()),
    "wake": (("stored", "condition", "idempotency_key"), ("stored", "condition", "condition_id")),
    "member_joined": ((), ("member", "run_id")),
}
"""Where the key and the subject of a record stand in its payload, by its kind."""


class PostgresRawPool:
    """A `RawPool` on a connection, inside of a transaction."""

    __slots__ = ("_pipeline", "source")

    def __init__(self, pipeline: Pipeline, source: PostgresSource) -> None:
        self._pipeline = pipeline
        self.source: Final = source

    def page(self, part: Part, after: Item) -> list[Item]:
        if self.source.number is None:
            return []
        rows = self._pipeline.ask(_PAGE[part], self.source.number, *after).rows
        if part == RECORDS:
            return [(int(seq), kind, payload, 0) for seq, kind, payload in rows]
        if part == TIMES:
            return [(int(seq), int(millis)) for seq, millis in rows]
        return [
            (kind.decode(), name.decode(), int(number), int(due_at), value.decode())
            for kind, name, number, due_at, value in rows
        ]

    def put(self, part: Part, items: Sequence[Item]) -> None:
        if items:
            kept = map(self._kept, items) if part == RECORDS else items
            self._ask(_PUT[part], zip(*kept, strict=True))

    def delete(self, part: Part, keys: Sequence[Item]) -> None:
        if keys:
            self._ask(_DELETE[part], zip(*keys, strict=True))

    def _ask(self, statement: Statement, columns: "zip[Any]") -> None:
        self._pipeline.ask(statement, self.source.number, *map(_array, columns))

    def _kept(self, item: Item) -> Item:
        """Make of a record what is kept of it, with what it is looked up by.

        :raises CorruptRecordError: it holds what is no text
        """
        seq, raw_kind, raw_payload, odd = item
        try:
            kind, payload = raw_kind.decode(), raw_payload.decode()
        except UnicodeDecodeError:
            odd = True
        if odd or "\0" in kind or "\0" in payload:
            msg = (
                "what is stored is no text of UTF-8 that a server can keep; see `python -m"
                " agentpool doctor`"
            )
            raise CorruptRecordError(msg, pool_id=self.source.pool_id, seq=seq)
        return seq, kind, payload, *looked_up_in(kind, raw_payload)


def _array(column: Sequence[Any]) -> Array:
    return bigints(column) if isinstance(column[0], int) else texts(column)


def looked_up_in(kind: str, payload: bytes) -> tuple[str | None, str | None]:
    """Give what `looked_up_by` does, also of a record that can only be read in parts."""
    paths = _LOOKED_UP_BY.get(kind)
    if paths is None:
        return None, None
    try:
        document = msgspec.json.decode(payload)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None, None
    key, subject = (_found(document, path) for path in paths)
    return key, subject


def _found(document: object, path: tuple[str, ...]) -> str | None:
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    is_id = isinstance(document, str) and path and identifier_problem(document) is None
    return str(document) if is_id else None
