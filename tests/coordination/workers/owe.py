"""Begin something that becomes due: ``owe.py PATH WHAT MILLIS``. Prints ``owes``, then waits."""

import asyncio
import sys

from agentpool import (
    AgentPool,
    EventFilter,
    EventKind,
    MessageResponseContract,
    SqliteAgentPoolStore,
    include,
)
from agentpool.testing import a_condition, a_member, a_message

POOL = "pool.test"


async def owe(pool: AgentPool, what: str, millis: int) -> None:
    never = EventFilter(kinds=include(EventKind.RUN_FAILED))
    await pool.join_run(a_member("run.a"))
    await pool.join_run(a_member("run.b"))
    if what == "wake":
        await pool.suspend_until("run.a", a_condition(filter=never, timeout_millis=millis))
    elif what == "response":
        await pool.send(a_message(response_contract=MessageResponseContract(1, millis)))
    elif what == "expiry":
        await pool.send(a_message(expires_at_millis=pool.store.clock() + millis))


async def main(path: str, what: str, millis: str) -> None:
    lease = int(millis) / 1000 if what == "lease" else None
    async with (
        SqliteAgentPoolStore.open(path) as store,
        AgentPool.open(store, POOL) as pool,
        pool.member(a_member("run.owner"), lease),
    ):
        await owe(pool, what, int(millis))
        sys.stdout.write("owes\n")
        sys.stdout.flush()
        await asyncio.sleep(60)


asyncio.run(main(*sys.argv[1:]))
