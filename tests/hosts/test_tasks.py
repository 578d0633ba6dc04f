"""Questions and waits as tasks, for hosts that declare them."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Literal

import pytest
from mcp import Client
from mcp.client import advertise
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.client.session import ClientSession
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CallToolResult,
    Request,
    RequestParams,
    Result,
)
from pydantic import ConfigDict

from agentpool import AgentPool, MemberHandle, RunAddress
from agentpool.mcp import Seat, server_for
from agentpool.mcp.tasks import EXTENSION

from .conftest import ADA, BOUND, text_of

TO_ADA = RunAddress.run("run.ada")


class Task(Result):
    """A task, made or asked for; what is in it besides depends on how it stands."""

    model_config = ConfigDict(extra="allow")
    result_type: str
    task_id: str
    status: str
    created_at: str
    last_updated_at: str
    ttl_ms: int | None
    poll_interval_ms: int
    result: dict[str, Any] | None = None


class TaskMade(Task):
    result_type: Literal["task"] = "task"


class Acknowledged(Result):
    model_config = ConfigDict(extra="forbid")
    result_type: Literal["complete"]


class TaskParams(RequestParams):
    task_id: str


class Polling(ClientExtension):
    """Polls a task to its end, as a host does in the background."""

    identifier = EXTENSION

    def claims(self) -> Sequence[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=TaskMade, resolve=self._resolve)]

    async def _resolve(self, made: TaskMade, context: ClaimContext) -> CallToolResult:
        task: Task = made
        while task.status == "working":
            await asyncio.sleep(0.01)
            task = await get(context.session, made.task_id)
        return CallToolResult.model_validate(task.result)


def asked(method: str, task_id: str) -> Request[TaskParams, str]:
    return Request(method=f"tasks/{method}", params=TaskParams(task_id=task_id))


async def get(session: ClientSession, task_id: str) -> Task:
    return await session.send_request(asked("get", task_id), Task)


async def acknowledged(session: ClientSession, method: str, task_id: str) -> None:
    await session.send_request(asked(method, task_id), Acknowledged)


def client(pool: AgentPool, extension: ClientExtension | None = None) -> Client:
    server = server_for(Seat(pool, ADA, task_patience=0.05))
    return Client(server, extensions=[extension or Polling()])


async def made(session: ClientSession, tool: str, **given: object) -> TaskMade:
    task = await session.call_tool(tool, given, allow_claimed=True)
    assert isinstance(task, TaskMade)
    return task


async def test_a_question_becomes_a_task_that_gives_the_answers(
    pool: AgentPool, bob: MemberHandle
) -> None:
    async with asyncio.timeout(BOUND), client(pool) as host:
        asking = asyncio.create_task(host.call_tool("ask", {"to": "run.bob", "text": "Where?"}))
        async with await bob.inbox.take() as delivery:
            await delivery.reply("Shelf 42.")
        [answer] = json.loads(text_of(await asking))["answers"]
    assert answer["text"] == "Shelf 42."


async def test_what_is_soon_done_needs_no_task(pool: AgentPool, bob: MemberHandle) -> None:
    async with client(pool) as host:
        await host.call_tool("take", {})
        await bob.send(TO_ADA, "hi")
        result = await host.session.call_tool("wait", {"for": "mail"})
    assert json.loads(text_of(result)) == {"came": True, "for": "mail"}


@pytest.mark.parametrize(
    ("tool", "given"),
    [
        ("wait", {"for": "mail"}),
        ("wait", {"for": "event:x"}),
        ("ask", {"to": "run.bob", "text": "?"}),
    ],
)
async def test_a_task_outlives_its_server(
    pool: AgentPool, bob: MemberHandle, tool: str, given: dict[str, Any]
) -> None:
    async with client(pool) as host:
        task = await made(host.session, tool, **given)
    assert (task.status, task.ttl_ms) == ("working", None)
    async with client(pool) as host:
        again = await get(host.session, task.task_id)
        assert (again.result_type, again.status) == ("complete", "working")
        assert again.created_at == task.created_at
        await acknowledged(host.session, "update", task.task_id)
    await bob.send(TO_ADA, "hi")
    await bob.publish("x")
    if tool == "ask":
        async with await bob.inbox.take() as delivery:
            await delivery.reply("!")
    for _ in range(2):
        async with client(pool) as host:
            ended = await get(host.session, task.task_id)
            assert ended.status == "completed"
            assert ended.result is not None
            [content] = ended.result["content"]
            assert json.loads(content["text"]).keys() & {"came", "answers"}
        await pool.inbox("run.ada").take(0)


@pytest.mark.usefixtures("bob")
@pytest.mark.parametrize(
    ("tool", "given"), [("wait", {"for": "mail"}), ("ask", {"to": "run.bob", "text": "?"})]
)
async def test_a_task_is_cancelled(pool: AgentPool, tool: str, given: dict[str, Any]) -> None:
    async with client(pool) as host:
        task = await made(host.session, tool, **given)
        for _ in range(2):
            await acknowledged(host.session, "cancel", task.task_id)
    async with client(pool) as host:
        cancelled = await get(host.session, task.task_id)
    assert (cancelled.status, cancelled.result) == ("cancelled", None)


async def test_what_has_ended_is_not_cancelled(pool: AgentPool, bob: MemberHandle) -> None:
    async with client(pool) as host:
        task = await made(host.session, "wait", **{"for": "event:x"})
        await bob.publish("x")
        await acknowledged(host.session, "cancel", task.task_id)
        assert (await get(host.session, task.task_id)).status == "completed"


async def test_a_question_that_was_answered_is_not_cancelled(
    pool: AgentPool, bob: MemberHandle
) -> None:
    async with asyncio.timeout(BOUND), client(pool) as host:
        task = await made(host.session, "ask", to="run.bob", text="Where?")
        async with await bob.inbox.take() as delivery:
            await delivery.reply("Shelf 42.")
        await acknowledged(host.session, "cancel", task.task_id)
        ended = await get(host.session, task.task_id)
    assert ended.status == "completed"
    assert "Shelf 42." in str(ended.result)


@pytest.mark.parametrize("method", ["get", "update", "cancel"])
@pytest.mark.parametrize("task_id", ["nonsense", f"mail.{0:028x}", f"ask.{0:028x}", ""])
async def test_what_is_no_task_is_refused(pool: AgentPool, method: str, task_id: str) -> None:
    async with client(pool) as host:
        with pytest.raises(MCPError) as refused:
            await host.session.send_request(asked(method, task_id), Result)
    assert refused.value.error.code == INVALID_PARAMS


async def test_who_declares_no_tasks_gets_none(pool: AgentPool) -> None:
    for extensions in ([], [advertise("com.example/other")]):
        server = server_for(Seat(pool, ADA, patience=0.05))
        async with Client(server, extensions=extensions) as host:
            result = await host.call_tool("wait", {"for": "mail"})
            task_id = json.loads(text_of(result))["wait_id"]
            with pytest.raises(MCPError) as refused:
                await host.session.send_request(asked("get", task_id), Result)
            assert refused.value.error.code == MISSING_REQUIRED_CLIENT_CAPABILITY
