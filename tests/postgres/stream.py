"""Bytes on their way through a proxy: one direction, and the two of a connection."""

import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

__all__ = ("Link", "Stream", "abort")

_CHUNK: Final = 1 << 16
_MOST_HELD: Final = 1 << 20
"""Bytes on their way, from which on no more are read."""
_AT_ONCE: Final = struct.pack("ii", 1, 0)


def abort(connection: socket.socket) -> None:
    """Close a connection so that the other side is told of a reset, and reads nothing more."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    connection.close()


class Stream:
    """What comes from one socket and goes to another, after a while; its end is part of it."""

    def __init__(
        self, source: socket.socket, sink: socket.socket, count: Callable[[int], None]
    ) -> None:
        self.source = source
        self.sink = sink
        self.over = False
        self._count = count
        self._held: deque[tuple[float, bytes]] = deque()
        self._bytes_held = 0
        self._ready = bytearray()
        self._read_all = False
        self._ends = False
        self._discards = False

    @property
    def wants_to_read(self) -> bool:
        return not self._read_all and self._bytes_held < _MOST_HELD

    @property
    def wants_to_write(self) -> bool:
        return bool(self._ready)

    @property
    def due(self) -> float | None:
        """When the next bytes are to be passed on."""
        return self._held[0][0] if self._held else None

    def read(self, delay: float) -> None:
        """Take what has come; nothing is the end."""
        with suppress(BlockingIOError):
            chunk = self.source.recv(_CHUNK)
            self._held.append((time.monotonic() + delay, chunk))
            self._bytes_held += len(chunk)
            self._read_all = not chunk

    def pop_due(self, now: float) -> Iterator[bytes]:
        """Take off what has waited for long enough."""
        while self._held and self._held[0][0] <= now:
            chunk = self._held.popleft()[1]
            self._bytes_held -= len(chunk)
            yield chunk

    def pass_on(self, chunk: bytes) -> None:
        """Send a chunk, or the end of all, as soon as the other side takes it."""
        if not self._discards:
            self._ready += chunk
        self._ends = self._ends or not chunk
        self.write()

    def end(self) -> None:
        """Read nothing more, forget what is held back, and end when the rest is written."""
        self._read_all = True
        self._held.clear()
        self.pass_on(b"")

    def discard(self) -> None:
        """Read on, but write nothing more."""
        self._discards = True
        self._ready.clear()

    def write(self) -> None:
        """Send as much as the other side takes now."""
        if self._ready:
            with suppress(BlockingIOError):
                sent = self.sink.send(self._ready)
                del self._ready[:sent]
                self._count(sent)
        if self._ends and not self._ready and not self.over:
            self.over = True
            with suppress(OSError):  # of a side that has gone by itself
                self.sink.shutdown(socket.SHUT_WR)


class Link:
    """A connection of a client, and the one that was made to the server for it."""

    def __init__(self, up: Stream, down: Stream) -> None:
        self.up = up
        self.down = down
        self.tail = b""
        """The last bytes that went up, in which a pattern may have begun."""
        self.cut_when_answered: Callable[[], None] | None = None

    @property
    def streams(self) -> tuple[Stream, Stream]:
        return self.up, self.down

    @property
    def over(self) -> bool:
        return self.up.over and self.down.over

    def lose_client(self) -> None:
        """Reset the client; the server gets what went up to here, and its answers are lost."""
        abort(self.up.source)
        self.down.discard()
        self.up.end()

    def abort(self) -> None:
        """Reset both sides."""
        abort(self.up.source)
        abort(self.down.source)

    def close(self) -> None:
        """Close what is over on both sides."""
        self.up.source.close()
        self.down.source.close()
