"""A host that knows no SDK: JSON-RPC in lines, to a server in a process of its own."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from .conftest import BOUND, POOL

__all__ = ("PlainHost", "command", "environment", "plain_host")

_TASKS: dict[str, object] = {"extensions": {"io.modelcontextprotocol/tasks": {}}}


def command(*more: str) -> list[str]:
    return [sys.executable, "-W", "error::ResourceWarning", "-m", "agentpool", "mcp", *more]


def environment(store: Path | str, run_id: str, **more: str) -> dict[str, str]:
    own = {"STORE": str(store), "POOL": POOL, "RUN": run_id, "AGENT": "agent.host", **more}
    return os.environ | {f"AGENTPOOL_{name}": value for name, value in own.items()}


class PlainHost:
    """Speaks the revision of a host that shakes hands, or that of 2026, in which it has tasks."""

    def __init__(self, process: Process, *, tasks: bool) -> None:
        self.process = process
        self._numbers = count(1)
        self._meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "plain", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": _TASKS,
        }
        self._tasks = tasks

    async def shake_hands(self) -> dict[str, Any]:
        own = {"name": "plain", "version": "1"}
        given = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": own}
        told = await self.request("initialize", given)
        await self.say(b'{"jsonrpc": "2.0", "method": "notifications/initialized"}\n')
        return told

    async def __call__(self, tool: str, /, **given: object) -> dict[str, Any]:
        result = await self.request("tools/call", {"name": tool, "arguments": given})
        if "taskId" in result:
            return result
        [content] = result["content"]
        assert not result.get("isError"), content
        answer: dict[str, Any] = json.loads(content["text"])
        return answer

    async def request(self, method: str, params: Mapping[str, object]) -> dict[str, Any]:
        number = next(self._numbers)
        meta = {"_meta": self._meta} if self._tasks else {}
        sent = {"jsonrpc": "2.0", "id": number, "method": method, "params": {**params, **meta}}
        await self.say(json.dumps(sent).encode() + b"\n")
        assert self.process.stdout is not None
        async with asyncio.timeout(BOUND):
            while line := await self.process.stdout.readline():
                told = json.loads(line)
                if told.get("id") == number:
                    assert "error" not in told, told
                    result: dict[str, Any] = told["result"]
                    return result
        raise EOFError(method)

    async def say(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        await self.process.stdin.drain()

    async def kill(self) -> None:
        self.process.kill()
        await self.process.communicate()


@asynccontextmanager
async def plain_host(
    store: Path | str, run_id: str, *, tasks: bool = False, **more: str
) -> AsyncIterator[PlainHost]:
    """Start a server; unless it was killed it ends when its input does, quietly."""
    process = await asyncio.create_subprocess_exec(
        *command(),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env=environment(store, run_id, **more),
        limit=2**24,
    )
    try:
        host = PlainHost(process, tasks=tasks)
        if not tasks:
            await host.shake_hands()
        yield host
        async with asyncio.timeout(BOUND):
            left = await process.communicate(b"")
        assert process.returncode in {-9, -2} or (process.returncode, *left) == (0, b"", b"")
    finally:
        if process.returncode is None:
            await host.kill()
