"""SQL over the bodies of messages. Synchronous, on the worker."""

import sqlite3
from typing import Final

from agentpool.errors import CorruptRecordError
from agentpool.stores.sqlite import bodies
from agentpool.stores.sqlite.source import SqliteEngine, Writing
from agentpool.wire.content import Content, content_ref, damaged_content, no_content

__all__ = ("get", "media_type", "put")

_MEDIA_TYPE: Final = "SELECT media_type FROM agentpool_content WHERE sha256 = ?"
_GET: Final = "SELECT data FROM agentpool_content WHERE sha256 = ?"


def put(connection: sqlite3.Connection, writing: Writing, data: bytes, media_type: str) -> str:
    """Keep a body, if it is not there yet.

    :raises StoreError: it is not there afterwards
    """
    body = Content(content_ref(data), media_type, data)
    SqliteEngine(connection, writing).transact(
        lambda: bodies.keep(connection, (body,)), durable=True
    )
    return body.ref


def media_type(connection: sqlite3.Connection, ref: str) -> str:
    """Give the media type of a body.

    :raises ContentNotFoundError: it is not there
    :raises CorruptRecordError: it is no text
    """
    row = connection.execute(_MEDIA_TYPE, (ref,)).fetchone()
    if row is None:
        raise no_content(ref)
    [found] = row
    if not isinstance(found, str):
        msg = f"the media type of the body kept under {ref!r} was damaged"
        raise CorruptRecordError(msg)
    return found


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
