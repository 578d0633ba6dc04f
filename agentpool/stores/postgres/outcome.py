"""What became of a COMMIT that nobody answered.

The server says it by the number of the transaction. Where it went down meanwhile, also where only
one of its processes was killed, numbers from a certain one on are given a second time: those of
which nothing was left in the write-ahead log. There, and where another server took over, what was
written has to be found; of what was appended the log has the last word in any case.
"""

from collections.abc import Sequence
from typing import Final

from agentpool.rules.command import Row, RowKey
from agentpool.stores.postgres import statements
from agentpool.stores.postgres.listings import row_of
from agentpool.stores.postgres.look_ups import columns_of
from agentpool.stores.postgres.pipeline import Pipeline, ServerError, Statement
from agentpool.stores.postgres.session import STARTED
from agentpool.stores.postgres.source import PostgresSource

__all__ = ("is_written", "was_committed")

_NEVER_BEGUN: Final = "22023"

_STATUS: Final = Statement(
    f"SELECT pg_xact_status($1::text::xid8), coalesce({STARTED} = $2::text, false)"
)
_RECORD: Final = Statement(
    """
    SELECT r.seq FROM @.pools p JOIN @.records r ON r.pool = p.pool
    WHERE p.pool_id = $1 AND r.seq = $2::bigint AND r.kind = $3::text AND r.payload = $4::text
    AND r.xmin = $5::text::xid8::xid
    """
)
_POOL: Final = Statement("SELECT pool FROM @.pools WHERE pool_id = $1")


def was_committed(
    pipeline: Pipeline, started: bytes | None, xid: str, written: Sequence[PostgresSource]
) -> bool | None:
    """Ask the server that carried a transaction out; ``None``: it has not ended yet.

    :param started: when that server was, as its session was told
    :param written: the pools that it changed
    """
    try:
        row = pipeline.ask(_STATUS, xid, started and started.decode()).row
    except ServerError as error:
        if error.state == _NEVER_BEGUN:  # the server went down before it kept any of it
            return False
        raise
    assert row is not None  # noqa: S101  # it has no FROM
    status, is_as_started = row
    if status == b"in progress":
        return None
    if status == b"aborted":
        return False
    return (is_as_started == b"t" and not _records(written)) or is_written(pipeline, xid, written)


def _records(written: Sequence[PostgresSource]) -> bool:
    return any(source.changes is not None and source.changes.records for source in written)


def _numbers(written: Sequence[PostgresSource]) -> bool:
    return any(
        source.changes is not None and source.changes.event_sequence is not None
        for source in written
    )


def is_written(pipeline: Pipeline, xid: str, written: Sequence[PostgresSource]) -> bool:
    """Look whether what a transaction wrote is there: any of it, since all of it would be.

    What it appended stays as it was. Without that, its rows are as it left them. Where others have
    changed them since, it is done again: nobody may be told of what another past has. So it is
    where it gave a number to an event, since another may have been given the same.
    """
    for source in written:
        changes = source.changes
        if changes is not None and changes.records:
            first = changes.records[0]
            asked = source.pool_id, changes.first, first.kind, first.payload_json, xid
            return pipeline.ask(_RECORD, *asked).row is not None
    if _numbers(written):
        return False
    return any(_is_as_left(pipeline, source) for source in written)


def _is_as_left(pipeline: Pipeline, source: PostgresSource) -> bool:
    row = pipeline.ask(_POOL, source.pool_id).row
    if row is None or source.changes is None:
        return False
    rows = source.changes.rows
    return bool(rows) and _found(pipeline, int(row[0]), list(rows)) == dict(rows)


def _found(pipeline: Pipeline, number: int, keys: list[RowKey]) -> dict[RowKey, Row | None]:
    rows = map(row_of, pipeline.ask(statements.ROWS_BY_KEY, number, *columns_of(keys)).rows)
    return {**dict.fromkeys(keys), **{row.key: row for row in rows}}
