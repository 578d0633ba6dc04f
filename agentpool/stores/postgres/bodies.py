"""The bodies of a handle on its server; see `stores.batch.bodies`."""

from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from agentpool.stores.batch.bodies import Bodies
from agentpool.stores.batch.reads import Reads
from agentpool.stores.postgres import content
from agentpool.stores.postgres.engine import PostgresEngine
from agentpool.stores.postgres.pipeline import Pipeline
from agentpool.stores.postgres.worker import EngineWorker
from agentpool.wire.content import Content, content_ref

__all__ = ("PostgresBodies",)

R = TypeVar("R")


class PostgresBodies(Bodies[Pipeline]):
    """Keeps bodies on a server, outside of the transactions of pools."""

    def __init__(self, writer: EngineWorker, reads: Reads[PostgresEngine]) -> None:
        self._writer: Final = writer
        self._reads: Final = reads

    async def run(self, function: Callable[[Pipeline], R], *, bulk: bool = False) -> R:
        return await self._reads.run(partial(_ask, function), bulk=bulk)

    async def _write(self, function: Callable[[Pipeline], None]) -> None:
        await self._writer.run(partial(_ask, function))

    def reading(self, ref: str) -> content.PostgresReading:
        return content.PostgresReading(ref)

    async def media_type(self, ref: str) -> str:
        return await self.run(partial(content.media_type, ref=ref))

    async def put_small(self, body: bytes, media_type: str) -> str:
        put = Content(content_ref(body), media_type, body)
        await self._write(partial(content.keep_now, body=put))
        return put.ref

    async def put_pieces(self, ref: str, pieces: list[memoryview]) -> None:
        for number, piece in enumerate(pieces):
            await self._write(partial(content.keep_piece, ref=ref, number=number, piece=piece))

    async def put_row(self, ref: str, media_type: str, size: int) -> None:
        await self._write(partial(content.keep_row, ref=ref, media_type=media_type, size=size))


def _ask(ask: Callable[[Pipeline], R], engine: PostgresEngine) -> R:
    return engine.ask(ask)
