"""Hold a run and do things for it: ``hold.py PATH RUN_ID LEASE_SECONDS``.

What comes into its inbox is printed as ``heard ...``. ``send``, ``wait`` and ``end`` are read from
stdin: send a message to the pool, wait for a run to complete, leave. Each prints what came of it.
"""

import asyncio
import sys

from agentpool import (
    AgentPool,
    AgentPoolError,
    EventFilter,
    EventKind,
    MemberHandle,
    RunAddress,
    SqliteAgentPoolStore,
    include,
)
from agentpool.testing import a_member

POOL = "pool.test"
DONE = EventFilter(kinds=include(EventKind.RUN_COMPLETED))


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def consume(me: MemberHandle) -> None:
    try:
        async for delivery in me.inbox:
            async with delivery:
                say(f"heard {delivery.message.content_ref}")
    except AgentPoolError as error:
        say(f"inbox {type(error).__name__} {error}")


async def wait(me: MemberHandle) -> None:
    try:
        say(f"waited {(await me.wait_until(DONE, timeout=100)).registration.status}")
    except AgentPoolError as error:
        say(f"waited {type(error).__name__} {error}")


async def send(me: MemberHandle) -> None:
    try:
        say(f"sent {(await me.send(RunAddress.pool(POOL), content_ref='from.worker')).status}")
    except AgentPoolError as error:
        say(f"sent {type(error).__name__} {error}")


async def main(path: str, run_id: str, lease: str) -> None:
    async with (
        SqliteAgentPoolStore.open(path, busy_timeout=200) as store,
        AgentPool.open(store, POOL) as pool,
        pool.member(a_member(run_id), float(lease)) as me,
    ):
        tasks = [asyncio.create_task(consume(me))]
        say("ready")
        while (line := (await asyncio.to_thread(sys.stdin.readline)).strip()) not in {"end", ""}:
            tasks.append(asyncio.create_task({"wait": wait, "send": send}[line](me)))
            say(line)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


asyncio.run(main(*sys.argv[1:]))
