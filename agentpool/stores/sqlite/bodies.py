"""The bodies of a handle in its file; see `stores.batch.bodies`."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol, TypeVar

from agentpool.stores.batch.bodies import Bodies
from agentpool.stores.batch.reads import Reads
from agentpool.stores.sqlite import content
from agentpool.stores.sqlite.backfill import Backfill
from agentpool.stores.sqlite.engine import SqliteEngine
from agentpool.wire.content import Content, content_ref

__all__ = ("SqliteBodies",)

R = TypeVar("R")

_LEAST_REST_SECONDS: Final = 0.002  # whoever waits for the lock looks more often
_FRAMES: Final = 256
"""Of so many the copy takes no longer than a writer may wait, since all of them are new pages."""


class Write(Protocol):
    """Writes to the file, on the writer's thread."""

    async def __call__(self, function: Callable[[SqliteEngine], R], /) -> R:
        """Run a function over the engine."""


class SqliteBodies(Bodies[sqlite3.Connection]):
    """Keeps bodies in a file, and leaves others their turn at its lock."""

    def __init__(self, write: Write, reads: Reads[sqlite3.Connection], backfill: Backfill) -> None:
        self._write = write
        self._reads = reads
        self._backfill = backfill

    async def run(self, function: Callable[[sqlite3.Connection], R], *, bulk: bool = False) -> R:
        return await self._reads.run(function, bulk=bulk)

    def reading(self, ref: str) -> content.SqliteReading:
        return content.SqliteReading(ref)

    async def media_type(self, ref: str) -> str:
        return await self.run(partial(content.media_type, ref=ref))

    async def put_small(self, body: bytes, media_type: str) -> str:
        return await self._write(partial(self._put, body, media_type))

    def _put(self, body: bytes, media_type: str, engine: SqliteEngine) -> str:
        put = Content(content_ref(body), media_type, body)
        engine.transact(partial(content.keep, engine.connection, [put]), durable=True)
        self._backfill.after_commit(engine.connection)
        return put.ref

    async def put_row(self, ref: str, media_type: str, size: int) -> None:
        await self._write(partial(self._put_row, ref, media_type, size))

    def _put_row(self, ref: str, media_type: str, size: int, engine: SqliteEngine) -> None:
        row = partial(content.keep_row, engine.connection, ref, media_type, size)
        engine.transact(row, durable=True)

    async def put_pieces(self, ref: str, pieces: list[memoryview]) -> None:
        for number, piece in enumerate(pieces):
            began = time.monotonic()
            await self._write(partial(self._put_piece, ref, number, piece))
            # As long as it took: others get half of the time at least.
            await asyncio.sleep(max(time.monotonic() - began, _LEAST_REST_SECONDS))

    def _put_piece(self, ref: str, number: int, piece: memoryview, engine: SqliteEngine) -> None:
        put = partial(content.keep_piece, engine.connection, ref, number, piece)
        engine.transact(put, durable=False)  # the row waits for the disk, for all of them
        self._backfill.look(engine.connection, _FRAMES)
