"""SQL over the bodies of messages. Synchronous, on the worker."""

import sqlite3
from functools import partial
from typing import Final

from agentpool.stores.sqlite.source import SqliteEngine, Writing
from agentpool.wire.content import content_ref, no_content

__all__ = ("get", "put")

_PUT: Final = """
    INSERT INTO agentpool_content (sha256, media_type, data) VALUES (?, ?, ?)
    ON CONFLICT (sha256) DO NOTHING
"""
_GET: Final = "SELECT data FROM agentpool_content WHERE sha256 = ?"


def put(connection: sqlite3.Connection, writing: Writing, data: bytes, media_type: str) -> str:
    """Keep a body, if it is not there yet."""
    ref = content_ref(data)
    insert = partial(connection.execute, _PUT, (ref, media_type, data))
    SqliteEngine(connection, writing).transact(insert, durable=True)
    return ref


def get(connection: sqlite3.Connection, ref: str) -> bytes:
    """Give a body back.

    :raises ContentNotFoundError: it is not there
    """
    row = connection.execute(_GET, (ref,)).fetchone()
    if row is None:
        raise no_content(ref)
    return bytes(row[0])
