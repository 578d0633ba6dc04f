"""Questions and waits as tasks, for hosts that declare them: their id is that of the task.

This is the extension ``io.modelcontextprotocol/tasks`` of the revision 2026-07-28. A task is never
made for a host that did not declare it with the call.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import require_client_extension
from mcp.shared.exceptions import MCPError
from mcp_types import HEADER_MISMATCH, INTERNAL_ERROR, INVALID_PARAMS, RequestParams
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from agentpool.errors import AgentPoolError, InvalidValueError
from agentpool.mcp.answers import trouble
from agentpool.mcp.results import result_of
from agentpool.mcp.standing import Standing, began_at
from agentpool.mcp.waits import Waits

__all__ = ("EXTENSION", "add_tasks", "has_tasks", "task_made")

EXTENSION: Final = "io.modelcontextprotocol/tasks"
_POLL_MILLIS: Final = 2000

_Context: TypeAlias = ServerRequestContext[Any, Any]
_Task: TypeAlias = dict[str, object]


class TaskParams(RequestParams):
    """What the methods about tasks are called with."""

    task_id: str


def has_tasks(context: _Context) -> bool:
    """Say whether the host declared with this request that it knows tasks."""
    declared = context.session.client_capabilities
    extensions = None if declared is None else declared.extensions
    return context.protocol_version in MODERN_PROTOCOL_VERSIONS and EXTENSION in (extensions or {})


def task_made(wait_id: str) -> _Task:
    """Give a host a task instead of a result."""
    return {"resultType": "task", **_described(wait_id, Standing("working"))}


def add_tasks(server: Server[Any], waits: Waits) -> None:
    """Let a server speak of tasks."""

    async def get(wait_id: str) -> _Task:
        standing = await waits.standing(wait_id)
        return {"resultType": "complete", **_described(wait_id, standing)}

    async def update(wait_id: str) -> _Task:
        await waits.standing(wait_id)  # nothing is ever asked of a host
        return {"resultType": "complete"}

    async def cancel(wait_id: str) -> _Task:
        await waits.cancel(wait_id)
        return {"resultType": "complete"}

    for name, method in (("get", get), ("update", update), ("cancel", cancel)):
        server.add_request_handler(f"tasks/{name}", TaskParams, _handler(method))
    server.extensions[EXTENSION] = {}


def _handler(
    method: Callable[[str], Awaitable[_Task]],
) -> Callable[[_Context, TaskParams], Awaitable[_Task]]:
    async def handle(context: _Context, params: TaskParams) -> _Task:
        require_client_extension(context, EXTENSION)
        _check_route(context, params.task_id)
        try:
            return await method(params.task_id)
        except InvalidValueError as error:
            raise MCPError(code=INVALID_PARAMS, message=trouble(error)) from error
        except AgentPoolError as error:
            raise MCPError(code=INTERNAL_ERROR, message=trouble(error)) from error

    return handle


def _check_route(context: _Context, task_id: str) -> None:
    """Refuse what its header says is about another task: it was led here by that."""
    headers = {} if context.request is None else context.request.headers
    if headers.get("mcp-name", task_id) != task_id:
        raise MCPError(code=HEADER_MISMATCH, message="the header Mcp-Name names another task")


def _described(wait_id: str, standing: Standing) -> _Task:
    began = began_at(wait_id)
    task: _Task = {
        "taskId": wait_id,
        "status": standing.status,
        "createdAt": _written(began),
        "lastUpdatedAt": _written(began if standing.changed_at is None else standing.changed_at),
        "ttlMs": None,  # it is there for as long as the log is
        "pollIntervalMs": _POLL_MILLIS,
    }
    if standing.status == "completed" and standing.answer is not None:
        result = result_of(standing.answer)
        task["result"] = result.model_dump(by_alias=True, mode="json", exclude_none=True)
    return task


def _written(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat().replace("+00:00", "Z")
