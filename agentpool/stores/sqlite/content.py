"""SQL over the bodies of messages. Synchronous, on the worker."""

import sqlite3

from agentpool.stores.batch.committer import BatchCommitter
from agentpool.stores.sqlite.connection import write_transaction
from agentpool.wire.content import content_ref, no_content

__all__ = ("get", "put")


def put(
    connection: sqlite3.Connection, committer: BatchCommitter, data: bytes, media_type: str
) -> str:
    """Keep a body, if it is not there yet."""
    ref = content_ref(data)
    committer.sync(connection, durable=True)
    with write_transaction(connection, committer.patience, committer.give_up):
        connection.execute(
            "INSERT INTO agentpool_content (sha256, media_type, data) VALUES (?, ?, ?)"
            " ON CONFLICT (sha256) DO NOTHING",
            (ref, media_type, data),
        )
    return ref


def get(connection: sqlite3.Connection, ref: str) -> bytes:
    """Give a body back.

    :raises ContentNotFoundError: it is not there
    """
    row = connection.execute(
        "SELECT data FROM agentpool_content WHERE sha256 = ?", (ref,)
    ).fetchone()
    if row is None:
        raise no_content(ref)
    return bytes(row[0])
