"""The page of a store, served by this process on a port of its own, and a client of it."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import httpx

from agentpool import AgentPool, AgentPoolMember, RunAddress
from agentpool.stores.base import AgentPoolStore
from agentpool.web.app import application
from agentpool.web.gate import Gate
from agentpool.web.inside import Inside
from agentpool.web.serving import Server
from agentpool.web.stream import Streams

POOL: Final = "pool.library"
PATIENCE: Final = 120.0


class Site(NamedTuple):
    """A page that is served.

    :ivar url: where, without a path
    :ivar client: which has the cookie
    """

    url: str
    gate: Gate
    client: httpx.AsyncClient
    server: Server | None = None

    @property
    def key(self) -> str:
        return f"{self.url}/?token={self.gate.token}"

    def stop(self) -> None:
        """Let the server end, as a signal does."""
        assert self.server is not None
        self.server.should_exit = True

    async def text(self, path: str, **values: str | int) -> str:
        given = {"pool": POOL, **values}
        answer = await self.client.get(path, params={each: str(given[each]) for each in given})
        assert answer.status_code == 200, answer.text
        return answer.text


class Told(NamedTuple):
    """A server-sent event."""

    name: str
    id: str
    values: dict[str, Any]


@asynccontextmanager
async def shown(
    store: AgentPoolStore, place: str = "memory:", *, signed_in: bool = True
) -> AsyncGenerator[Site]:
    """Show a store without a server: its streams would never end."""
    gate, url = Gate(), "http://127.0.0.1:8420"
    app = application(Inside(store, place), gate, Streams())
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url=url, timeout=PATIENCE, follow_redirects=True
    ) as client:
        site = Site(url, gate, client)
        if signed_in:
            assert (await client.get(site.key)).status_code == 200
        yield site


@asynccontextmanager
async def served(
    store: AgentPoolStore,
    place: str = "memory:",
    *,
    gate: Gate | None = None,
    at: int = 0,
    signed_in: bool = True,
) -> AsyncGenerator[Site]:
    """Serve a store until the end of the block.

    :param gate: that of another one that was served before
    :param at: its port
    """
    gate = gate or Gate()
    with socket.create_server(("127.0.0.1", at)) as listening:
        server = Server(Inside(store, place), gate)
        serving = asyncio.create_task(server.serve([listening]))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            async with httpx.AsyncClient(
                base_url=url, timeout=PATIENCE, follow_redirects=True, trust_env=False
            ) as client:
                site = Site(url, gate, client, server)
                if signed_in:
                    assert (await client.get(site.key)).status_code == 200
                yield site
        finally:
            server.should_exit = True
            async with asyncio.timeout(PATIENCE):
                await serving


async def events(site: Site, headers: dict[str, str], **values: str) -> AsyncGenerator[Told]:
    """Follow a stream."""
    path = site.client.build_request("GET", "/events", params={"pool": POOL, **values})
    path.headers.update(headers)
    answer = await site.client.send(path, stream=True)
    assert answer.status_code == 200
    told: dict[str, str] = {}
    try:
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if name:
                told[name] = value
            elif "event" in told:
                yield Told(told["event"], told.get("id", ""), json.loads(told["data"]))
                told = {}
    finally:
        await answer.aclose()


async def members(pool: AgentPool, count: int, name: str = "run.{:05}") -> list[str]:
    """Let runs join."""
    names = [name.format(each) for each in range(count)]
    for start in range(0, count, 500):
        joining = (
            pool.join_run(AgentPoolMember(each, "agent.many"))
            for each in names[start : start + 500]
        )
        await asyncio.gather(*joining)
    return names


async def chatter(pool: AgentPool, run_id: str, count: int) -> None:
    """Let a run that is a member say so many things to itself: two records each."""
    me = pool.acting_as(AgentPoolMember(run_id, "agent.many"))
    await me.send_many([(RunAddress.run(run_id), f"line {each}") for each in range(count)])
