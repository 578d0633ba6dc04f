"""What became of a COMMIT that nobody answered.

The server says it by the number of the transaction. Where it went down meanwhile, numbers from a
certain one on are given a second time: those of which nothing was left in the write-ahead log, as
the checkpoint at the end of a recovery says. There, and where another server took over, what was
written has to be found; of what was appended the log has the last word in any case.
"""

from collections.abc import Sequence
from typing import Final

from agentpool.rules.command import Row, RowKey
from agentpool.stores.postgres import statements
from agentpool.stores.postgres.loaded import columns_of
from agentpool.stores.postgres.pipeline import Pipeline, ServerError, Statement
from agentpool.stores.postgres.source import PostgresSource
from agentpool.stores.postgres.windows import row_of

__all__ = ("is_written", "was_committed", "was_recovered")

_NEVER_BEGUN: Final = "22023"

_STATUS: Final = Statement("SELECT pg_xact_status($1::text::xid8)")
_RECORD: Final = Statement(
    """
    SELECT r.seq FROM @.pools p JOIN @.records r ON r.pool = p.pool
    WHERE p.pool_id = $1 AND r.seq = $2::bigint AND r.kind = $3::text AND r.payload = $4::text
    AND r.xmin = $5::text::xid8::xid
    """
)
_POOL: Final = Statement("SELECT pool FROM @.pools WHERE pool_id = $1")
_AFTER_RECOVERY: Final = Statement("SELECT next_xid FROM pg_control_checkpoint()")


def was_committed(pipeline: Pipeline, xid: str, written: Sequence[PostgresSource]) -> bool | None:
    """Ask the server that carried a transaction out; ``None``: it has not ended yet.

    :param written: the pools that it changed
    """
    kept = _is_kept(pipeline, xid)
    return is_written(pipeline, xid, written) if kept and _records(written) else kept


def was_recovered(pipeline: Pipeline, xid: str, written: Sequence[PostgresSource]) -> bool | None:
    """Ask the server that carried a transaction out, and has been started anew since.

    Later checkpoints hide which numbers are given twice, so what it wrote has to be found as well.
    """
    row = pipeline.ask(_AFTER_RECOVERY).row
    assert row is not None  # noqa: S101  # it has no FROM of ours
    epoch, _, following = row[0].decode().partition(":")
    if int(xid) >= (int(epoch) << 32) + int(following):
        return False
    kept = _is_kept(pipeline, xid)
    return is_written(pipeline, xid, written) if kept else kept


def _is_kept(pipeline: Pipeline, xid: str) -> bool | None:
    """Say what the server knows of a number; ``None``: its transaction has not ended yet."""
    try:
        row = pipeline.ask(_STATUS, xid).row
    except ServerError as error:
        if error.state == _NEVER_BEGUN:  # the server went down before it kept any of it
            return False
        raise
    status = None if row is None else row[0]
    return None if status == b"in progress" else status != b"aborted"


def _records(written: Sequence[PostgresSource]) -> bool:
    return any(source.changes is not None and source.changes.records for source in written)


def is_written(pipeline: Pipeline, xid: str, written: Sequence[PostgresSource]) -> bool:
    """Look whether what a transaction wrote is there: any of it, since all of it would be.

    What it appended stays as it was. Without that, its rows are as it left them. Where others have
    changed them since, it is done again: nobody may be told of what another past has.
    """
    for source in written:
        changes = source.changes
        if changes is not None and changes.records:
            first = changes.records[0]
            asked = source.pool_id, changes.first, first.kind, first.payload_json, xid
            return pipeline.ask(_RECORD, *asked).row is not None
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
