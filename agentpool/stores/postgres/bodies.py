"""The bodies that a handle keeps: small ones at once, large ones piece by piece.

What was interrupted is not there; putting it again completes it, and mends what was damaged.
"""

from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Final, TypeVar

from agentpool.errors import ContentNotFoundError, CorruptRecordError
from agentpool.stores.batch.reads import Reads
from agentpool.stores.postgres import content
from agentpool.stores.postgres.engine import PostgresEngine
from agentpool.stores.postgres.pipeline import Pipeline
from agentpool.stores.postgres.worker import EngineWorker
from agentpool.wire.content import PIECE, Content, content_ref

__all__ = ("Bodies",)

R = TypeVar("R")


class Bodies:
    """Keeps bodies and gives them back."""

    def __init__(self, writer: EngineWorker, reads: Reads[PostgresEngine]) -> None:
        self._writer: Final = writer
        self._reads: Final = reads

    async def put(self, body: bytes, media_type: str) -> str:
        """Keep a body, if it is not there yet."""
        if len(body) <= PIECE:
            put = Content(content_ref(body), media_type, body)
            await self._writer.run(partial(_ask, partial(content.keep_now, body=put)))
            return put.ref
        pieces = [memoryview(body)[at : at + PIECE] for at in range(0, len(body), PIECE)]
        ref = await self._reads.run(lambda _: content_ref(body), bulk=True)
        if not await self._is_whole(ref):
            for number, piece in enumerate(pieces):
                keep = partial(content.keep_piece, ref=ref, number=number, piece=piece)
                await self._writer.run(partial(_ask, keep))
            row = partial(content.keep_row, ref=ref, media_type=media_type, size=len(body))
            await self._writer.run(partial(_ask, row))
        return ref

    async def get(self, ref: str) -> bytes:
        """Give a whole body back."""
        pieces = [piece async for piece in self.pieces(ref)]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def pieces(self, ref: str) -> AsyncGenerator[bytes, None]:
        """Give a body back piece by piece."""
        reading = content.Reading(ref)
        while not reading.has_ended:
            step = partial(_ask, reading.step)
            piece = await self._reads.run(step, bulk=reading.has_begun)
            if piece:
                yield piece

    async def media_type(self, ref: str) -> str:
        """Give the media type of a body."""
        return await self._reads.run(partial(_ask, partial(content.media_type, ref=ref)))

    async def _is_whole(self, ref: str) -> bool:
        try:
            async for _ in self.pieces(ref):
                pass
        except (ContentNotFoundError, CorruptRecordError):
            return False
        return True


def _ask(ask: Callable[[Pipeline], R], engine: PostgresEngine) -> R:
    return engine.ask(ask)
