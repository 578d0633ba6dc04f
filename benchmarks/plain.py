"""The baseline: what one would write by hand with ``sqlite3`` over the table of the wire format.

Equal durability: WAL, synchronous=FULL. No look-ups, no indexes, no events, no waiting in turn.
"""

import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.workloads import POOL

__all__ = ("append", "append_next", "connect", "payloads_after", "rate")

_TABLE = """
    CREATE TABLE IF NOT EXISTS agent_pool_records (
        pool_id TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL,
        payload_json TEXT NOT NULL, PRIMARY KEY (pool_id, seq)
    )
"""
_APPEND = "INSERT INTO agent_pool_records VALUES (?, ?, 'run_message', ?)"
_APPEND_NEXT = """
    INSERT INTO agent_pool_records (pool_id, seq, kind, payload_json)
    SELECT ?1, ifnull(max(seq), 0) + 1, 'run_message', ?2
    FROM agent_pool_records WHERE pool_id = ?1
"""
_AFTER = "SELECT payload_json FROM agent_pool_records WHERE pool_id = ? AND seq > ? ORDER BY seq"


def connect(path: Path) -> sqlite3.Connection:
    """Open a file, and create the table where it is missing."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=5)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(_TABLE)
    return connection


def append(connection: sqlite3.Connection, seq: int, payload: str) -> None:
    """Commit one row whose number the caller knows."""
    connection.execute(_APPEND, (POOL, seq, payload))


def append_next(connection: sqlite3.Connection, payload: str) -> None:
    """Commit one row after the last one, whoever wrote that."""
    connection.execute(_APPEND_NEXT, (POOL, payload))


def payloads_after(connection: sqlite3.Connection, seq: int) -> list[str]:
    """Read the rows after a number."""
    return [row[0] for row in connection.execute(_AFTER, (POOL, seq))]


def rate(path: Path, payloads: Iterable[str]) -> float:
    """Commit each payload as one row to a fresh file, and give the rows per second."""
    connection = connect(path)
    try:
        seq = 0
        start = time.perf_counter()
        for seq, payload in enumerate(payloads, 1):
            append(connection, seq, payload)
        return seq / (time.perf_counter() - start)
    finally:
        connection.close()
