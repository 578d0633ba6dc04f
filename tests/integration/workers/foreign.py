"""Write to a file as a program does that knows nothing of this library: ``foreign.py PATH COUNT``.

Appends joins of members to a pool by plain SQL, and prints the number of each once committed.
"""

import sqlite3
import sys

POOL = "pool.test"


def append(connection: sqlite3.Connection, number: int) -> int:
    connection.execute("BEGIN IMMEDIATE")
    [seq] = connection.execute(
        "SELECT coalesce(max(seq), 0) + 1 FROM agent_pool_records WHERE pool_id = ?", (POOL,)
    ).fetchone()
    payload = (
        f'{{"type":"member_joined","member":{{"run_id":"run.foreign.{number}",'
        '"agent_id":"agent.foreign"}}'
    )
    connection.execute(
        "INSERT INTO agent_pool_records VALUES (?, ?, ?, ?)", (POOL, seq, "member_joined", payload)
    )
    connection.execute("COMMIT")
    return int(seq)


connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
sys.stdout.write("ready\n")
sys.stdout.flush()
sys.stdin.readline()
for number in range(int(sys.argv[2])):
    sys.stdout.write(f"{number} {append(connection, number)}\n")
    sys.stdout.flush()
connection.close()
