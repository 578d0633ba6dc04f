"""Append records by plain SQL, knowing nothing of this library: ``foreign.py PATH``.

Each line on stdin is a kind and a payload; the number of the record is printed once committed.
"""

import sqlite3
import sys

POOL = "pool.test"


def append(connection: sqlite3.Connection, kind: str, payload: str) -> int:
    connection.execute("BEGIN IMMEDIATE")
    [seq] = connection.execute(
        "SELECT coalesce(max(seq), 0) + 1 FROM agent_pool_records WHERE pool_id = ?", (POOL,)
    ).fetchone()
    connection.execute(
        "INSERT INTO agent_pool_records VALUES (?, ?, ?, ?)", (POOL, seq, kind, payload)
    )
    connection.execute("COMMIT")
    return int(seq)


connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
for line in sys.stdin:
    sys.stdout.write(f"{append(connection, *line.rstrip().split(' ', 1))}\n")
    sys.stdout.flush()
connection.close()
