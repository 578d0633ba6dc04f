"""The bodies that a handle keeps: small ones at once, large ones piece by piece.

Between two pieces other writers have their turn, those of this handle too. What was interrupted is
not there; putting it again completes it, and mends what was damaged.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable
from functools import partial
from hashlib import sha256
from typing import Final, Protocol, TypeVar

from agentpool.errors import ContentNotFoundError, CorruptRecordError
from agentpool.stores.batch.reads import Reads
from agentpool.stores.sqlite import content
from agentpool.stores.sqlite.backfill import Backfill
from agentpool.stores.sqlite.engine import SqliteEngine
from agentpool.wire.content import PIECE, Content, content_ref

__all__ = ("Bodies",)

R = TypeVar("R")

_LEAST_REST_SECONDS: Final = 0.002  # whoever waits for the lock looks more often
_FRAMES: Final = 256
"""Of so many the copy takes no longer than a writer may wait, since all of them are new pages."""


class Write(Protocol):
    """Writes to the file, on the writer's thread."""

    async def __call__(self, function: Callable[[SqliteEngine], R], /) -> R:
        """Run a function over the engine."""


class Bodies:
    """Keeps bodies and gives them back."""

    def __init__(self, write: Write, reads: Reads[sqlite3.Connection], backfill: Backfill) -> None:
        self._write = write
        self._reads = reads
        self._backfill = backfill

    async def put(self, body: bytes, media_type: str) -> str:
        """Keep a body, if it is not there yet."""
        if len(body) <= PIECE:
            return await self._write(partial(self._put, body, media_type))
        pieces = [memoryview(body)[at : at + PIECE] for at in range(0, len(body), PIECE)]
        ref = await self._ref_of(pieces)
        if not await self._is_whole(ref):
            await self._put_pieces(ref, pieces)
            await self._write(partial(self._put_row, ref, media_type, len(body)))
        return ref

    def _put(self, body: bytes, media_type: str, engine: SqliteEngine) -> str:
        put = Content(content_ref(body), media_type, body)
        engine.transact(partial(content.keep, engine.connection, [put]), durable=True)
        self._backfill.after_commit(engine.connection)
        return put.ref

    def _put_row(self, ref: str, media_type: str, size: int, engine: SqliteEngine) -> None:
        row = partial(content.keep_row, engine.connection, ref, media_type, size)
        engine.transact(row, durable=True)

    async def _put_pieces(self, ref: str, pieces: list[memoryview]) -> None:
        for number, piece in enumerate(pieces):
            began = time.monotonic()
            await self._write(partial(self._put_piece, ref, number, piece))
            # As long as it took: others get half of the time at least.
            await asyncio.sleep(max(time.monotonic() - began, _LEAST_REST_SECONDS))

    def _put_piece(self, ref: str, number: int, piece: memoryview, engine: SqliteEngine) -> None:
        put = partial(content.keep_piece, engine.connection, ref, number, piece)
        engine.transact(put, durable=False)  # the row waits for the disk, for all of them
        self._backfill.look(engine.connection, _FRAMES)

    async def get(self, ref: str) -> bytes:
        """Give a whole body back."""
        pieces = [piece async for piece in self.pieces(ref)]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def pieces(self, ref: str) -> AsyncGenerator[bytes, None]:
        """Give a body back piece by piece."""
        reading = content.Reading(ref)
        while not reading.has_ended:
            piece = await self._reads.run(reading.step, bulk=reading.has_begun)
            if piece:
                yield piece

    async def _ref_of(self, pieces: list[memoryview]) -> str:
        """Hash a body: not on the event loop, and not for long where somebody waits."""
        digest = sha256()

        def update(piece: memoryview, _: sqlite3.Connection) -> None:
            digest.update(piece)

        for piece in pieces:
            await self._reads.run(partial(update, piece), bulk=True)
        return f"sha256:{digest.hexdigest()}"

    async def _is_whole(self, ref: str) -> bool:
        try:
            async for _ in self.pieces(ref):
                pass
        except (ContentNotFoundError, CorruptRecordError):
            return False
        return True
