"""What the shortened proofs share. ``AGENTPOOL_SEED`` starts them from another seed."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

BOUND: Final = 200.0
"""Seconds after which a wait is a failure."""
SEED: Final = int(os.environ.get("AGENTPOOL_SEED", "1"))


@contextmanager
def sql(path: Path) -> Iterator[sqlite3.Connection]:
    """Connect as a program does that knows nothing of this library."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()
