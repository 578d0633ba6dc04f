"""SQL over the bodies of messages. Synchronous, on the worker."""

import sqlite3
from typing import Final

from agentpool.errors import StoreError
from agentpool.stores.sqlite.source import SqliteEngine, Writing
from agentpool.wire.content import content_ref, damaged_content, no_content

__all__ = ("get", "put")

# What was damaged is whole again, once it is put again.
_PUT: Final = """
    INSERT INTO agentpool_content (sha256, media_type, data) VALUES (?, ?, ?)
    ON CONFLICT (sha256) DO UPDATE SET data = excluded.data WHERE data IS NOT excluded.data
"""
_LENGTH: Final = "SELECT length(data) FROM agentpool_content WHERE sha256 = ?"
_GET: Final = "SELECT data FROM agentpool_content WHERE sha256 = ?"


def put(connection: sqlite3.Connection, writing: Writing, data: bytes, media_type: str) -> str:
    """Keep a body, if it is not there yet.

    :raises StoreError: it is not there afterwards
    """
    ref = content_ref(data)

    def insert() -> None:
        connection.execute(_PUT, (ref, media_type, data))
        if connection.execute(_LENGTH, (ref,)).fetchone() != (len(data),):
            msg = "a body was inserted and is not there: a trigger stands in the way; drop it"
            raise StoreError(msg)

    SqliteEngine(connection, writing).transact(insert, durable=True)
    return ref


def get(connection: sqlite3.Connection, ref: str) -> bytes:
    """Give a body back.

    :raises ContentNotFoundError: it is not there
    :raises CorruptRecordError: it is not what was put
    """
    row = connection.execute(_GET, (ref,)).fetchone()
    if row is None:
        raise no_content(ref)
    [body] = row
    if type(body) is not bytes or content_ref(body) != ref:
        raise damaged_content(ref)
    return body
