"""The server by streamable HTTP, for hosts of this machine."""

from secrets import compare_digest
from socket import socket
from typing import Final

import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from agentpool.mcp.seat import Seat
from agentpool.mcp.server import server_for

__all__ = ("PATH", "serve_http")

PATH: Final = "/mcp"
_HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")


class _Guarded:
    """An application for those only who bring a token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_brought(dict(scope["headers"])):
            await self._app(scope, receive, send)
            return
        words = "bring the token of this server: Authorization: Bearer TOKEN\n"
        refusal = PlainTextResponse(words, 401, {"WWW-Authenticate": "Bearer"})
        await refusal(scope, receive, send)

    def _is_brought(self, headers: dict[bytes, bytes]) -> bool:
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        return scheme.lower() == b"bearer" and compare_digest(token.lstrip(b" "), self._token)


async def serve_http(seat: Seat, listening: socket, token: str | None = None) -> None:
    """Serve hosts at ``/mcp``, until the process is stopped.

    What a web page could ask for, under a name that leads here, is refused: by its ``Host`` with
    421, by its ``Origin`` with 403.

    :param listening: bound to the address where it listens
    :param token: what each request has to bring, by ``Authorization: Bearer``, else it is refused
        with 401; ``None``: whoever may use this machine is served
    """
    app = server_for(seat).streamable_http_app(
        streamable_http_path=PATH,
        transport_security=TransportSecuritySettings(
            allowed_hosts=[f"{host}:*" for host in _HOSTS],
            allowed_origins=[f"http://{host}:*" for host in _HOSTS],
        ),
    )
    if token is not None:
        app.add_middleware(_Guarded, token=token)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)
    await uvicorn.Server(config).serve(sockets=[listening])
