"""Servers as hosts start them: in processes of their own, which share a pool, and are killed."""

import asyncio
import json
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mcp import Client, StdioServerParameters
from mcp_types import HEADER_MISMATCH, INVALID_PARAMS

from agentpool import AgentPool, AgentPoolMember, MemberHandle, RunAddress, open_pool
from agentpool.cli import main
from agentpool.mcp import Seat

from .conftest import BOB, BOUND, POOL, Host, ended, hosted
from .plain import command, environment, plain_host

pytestmark = pytest.mark.slow

HOSTILE = [
    "</script><script>alert(1)</script>",
    "line\nbreaks\r\n\u2028\u2029\x85and \x00 \x1b[2J",
    "\u202eevil\u202c \u200bzero \U0001f600 ä",
    '{"jsonrpc": "2.0", "id": 1, "result": {}}\n',
    "x" * 300_000,
    "",
]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "pool.db"


@pytest.fixture
async def shared(store: Path) -> AsyncIterator[AgentPool]:
    async with open_pool(store, POOL) as pool:
        yield pool


@pytest.fixture
async def agent(shared: AgentPool) -> MemberHandle:
    """Let an agent in Python share the pool."""
    await shared.join_run(BOB)
    return shared.acting_as(BOB)


def sdk_client(store: Path, run_id: str) -> Client:
    program, *arguments = command()
    return Client(
        StdioServerParameters(command=program, args=arguments, env=environment(store, run_id))
    )


async def test_two_hosts_and_an_agent_share_a_pool(store: Path, agent: MemberHandle) -> None:
    async with plain_host(store, "run.eve") as eve, sdk_client(store, "run.ada") as client:
        ada = Host(client)
        await eve("take")
        asking = asyncio.create_task(ada("ask", to="run.eve", text="Who has Dune?"))
        waited = await ended(eve, await eve("wait", **{"for": "mail"}))
        assert waited == {"came": True, "for": "mail"}
        [question] = (await eve("take"))["messages"]
        passed_on = asyncio.create_task(eve("ask", to="agent.reviewer", text=question["text"]))
        async with asyncio.timeout(BOUND), await agent.inbox.take() as delivery:
            assert await delivery.text() == "Who has Dune?"
            await delivery.reply("Nobody.")
        [said] = (await ended(eve, await passed_on))["answers"]
        await eve("done", claim=question["claim"], reply=said["text"])
        [answer] = (await ended(ada, await asking))["answers"]
        assert (answer["from"], answer["text"]) == ("run.eve", "Nobody.")
        there = {each["run"] for each in (await ada("who"))["members"]}
        assert there == {"run.ada", "run.bob", "run.eve"}


async def test_a_claim_outlives_the_kill_of_its_server(store: Path, agent: MemberHandle) -> None:
    async with plain_host(store, "run.eve") as eve:
        await eve("take")
        await agent.send(RunAddress.run("run.eve"), "long work")
        [taken] = (await eve("take"))["messages"]
        await eve.kill()
    async with plain_host(store, "run.eve") as eve:
        assert "messages" not in await eve("take")
        [listed] = (await eve("inbox"))["messages"]
        assert listed["claim"] == taken["claim"]
        await eve("done", claim=taken["claim"], reply="done")
        assert (await eve("inbox"))["count"] == 0
    [message] = await agent.inbox.peek()
    assert await agent.read(message) == "done"


async def test_an_answer_outlives_the_kill_of_the_server_that_asked(
    store: Path, agent: MemberHandle
) -> None:
    given = {"to": "run.bob", "text": "Where?", "key": "key.q"}
    async with plain_host(store, "run.eve") as eve:
        asking = asyncio.create_task(eve("ask", **given))
        async with asyncio.timeout(BOUND), await agent.inbox.take() as delivery:
            eve.process.kill()
            with pytest.raises(EOFError):
                await asking
            await delivery.reply("Shelf 42.")
    async with plain_host(store, "run.eve") as eve:
        [answer] = (await eve("ask", **given))["answers"]
    assert answer["text"] == "Shelf 42."


async def test_a_wait_goes_on_in_a_server_in_another_process(
    store: Path, shared: AgentPool, agent: MemberHandle
) -> None:
    async with hosted(Seat(shared, AgentPoolMember("run.eve", "agent.host"), patience=0)) as eve:
        first = await eve.wait("mail")
        asked = await eve("ask", to="run.bob", text="Where?", timeout=BOUND)
    async with asyncio.timeout(BOUND), await agent.inbox.take() as delivery:
        await delivery.reply("Shelf 42.")
    await agent.send(RunAddress.run("run.eve"), "hi")
    async with plain_host(store, "run.eve") as there:
        waited = await there("wait", **{"for": first["wait_id"]})
        assert waited == {"came": True, "for": "mail"}
        [answer] = (await there("wait", **{"for": asked["wait_id"]}))["answers"]
        assert answer["text"] == "Shelf 42."


@pytest.mark.usefixtures("shared")
async def test_what_is_no_request_harms_nobody_and_an_interrupt_ends_it_quietly(
    store: Path,
) -> None:
    async with plain_host(store, "run.eve") as eve:
        await eve.say(b'not json\n\xff\xfe\n[]\n{"jsonrpc": "2.0", "method": "nosuch"}\n')
        call = b'{"jsonrpc": "2.0", "id": 99, "method": "tools/call", "params": '
        await eve.say(call + b'{"name": "send", "arguments": {"to": "x", "text": "\\ud800"}}}\n')
        assert "members" not in await eve("who")
        eve.process.send_signal(signal.SIGINT)
        assert await eve.process.communicate() == (b"", b"")


@pytest.mark.parametrize("tool", ["ask", "wait"])
async def test_a_task_goes_on_after_the_kill_of_its_server(
    store: Path, agent: MemberHandle, tool: str
) -> None:
    given: dict[str, Any] = {"for": "mail"} if tool == "wait" else {"to": "run.bob", "text": "?"}
    async with plain_host(store, "run.eve", tasks=True) as eve:
        task = await eve(tool, **given)
        assert task["status"] == "working"
        await eve.kill()
    if tool == "ask":
        async with asyncio.timeout(BOUND), await agent.inbox.take() as delivery:
            await delivery.reply("!")
    await agent.send(RunAddress.run("run.eve"), "hi")
    async with plain_host(store, "run.eve", tasks=True) as eve:
        ended = await eve.request("tasks/get", {"taskId": task["taskId"]})
        assert ended["status"] == "completed"
        answer = json.loads(ended["result"]["content"][0]["text"])
        assert answer.get("came") or [each["text"] for each in answer["answers"]] == ["!"]


async def test_hostile_bodies_and_names_come_through_as_they_are(
    store: Path, shared: AgentPool
) -> None:
    run_id = "run.</script> \u202e'\"; $(x)" + "y" * 400
    async with plain_host(store, run_id) as eve, sdk_client(store, "run.ada") as client:
        ada = Host(client)
        await eve("take")
        for body in HOSTILE:
            await ada("send", to=f"run:{run_id}", text=body)
        for body in HOSTILE:
            [taken] = (await eve("take", limit=1, max_chars=1000))["messages"]
            assert taken["text"] == body[: len(taken["text"])]
            assert ("cut" in taken) == (len(body) > 1000)
            await eve("done", claim=taken["claim"], reply=body)
        bodies = [await shared.body(each).text() for each in await shared.inbox("run.ada").peek()]
        assert bodies == HOSTILE


@pytest.mark.parametrize(("run_id", "code"), [("", 2), ("run.a\nb", 2), ("run.me", 3)])
def test_what_cannot_be_served_is_told_in_one_line(
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    run_id: str,
    code: int,
) -> None:
    for name, value in environment(store, run_id).items():
        monkeypatch.setenv(name, value)
    assert main(["mcp"]) == code
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert told.err.startswith("agentpool mcp: ")


def test_a_taken_port_is_told_in_one_line(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environment(store, "run.me").items():
        monkeypatch.setenv(name, value)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["mcp", "--http", str(taken.getsockname()[1])]) == 5
    assert capsys.readouterr().err.count("\n") == 1


PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


class Told(NamedTuple):
    status: int
    body: bytes


class Served:
    """A server by HTTP, in a process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stderr is not None
        self.process = process
        self.url = process.stderr.readline().split()[-1]
        self.port = int(self.url.split(":")[-1].removesuffix("/mcp"))

    def told(self, request: object, address: str = "127.0.0.1", **headers: str) -> Told:
        """Send a request as it is, with these headers."""
        connection = HTTPConnection(address, self.port, timeout=BOUND)
        body = json.dumps(request)
        kind = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        try:
            connection.request("POST", "/mcp", body, {**kind, **headers})
            response = connection.getresponse()
            return Told(response.status, response.read())
        finally:
            connection.close()


@contextmanager
def by_http(store: Path, run_id: str) -> Iterator[Served]:
    with subprocess.Popen(
        command("--http", "0"),
        env=environment(store, run_id),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Served(process)
        process.terminate()
        out, err = process.communicate(timeout=BOUND)
        assert out == ""
        assert "Traceback" not in err


async def test_by_http_only_this_machine_and_no_web_page_is_served(
    store: Path, agent: MemberHandle
) -> None:
    with by_http(store, "run.eve") as served:
        async with Client(served.url) as client:
            eve = Host(client)
            await eve("send", to="run.bob", text="hi")
            assert [each.sender for each in await agent.inbox.peek()] == ["run.eve"]
        here = f"127.0.0.1:{served.port}"
        statuses = [
            (await asyncio.to_thread(served.told, PING, **headers)).status
            for headers in (
                {"Host": f"evil.example.com:{served.port}"},
                {"Host": here, "Origin": "http://evil.example.com"},
                {"Host": here, "Origin": "null"},
            )
        ]
        assert statuses == [421, 403, 403]
        with pytest.raises(ConnectionRefusedError):
            await asyncio.to_thread(served.told, PING, "127.0.0.2")


@pytest.mark.usefixtures("shared")
def test_by_http_with_a_token_only_who_brings_it_is_served(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTPOOL_TOKEN", "grün")
    versions = {"protocolVersion": "2025-11-25", "clientInfo": {"name": "a", "version": "1"}}
    begin = {**PING, "method": "initialize", "params": {**versions, "capabilities": {}}}
    token = "grün".encode().decode("latin-1")  # as headers are sent
    brought = (
        *(f"{scheme} {token}" for scheme in ("Bearer", "bearer", "BEARER ")),
        *(f"Bearer {token}!", "Bearer ", "Bearer", f"Basic {token}", token, ""),
    )
    with by_http(store, "run.eve") as served:
        statuses = [served.told(begin, Authorization=each).status for each in brought]
        assert served.told(begin).status == 401
    assert statuses == [200] * 3 + [401] * 6


@pytest.mark.usefixtures("shared")
def test_a_task_is_not_told_of_where_the_header_names_another(store: Path) -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {
            "extensions": {"io.modelcontextprotocol/tasks": {}}
        },
    }
    task_id = f"mail.{0:028x}"
    request = {**PING, "method": "tasks/get", "params": {"taskId": task_id, "_meta": meta}}
    headers = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tasks/get"}
    with by_http(store, "run.eve") as served:
        codes = [
            json.loads(served.told(request, **headers, **{"Mcp-Name": name}).body)["error"]["code"]
            for name in (task_id, f"mail.{1:028x}")
        ]
    assert codes == [INVALID_PARAMS, HEADER_MISMATCH]
