"""Takes two messages on a machine whose clock is wrong, then waits: URL, schema, pool, seconds."""

import asyncio
import sys
import time

from agentpool import AgentPool, AgentPoolMember
from agentpool.stores.postgres import PostgresAgentPoolStore

right = time.time_ns


async def main(url: str, schema: str, pool_id: str) -> None:
    async with (
        PostgresAgentPoolStore.open(url, schema=schema, busy_timeout=200) as store,
        AgentPool.open(store, pool_id) as pool,
        pool.member(AgentPoolMember("run.other", "agent.a"), lease=1.0),
    ):
        far = await pool.inbox("run.far", lease=3600).take()
        near = await pool.inbox("run.near", lease=1.0).take()
        for each in (store.clock(), far.message.content_ref, near.message.content_ref):
            sys.stdout.write(f"{each}\n")
        sys.stdout.flush()
        await asyncio.sleep(3600)


if __name__ == "__main__":
    *where, seconds = sys.argv[1:]
    time.time_ns = lambda: right() + int(seconds) * 10**9
    asyncio.run(main(*where))
