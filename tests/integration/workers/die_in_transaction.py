"""Die after inserting and before committing: ``die_in_transaction.py PATH``."""

import os
import signal
import sqlite3
import sys

connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
row = ("pool.test", 2, "pool_created", '{"type":"pool_created"}')
connection.execute("INSERT INTO agent_pool_records VALUES (?, ?, ?, ?)", row)
sys.stdout.write("inserted\n")
sys.stdout.flush()
os.kill(os.getpid(), signal.SIGKILL)
