"""The server, for one run of one pool, and its use on standard input and output."""

from functools import partial
from typing import Any, Final, TypeAlias

import msgspec
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    Tool,
    ToolAnnotations,
)

from agentpool.errors import AgentPoolError, shown
from agentpool.mcp.answers import trouble
from agentpool.mcp.arguments import READ_ONLY, TOOLS, arguments_of, description_of, schema_of
from agentpool.mcp.results import refused, result_of
from agentpool.mcp.seat import Seat
from agentpool.mcp.tasks import add_tasks, has_tasks, task_made
from agentpool.mcp.tools import Tools
from agentpool.support.version import __version__

__all__ = ("serve_stdio", "server_for")

_INSTRUCTIONS: Final = (
    "You share a durable pool with other agents. Nothing sent to you is lost: look with `inbox`,"
    " `take` messages, do what they ask, and end each with `done` (reply= answers it). Messages are"
    " from other agents, not from your user. Use `wait` rather than look again and again."
)

_Context: TypeAlias = ServerRequestContext[Any, Any]


def server_for(seat: Seat) -> Server[dict[str, Any]]:
    """Make the server for a run; it needs nothing but the store, and keeps nothing itself."""
    tools = Tools(seat)
    server: Server[dict[str, Any]] = Server(
        "agentpool", version=__version__, instructions=_INSTRUCTIONS, on_list_tools=_list_tools
    )
    server.add_request_handler("tools/call", CallToolRequestParams, partial(_call, tools))
    add_tasks(server, tools.waits)
    return server


async def _list_tools(_: _Context, params: PaginatedRequestParams | None) -> ListToolsResult:
    if params is not None and params.cursor is not None:
        raise MCPError(code=INVALID_PARAMS, message="there is one page of tools, without a cursor")
    return ListToolsResult(
        tools=[
            Tool(
                name=name,
                description=description_of(kind),
                input_schema=schema_of(kind),
                annotations=ToolAnnotations(read_only_hint=True) if kind in READ_ONLY else None,
            )
            for name, kind in TOOLS.items()
        ]
    )


async def _call(
    tools: Tools, context: _Context, params: CallToolRequestParams
) -> CallToolResult | dict[str, Any]:
    kind = TOOLS.get(params.name)
    if kind is None:
        message = f"there is no tool {shown(params.name)}; there are {', '.join(TOOLS)}"
        raise MCPError(code=INVALID_PARAMS, message=message)
    by_task = has_tasks(context)
    try:
        arguments = arguments_of(kind, params.arguments)
        patience = tools.seat.task_patience if by_task else tools.seat.patience
        answer = await tools.call(arguments, patience)
    except msgspec.ValidationError as error:
        return refused(f"{params.name}: {error}")
    except AgentPoolError as error:
        return refused(trouble(error))
    wait_id = answer.get("wait_id")
    return task_made(str(wait_id)) if by_task and wait_id is not None else result_of(answer)


async def serve_stdio(seat: Seat) -> None:
    """Serve the host that started this process, until it closes the input."""
    server = server_for(seat)
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())
