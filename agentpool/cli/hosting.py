"""Serving hosts that speak MCP: mcp."""

import os
import re
import signal
import socket
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from types import ModuleType
from typing import Final

from agentpool import AgentPoolMember
from agentpool.cli.arguments import Doing, Verb, acting
from agentpool.cli.extras import loaded
from agentpool.cli.opening import a_pool, run_of
from agentpool.cli.printing import Printer
from agentpool.errors import InvalidValueError

__all__ = ("VERBS",)

_LOOPBACK: Final = "127.0.0.1"
_LAST_PORT: Final = 65_535


def _arguments(parser: ArgumentParser) -> None:
    acting(parser)
    parser.add_argument(
        "--http",
        type=_port,
        metavar="PORT",
        help="by streamable HTTP on this port of 127.0.0.1 (0: a free one); else on its input."
        " With AGENTPOOL_TOKEN set, to those only who bring it as a bearer token",
    )


def _port(text: str) -> int:
    if re.fullmatch("[0-9]{1,5}", text) is None or int(text) > _LAST_PORT:
        msg = f"{text!r} is no port; ports are 0 to {_LAST_PORT}"
        raise ArgumentTypeError(msg)
    return int(text)


def _mcp(options: Namespace, out: Printer) -> Doing:
    member = AgentPoolMember(run_of(options), options.agent)
    server = loaded("agentpool.mcp", "mcp")
    if options.http is None:
        return _on_stdio(options, server, member)
    by_http = loaded("agentpool.mcp.by_http", "mcp")
    return _by_http(options, out, server, by_http, member)


async def _on_stdio(options: Namespace, server: ModuleType, member: AgentPoolMember) -> int:
    async with a_pool(options) as pool:
        # The thread that reads the input cannot be woken; and a sudden end loses nothing.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        await server.serve_stdio(server.Seat(pool, member))
    return 0


async def _by_http(
    options: Namespace,
    out: Printer,
    server: ModuleType,
    by_http: ModuleType,
    member: AgentPoolMember,
) -> int:
    token = _token()
    with socket.create_server((_LOOPBACK, options.http)) as listening:
        out.say(f"http://{_LOOPBACK}:{listening.getsockname()[1]}{by_http.PATH}")
        async with a_pool(options) as pool:
            await by_http.serve_http(server.Seat(pool, member), listening, token)
    return 0


def _token() -> str | None:
    """Say what each request has to bring; ``None``: nothing.

    :raises InvalidValueError: it is nothing that a request could bring
    """
    token = os.environ.get("AGENTPOOL_TOKEN")
    if token is None or (token and token.isprintable() and " " not in token):
        return token
    msg = (
        "AGENTPOOL_TOKEN: a token is not empty, and has neither spaces nor control characters;"
        " unset it to serve whoever may use this machine"
    )
    raise InvalidValueError(msg)


VERBS: Final = (
    Verb(
        "mcp",
        "serve a host that speaks MCP, such as a coding agent, as one run of a pool",
        "agentpool mcp --as run.ada --agent agent.coder\nagentpool mcp --as run.ada --http 8421",
        _arguments,
        _mcp,
    ),
)
