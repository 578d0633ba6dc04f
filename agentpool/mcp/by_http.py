"""The server by streamable HTTP, for hosts of this machine."""

from socket import socket
from typing import Final

import uvicorn
from mcp.server.transport_security import TransportSecuritySettings

from agentpool.mcp.seat import Seat
from agentpool.mcp.server import server_for

__all__ = ("PATH", "serve_http")

PATH: Final = "/mcp"
_HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")


async def serve_http(seat: Seat, listening: socket) -> None:
    """Serve hosts at ``/mcp``, until the process is stopped.

    What a web page could ask for, under a name that leads here, is refused: by its ``Host`` with
    421, by its ``Origin`` with 403.

    :param listening: bound to the address where it listens
    """
    app = server_for(seat).streamable_http_app(
        streamable_http_path=PATH,
        transport_security=TransportSecuritySettings(
            allowed_hosts=[f"{host}:*" for host in _HOSTS],
            allowed_origins=[f"http://{host}:*" for host in _HOSTS],
        ),
    )
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)
    await uvicorn.Server(config).serve(sockets=[listening])
