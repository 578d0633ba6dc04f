"""The same server for a pool in a store on a server."""

import asyncio
import json

from agentpool import AgentPool, open_store
from agentpool.mcp import Seat

from .conftest import ADA, POOL, ended, hosted
from .plain import plain_host


async def test_hosts_share_a_pool_on_a_server(postgres_url: str, schema: str) -> None:
    async with (
        open_store(postgres_url, schema=schema) as store,
        AgentPool.open(store, POOL) as pool,
        hosted(Seat(pool, ADA)) as ada,
    ):
        async with plain_host(postgres_url, "run.eve", SCHEMA=schema) as eve:
            await eve("take")
            asking = asyncio.create_task(ada("ask", to="run.eve", text="Where?", timeout=200))
            assert (await ended(eve, await eve("wait", **{"for": "mail"})))["came"]
            [taken] = (await eve("take"))["messages"]
            await eve.kill()
        async with plain_host(postgres_url, "run.eve", tasks=True, SCHEMA=schema) as eve:
            await eve("done", claim=taken["claim"], reply="Shelf 42.")
            [answer] = (await ended(ada, await asking))["answers"]
            assert answer["text"] == "Shelf 42."
            task = await eve("wait", **{"for": "event:build.done"})
            await pool.acting_as(ADA).publish("build.done")
            task = await eve.request("tasks/get", {"taskId": task["taskId"]})
        assert json.loads(task["result"]["content"][0]["text"])["came"]
