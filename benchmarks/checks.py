"""Looks at what a benchmark left behind: a store that is fast and wrong has no figures."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from benchmarks.figures import Violation
from benchmarks.workloads import POOL

__all__ = ("check_log", "expect")

_MESSAGE_ID = "json_extract(payload_json, '$.stored.message.message_id')"


def expect(truth: bool, what: str) -> None:
    """Insist on a promise of the store.

    :raises Violation: it was broken
    """
    if not truth:
        raise Violation(what)


def check_log(path: Path, message_ids: Iterable[str], pool_id: str = POOL) -> None:
    """Insist that a log has no gap and holds exactly these messages, each in one record."""
    connection = sqlite3.connect(path)
    try:
        seqs = [row[0] for row in connection.execute(_query("seq"), (pool_id,))]
        query = _query(_MESSAGE_ID, "run_message")
        found = [row[0] for row in connection.execute(query, (pool_id,))]
    finally:
        connection.close()
    expect(seqs == list(range(1, len(seqs) + 1)), "the log has a gap")
    expect(len(found) == len(set(found)), "the log holds a message twice")
    expect(set(found) == set(message_ids), "the log does not hold what was appended")


def _query(column: str, kind: str = "%") -> str:
    return (
        f"SELECT {column} FROM agent_pool_records"
        f" WHERE pool_id = ? AND kind LIKE '{kind}' ORDER BY seq"
    )
