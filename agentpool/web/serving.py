"""The server: the application on a port, from the URL that is printed to the end in order."""

import asyncio
import signal
import socket
from argparse import Namespace
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

import uvicorn

from agentpool.cli.opening import a_store, where
from agentpool.errors import InvalidValueError
from agentpool.web.app import application
from agentpool.web.gate import LOOPBACK, Gate
from agentpool.web.inside import Inside
from agentpool.web.parts import url
from agentpool.web.stream import Streams

__all__ = ("Server", "serve")

_ANYWHERE: Final = frozenset({"", "0.0.0.0", "::", "[::]"})  # noqa: S104  # which are refused
_PORTS: Final = range(2**16)
_GRACE: Final = 3
_ENDINGS: Final = (signal.SIGINT, signal.SIGTERM)


class Server(uvicorn.Server):
    """Serves an application on a socket, and ends its streams before it ends.

    Signals are for whoever runs it: they set ``should_exit``.
    """

    def __init__(self, inside: Inside, gate: Gate) -> None:
        self._streams = Streams()
        app = application(inside, gate, self._streams)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACE,
        )
        super().__init__(config)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals to whoever runs it."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then the rest."""
        self._streams.end()
        await super().shutdown(sockets)


async def serve(options: Namespace, told: Callable[[str], None]) -> int:
    """Serve the page of a store until a signal ends it.

    :param told: is given the URL once it can be opened
    """
    with _listening(options.host, options.port) as listening:
        async with a_store(options) as store:
            gate = Gate(LOOPBACK | {_in_url(options.host).lower()})
            inside = Inside(store, where(options), options.schema)
            server = Server(inside, gate)
            port = listening.getsockname()[1]
            path = url("/now" if options.pool else "/", pool=options.pool, token=gate.token)
            with _ending(server):
                told(f"http://{_in_url(options.host)}:{port}{path}")
                await server.serve([listening])
    return 0


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _listening(host: str, port: int) -> socket.socket:
    """Take the port.

    :raises InvalidValueError: it cannot be had
    """
    if host in _ANYWHERE:
        msg = f"--host: {host!r} is no address that a browser asks for; name the one that it does"
        raise InvalidValueError(msg)
    if port not in _PORTS:  # the rest of them would be taken for it
        msg = f"--port: {port} is none; they go from 0, for any that is free, to {_PORTS[-1]}"
        raise InvalidValueError(msg)
    try:
        [(family, *_, address), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        msg = f"--host, --port: {host}:{port} cannot be had: {error}; 0 takes any that is free"
        raise InvalidValueError(msg) from error


@contextmanager
def _ending(server: Server) -> Generator[None]:
    """Let signals end the server in order."""
    loop = asyncio.get_running_loop()

    def end() -> None:
        server.should_exit = True

    for each in _ENDINGS:
        loop.add_signal_handler(each, end)
    try:
        yield
    finally:
        for each in _ENDINGS:
            loop.remove_signal_handler(each)
