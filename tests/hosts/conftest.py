"""A pool with an agent in it, and hosts that speak MCP with the server in this process."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Protocol

import pytest
from mcp import Client
from mcp.client.extension import ClientExtension
from mcp_types import CallToolResult, TextContent

from agentpool import AgentPool, AgentPoolMember, InMemoryAgentPoolStore, MemberHandle
from agentpool.mcp import Seat, server_for

POOL = "pool.library"
BOUND = 200.0
"""Seconds that anything may take, on a machine that is very busy."""

ADA = AgentPoolMember("run.ada", "agent.coder")
BOB = AgentPoolMember("run.bob", "agent.reviewer")


def text_of(result: CallToolResult) -> str:
    [content] = result.content
    assert isinstance(content, TextContent)
    return content.text


class Host(NamedTuple):
    """A host of one run: calls tools, and reads what they say."""

    client: Client

    async def __call__(self, tool: str, /, **given: object) -> dict[str, Any]:
        result = await self.client.call_tool(tool, given)
        assert not result.is_error, text_of(result)
        answer: dict[str, Any] = json.loads(text_of(result))
        return answer

    async def wait(self, what: str, timeout: float = BOUND) -> dict[str, Any]:  # noqa: ASYNC109
        return await self("wait", **{"for": what, "timeout": timeout})

    async def refusal(self, tool: str, /, **given: object) -> str:
        result = await self.client.call_tool(tool, given)
        assert result.is_error
        return text_of(result)


class Calls(Protocol):
    """What calls tools, of whatever host."""

    async def __call__(self, tool: str, /, **given: object) -> dict[str, Any]: ...


async def ended(call: Calls, answer: dict[str, Any]) -> dict[str, Any]:
    """Go on until it is over, as a model does."""
    async with asyncio.timeout(BOUND):
        while "wait_id" in answer:
            answer = await call("wait", **{"for": answer["wait_id"]})
    return answer


@asynccontextmanager
async def hosted(
    seat: Seat, mode: str = "auto", extensions: Sequence[ClientExtension] = ()
) -> AsyncIterator[Host]:
    async with Client(server_for(seat), mode=mode, extensions=extensions) as client:
        yield Host(client)


@pytest.fixture
async def pool() -> AsyncIterator[AgentPool]:
    async with InMemoryAgentPoolStore() as store, AgentPool.open(store, POOL) as opened:
        yield opened


@pytest.fixture
async def bob(pool: AgentPool) -> MemberHandle:
    """Let an agent be in the pool that knows nothing of MCP."""
    await pool.join_run(BOB)
    return pool.acting_as(BOB)


@pytest.fixture(params=["legacy", "auto"])
async def ada(pool: AgentPool, request: pytest.FixtureRequest) -> AsyncIterator[Host]:
    """Let a host be there that speaks one revision of MCP or another; it has not joined yet."""
    ready: asyncio.Future[Host] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def live() -> None:  # what a client begins has to be ended by the same task
        async with hosted(Seat(pool, ADA), request.param) as host:
            ready.set_result(host)
            await over.wait()

    living = asyncio.create_task(live())
    either: list[asyncio.Future[Any]] = [ready, living]
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if ready.done():
        yield ready.result()
    over.set()
    await living
