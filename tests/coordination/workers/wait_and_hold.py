"""Wait and hold a message as a leased member: ``wait_and_hold.py PATH LEASE_MILLIS``."""

import asyncio
import sys

from agentpool import AgentPool, EventFilter, EventKind, RunAddress, SqliteAgentPoolStore, include
from agentpool.testing import a_condition, a_member, a_message

POOL = "pool.test"
OWNER = "run.owner"


async def main(path: str, lease_millis: str) -> None:
    never = EventFilter(kinds=include(EventKind.RUN_FAILED))
    async with SqliteAgentPoolStore.open(path) as store, AgentPool.open(store, POOL) as pool:
        await pool.join_run(a_member("run.a"))
        async with pool.member(a_member(OWNER), int(lease_millis) / 1000) as me:
            await pool.suspend_until(OWNER, a_condition(run_id=OWNER, filter=never))
            await pool.send(a_message(to=RunAddress.run(OWNER)))
            delivery = await me.inbox.take()
            sys.stdout.write("waits\n")
            sys.stdout.flush()
            await asyncio.sleep(60)
            await delivery.ack()


asyncio.run(main(*sys.argv[1:]))
