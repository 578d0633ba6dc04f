"""Reading the pools of a store on a server."""

from collections.abc import Iterator
from typing import Final

from agentpool.doctor.reader import AT_ONCE, Part
from agentpool.rules.command import Row
from agentpool.stores.batch.source import RawRecord
from agentpool.stores.batch.states import StateCache
from agentpool.stores.postgres.content import PostgresReading
from agentpool.stores.postgres.listings import row_of
from agentpool.stores.postgres.look_ups import record_of
from agentpool.stores.postgres.pipeline import Pipeline, Statement
from agentpool.stores.postgres.source import PostgresSource
from agentpool.stores.postgres.statements import FIND_POOL
from agentpool.support.clock import wall_clock
from agentpool.wire.ids import I64_MIN
from agentpool.wire.payload import LONGEST

__all__ = ("ServerReader",)

# One after another by the index, however many rows each pool has.
_POOLS: Final = """
    WITH RECURSIVE each (pool) AS (
        (SELECT pool FROM @.{table} ORDER BY pool LIMIT 1)
        UNION ALL
        SELECT (SELECT t.pool FROM @.{table} t WHERE t.pool > each.pool ORDER BY t.pool LIMIT 1)
        FROM each WHERE each.pool IS NOT NULL
    )
    SELECT each.pool, p.pool_id FROM each LEFT JOIN @.pools p USING (pool)
    WHERE each.pool IS NOT NULL
"""
_HEAD: Final = Statement(
    "SELECT seq FROM @.records WHERE pool = $1::bigint ORDER BY seq DESC LIMIT 1"
)
_LAST_TIME: Final = Statement(
    "SELECT seq FROM @.times WHERE pool = $1::bigint ORDER BY seq DESC LIMIT 1"
)
_RECORDS: Final = Statement(
    f"""
    SELECT seq, kind, CASE WHEN octet_length(payload) <= {LONGEST} THEN payload END, key, subject
    FROM @.records WHERE pool = $1::bigint AND seq > $2::bigint ORDER BY seq LIMIT {AT_ONCE}
    """
)
_KINDS: Final = Statement(
    """
    SELECT kind FROM @.rows WHERE pool = $1::bigint AND kind > $2::text COLLATE "C"
    ORDER BY kind LIMIT 1
    """
)
_ROWS: Final = Statement(
    f"""
    SELECT kind, name, number, value, due_at FROM @.rows
    WHERE pool = $1::bigint AND kind = $2::text AND (name, number) > ($3::text, $4::bigint)
    ORDER BY name, number LIMIT {AT_ONCE}
    """
)
_BODIES: Final = Statement(
    f"SELECT sha256 FROM @.content WHERE sha256 > $1::text ORDER BY sha256 LIMIT {AT_ONCE}"
)
_UNFINISHED: Final = Statement(
    """
    SELECT sha256, sum(octet_length(data)) FROM @.content_pieces p WHERE NOT EXISTS (
        SELECT FROM @.content c WHERE c.sha256 = p.sha256 AND c.size IS NOT NULL
    )
    GROUP BY sha256
    """
)


class ServerReader:
    """A `Reader` on a connection, in a transaction that reads.

    :ivar keys: the key and the subject that stand beside a record, of those read last
    """

    errors: Final = ()  # whatever the server says ends the transaction

    def __init__(self, pipeline: Pipeline, schema: str) -> None:
        self._pipeline = pipeline
        self._numbers: dict[str, int] = {}
        self.keys: dict[int, tuple[str | None, str | None]] = {}
        delete = f"psql URL -c 'DELETE FROM {schema}"
        self.clear_checkpoints: Final = f"{delete}.checkpoints'"
        self.clear_pieces: Final = (
            f"{delete}.content_pieces WHERE sha256 NOT IN (SELECT sha256 FROM {schema}.content)'"
        )

    def pool_ids(self, part: Part) -> Iterator[object]:
        for number, pool_id in self._pipeline.ask(Statement(_POOLS.format(table=part))).rows:
            if pool_id is None:
                yield int(number)
            else:
                self._numbers[pool_id.decode()] = int(number)
                yield pool_id.decode()

    def source(self, pool_id: str) -> PostgresSource:
        number = self._number(pool_id)
        states = StateCache()
        return PostgresSource(self._pipeline, pool_id, number, wall_clock, states, writes=False)

    def _number(self, pool_id: str) -> int:
        if pool_id not in self._numbers:
            row = self._pipeline.ask(FIND_POOL, pool_id).row
            self._numbers[pool_id] = -1 if row is None else int(row[0])
        return self._numbers[pool_id]

    def head(self, pool_id: str) -> int:
        row = self._pipeline.ask(_HEAD, self._number(pool_id)).row
        return 0 if row is None else int(row[0])

    def records(self, pool_id: str) -> Iterator[RawRecord]:
        number, after = self._number(pool_id), I64_MIN
        while rows := self._pipeline.ask(_RECORDS, number, after).rows:
            self.keys = {int(row[0]): (_text(row[3]), _text(row[4])) for row in rows}
            yield from (record_of(row[:3]) for row in rows)
            after = int(rows[-1][0])

    def kinds(self, pool_id: str) -> Iterator[str]:
        number, kind = self._number(pool_id), ""
        while row := self._pipeline.ask(_KINDS, number, kind).row:
            kind = row[0].decode()
            yield kind

    def rows(self, pool_id: str, kind: str) -> Iterator[Row]:
        number, after = self._number(pool_id), ("", I64_MIN)
        while rows := self._pipeline.ask(_ROWS, number, kind, *after).rows:
            found = [row_of(row) for row in rows]
            yield from found
            after = found[-1].key.name, found[-1].key.number

    def last_time(self, pool_id: str) -> int:
        row = self._pipeline.ask(_LAST_TIME, self._number(pool_id)).row
        return 0 if row is None else int(row[0])

    def bodies(self) -> Iterator[tuple[str, bool]]:
        ref = ""
        while rows := self._pipeline.ask(_BODIES, ref).rows:
            for [raw] in rows:
                ref = raw.decode()
                yield ref, PostgresReading(ref).is_sound(self._pipeline)

    def unfinished(self) -> Iterator[tuple[str, int]]:
        for ref, size in self._pipeline.ask(_UNFINISHED).rows:
            yield ref.decode(), int(size)


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode()
