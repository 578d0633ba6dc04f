"""A proxy on loopback between clients and a server, which delays, freezes and cuts."""

import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from select import select
from typing import Final, Literal, Self, TypeVar

from .stream import Link, Stream, abort

__all__ = ("Cut", "Proxy", "When")

HOST: Final = "127.0.0.1"
BOUND: Final = 60.0
LONGEST_PATTERN: Final = 256
_SECONDS_TO_CONNECT: Final = 5.0
_CALLS: Final = 4096

T = TypeVar("T")

When = Literal["before", "after", "answered"]
"""When a connection is cut that sends a pattern.

``before``: the server never sees it. ``after``: it has been sent to the server, and goes its way
there. ``answered``: the server has begun to answer; the client does not see that.
"""


class Cut:
    """A cut that is to come, once."""

    def __init__(self, pattern: bytes, when: When) -> None:
        self.pattern = pattern
        self.when = when
        self._happened = threading.Event()

    @property
    def happened(self) -> bool:
        return self._happened.is_set()

    def wait(self, timeout: float = BOUND) -> None:
        """Wait until the client was cut off."""
        if not self._happened.wait(timeout):
            msg = f"nobody sent {self.pattern!r} in {timeout} s"
            raise TimeoutError(msg)

    def has_happened(self) -> None:
        """Say so, to those who wait."""
        self._happened.set()


class Proxy:
    """Listens on a port of loopback, and connects whoever comes to a port of the server.

    What goes either way comes ``delay`` seconds later. All is done by a thread of its own, which
    ends at the end of the block; so do all connections.
    """

    def __init__(self, port: int, *, delay: float = 0.0) -> None:
        self.delay = delay
        self.connections = 0
        self.sent = 0
        self.received = 0
        self._target = (HOST, port)
        self._listener = socket.create_server((HOST, 0), backlog=128)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._links: list[Link] = []
        self._cuts: list[Cut] = []
        self._frozen = False
        self._closing = False
        self._calls: deque[Callable[[], None]] = deque()
        self._bell, self._ringing = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name=f"proxy-{self.port}", daemon=True)
        self._thread.start()

    @property
    def open_connections(self) -> int:
        """How many there are now; ``connections`` counts all that there were."""
        return len(self._links)

    def cut(self) -> int:
        """Reset all connections, on both sides, and say how many there were."""
        return self._do(self._abort_all)

    def cut_at(self, pattern: bytes, when: When = "before") -> Cut:
        """Cut the next connection that sends these bytes, once; both its sides when ``before``."""
        if not 0 < len(pattern) <= LONGEST_PATTERN:
            msg = f"a pattern has 1 to {LONGEST_PATTERN} bytes"
            raise ValueError(msg)
        cut = Cut(pattern, when)
        self._do(lambda: self._cuts.append(cut))
        return cut

    def lead_to(self, port: int) -> None:
        """Connect whoever comes from now on to another port, and cut nobody any more."""

        def turn() -> None:
            self._target = (HOST, port)
            self._cuts.clear()

        self._do(turn)

    def freeze(self) -> None:
        """Pass nothing on and accept nobody, as a network that is down; no side is told."""
        self._do(lambda: self._set_frozen(frozen=True))

    def thaw(self) -> None:
        """Go on, with all that has come meanwhile."""
        self._do(lambda: self._set_frozen(frozen=False))

    def close(self) -> None:
        """Reset all connections, listen no more, and wait for the end of the thread."""
        self._closing = True
        self._ring()
        self._thread.join(BOUND)
        if self._thread.is_alive():
            msg = f"the proxy did not end in {BOUND:.0f} s"
            raise TimeoutError(msg)
        self._ringing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _do(self, action: Callable[[], T]) -> T:
        """Have the thread do something, since only it touches connections."""
        if not self._thread.is_alive():
            msg = "the proxy is closed"
            raise RuntimeError(msg)
        done: Future[T] = Future()
        self._calls.append(lambda: done.set_result(action()))
        self._ring()
        return done.result(BOUND)

    def _ring(self) -> None:
        with suppress(OSError):
            self._ringing.send(b".")

    def _set_frozen(self, *, frozen: bool) -> None:
        self._frozen = frozen

    def _abort_all(self) -> int:
        links, self._links = self._links, []
        for link in links:
            link.abort()
        return len(links)

    def _run(self) -> None:
        with self._bell, self._listener:
            try:
                while not self._closing:
                    self._turn()
            finally:
                self._abort_all()

    def _turn(self) -> None:
        """Pass on what is due, wait for whatever comes next, and take it."""
        links = [] if self._frozen else self._links
        for link in list(links):
            self._tried(link, self._pass_due)
        ready = self._wait(links)
        if self._bell in ready:
            self._bell.recv(_CALLS)
            while self._calls:
                self._calls.popleft()()
            return  # since the connections may be others now
        for link in list(links):
            self._tried(link, lambda each: self._transfer(each, ready))
        if self._listener in ready:
            self._accept()

    def _tried(self, link: Link, action: Callable[[Link], None]) -> None:
        """Do something with a connection; what goes wrong on one side is told to the other."""
        try:
            action(link)
        except OSError:
            link.abort()
            self._links.remove(link)
        else:
            if link.over:
                link.close()
                self._links.remove(link)

    def _wait(self, links: list[Link]) -> set[socket.socket]:
        """Wait for sockets; by ``select``, which alone counts in less than milliseconds."""
        streams = [stream for link in links for stream in link.streams]
        reading = [each.source for each in streams if each.wants_to_read]
        writing = [each.sink for each in streams if each.wants_to_write]
        reading += [self._bell] if self._frozen else [self._bell, self._listener]
        due = [each.due for each in streams if each.due is not None]
        seconds = max(0.0, min(due) - time.monotonic()) if due else None
        readable, writable, _ = select(reading, writing, [], seconds)
        return {*readable, *writable}

    def _transfer(self, link: Link, ready: set[socket.socket]) -> None:
        for stream in link.streams:
            if stream.sink in ready:
                stream.write()
            if stream.source in ready and stream.wants_to_read:
                stream.read(self.delay)
                if stream is link.down and link.cut_when_answered:
                    link.lose_client()
                    link.cut_when_answered()
                    return

    def _pass_due(self, link: Link) -> None:
        now = time.monotonic()
        for chunk in link.up.pop_due(now):
            cut = self._pop_matching(link, chunk)
            if cut and cut.when == "before":
                link.abort()
                cut.has_happened()
                raise ConnectionAbortedError
            link.up.pass_on(chunk)
            if cut and cut.when == "after":
                link.lose_client()
                cut.has_happened()
            elif cut:
                link.cut_when_answered = cut.has_happened
        for chunk in link.down.pop_due(now):
            link.down.pass_on(chunk)

    def _pop_matching(self, link: Link, chunk: bytes) -> Cut | None:
        """Find a cut whose pattern is complete with this chunk, wherever it began."""
        known, link.tail = link.tail, (link.tail + chunk)[-LONGEST_PATTERN:]
        for cut in self._cuts:
            if (known + chunk).find(cut.pattern, max(0, len(known) - len(cut.pattern) + 1)) >= 0:
                self._cuts.remove(cut)
                return cut
        return None

    def _accept(self) -> None:
        """Connect whoever comes; where the server is down, reset him."""
        with suppress(OSError):
            client, _ = self._listener.accept()
            self.connections += 1
            try:
                server = socket.create_connection(self._target, timeout=_SECONDS_TO_CONNECT)
            except OSError:
                abort(client)
                return
            for each in (client, server):
                each.setblocking(False)
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            up = Stream(client, server, self._count_sent)
            self._links.append(Link(up, Stream(server, client, self._count_received)))

    def _count_sent(self, count: int) -> None:
        self.sent += count

    def _count_received(self, count: int) -> None:
        self.received += count
