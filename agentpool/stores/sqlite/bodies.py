"""SQL that keeps bodies, inside a transaction that writes. Synchronous, on the worker."""

import sqlite3
from collections.abc import Sequence
from typing import Final

from agentpool.errors import StoreError
from agentpool.wire.content import Content

__all__ = ("keep",)

# What was damaged is whole again, once it is put again. The first media type stays.
_PUT: Final = """
    INSERT INTO agentpool_content (sha256, media_type, data) VALUES (?, ?, ?)
    ON CONFLICT (sha256) DO UPDATE SET data = excluded.data WHERE data IS NOT excluded.data
"""
_LENGTH: Final = "SELECT length(data) FROM agentpool_content WHERE sha256 = ?"


def keep(connection: sqlite3.Connection, bodies: Sequence[Content]) -> None:
    """Keep bodies, those that are not there yet.

    :raises StoreError: one is not there afterwards
    """
    inserted = connection.executemany(_PUT, bodies).rowcount
    if inserted == len(bodies):
        return
    for body in bodies:  # some were there before, or were swallowed
        if connection.execute(_LENGTH, (body.ref,)).fetchone() != (len(body.data),):
            msg = "a body was inserted and is not there: a trigger stands in the way; drop it"
            raise StoreError(msg)
