"""The bodies that a handle keeps: small ones at once, large ones piece by piece.

Between two pieces others have their turn, those of this handle too. What was interrupted is not
there; putting it again completes it, and mends what was damaged.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from functools import partial
from hashlib import sha256
from typing import Final, Generic, TypeVar

from agentpool.errors import AgentPoolError, ContentNotFoundError, CorruptRecordError
from agentpool.wire.content import PIECE, damaged_content

__all__ = ("Bodies", "Reading")

C = TypeVar("C")
R = TypeVar("R")


class Reading(ABC, Generic[C]):
    """Reads a body piece by piece, and checks it before it gives the last one.

    Every piece is read by itself: a body never changes, but for being mended.
    """

    def __init__(self, ref: str) -> None:
        self.ref: Final = ref
        self._size: int | None = None
        self._digest = sha256()
        self._pieces = self._done = 0

    @abstractmethod
    def find(self, connection: C) -> int:
        """Find where the body is, and how many bytes it has.

        :raises ContentNotFoundError: it is not there
        :raises CorruptRecordError: what is there can be no body
        """

    @abstractmethod
    def read(self, connection: C, number: int, start: int) -> bytes:
        """Read the piece with a number, counted from 0, which begins at some byte.

        :raises CorruptRecordError: it is not there, or can be no piece
        """

    @property
    def has_begun(self) -> bool:
        """Whether the body was found."""
        return self._size is not None

    @property
    def has_ended(self) -> bool:
        """Whether the last piece was read."""
        return self._size is not None and self._done >= self._size

    def step(self, connection: C) -> bytes:
        """Read the next piece; an empty one of an empty body.

        :raises ContentNotFoundError: the body is not there
        :raises CorruptRecordError: it is not what was put
        """
        if self._size is None:
            self._size = self.find(connection)
        piece = self.read(connection, self._pieces, self._done)
        self._pieces += 1
        self._done += len(piece)
        self._digest.update(piece)
        if self.has_ended and f"sha256:{self._digest.hexdigest()}" != self.ref:
            raise damaged_content(self.ref)
        return piece

    def is_sound(self, connection: C) -> bool:
        """Read the whole body, and say whether it is what was put."""
        try:
            while not self.has_ended:
                self.step(connection)
        except AgentPoolError:
            return False
        return True


class Bodies(ABC, Generic[C]):
    """Keeps bodies and gives them back."""

    # --- what an engine brings

    @abstractmethod
    async def run(self, function: Callable[[C], R], *, bulk: bool = False) -> R:
        """Run a function over the connection that reads; see `Reads.run`."""

    @abstractmethod
    def reading(self, ref: str) -> Reading[C]:
        """Begin to read a body."""

    @abstractmethod
    async def media_type(self, ref: str) -> str:
        """Give the media type of a body.

        :raises ContentNotFoundError: it is not there
        """

    @abstractmethod
    async def put_small(self, body: bytes, media_type: str) -> str:
        """Keep a body of at most one piece, and give its ref."""

    @abstractmethod
    async def put_pieces(self, ref: str, pieces: list[memoryview]) -> None:
        """Keep the pieces of a body, each in a transaction of its own."""

    @abstractmethod
    async def put_row(self, ref: str, media_type: str, size: int) -> None:
        """Let a body be there whose pieces are."""

    # --- what comes with it

    async def put(self, body: bytes, media_type: str) -> str:
        """Keep a body, if it is not there yet."""
        if len(body) <= PIECE:
            return await self.put_small(body, media_type)
        pieces = [memoryview(body)[at : at + PIECE] for at in range(0, len(body), PIECE)]
        ref = await self._ref_of(pieces)
        if not await self._is_whole(ref):
            await self.put_pieces(ref, pieces)
            await self.put_row(ref, media_type, len(body))
        return ref

    async def get(self, ref: str) -> bytes:
        """Give a whole body back."""
        pieces = [piece async for piece in self.pieces(ref)]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def pieces(self, ref: str) -> AsyncGenerator[bytes, None]:
        """Give a body back piece by piece."""
        reading = self.reading(ref)
        while not reading.has_ended:
            piece = await self.run(reading.step, bulk=reading.has_begun)
            if piece:
                yield piece

    async def _ref_of(self, pieces: list[memoryview]) -> str:
        """Hash a body: not on the event loop, and not for long where somebody waits."""
        digest = sha256()

        def update(piece: memoryview, _: C) -> None:
            digest.update(piece)

        for piece in pieces:
            await self.run(partial(update, piece), bulk=True)
        return f"sha256:{digest.hexdigest()}"

    async def _is_whole(self, ref: str) -> bool:
        try:
            async for _ in self.pieces(ref):
                pass
        except (ContentNotFoundError, CorruptRecordError):
            return False
        return True
