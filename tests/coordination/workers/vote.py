"""Be many members that answer one question each: ``vote.py PATH FIRST COUNT LEAVING SEED``.

The last few of them take the question and leave instead. Then the moment of the last answer, or
leaving, is printed.
"""

import asyncio
import random
import sys
import time
from contextlib import AsyncExitStack

from agentpool import AgentPool, MemberHandle, SqliteAgentPoolStore
from agentpool.testing import a_member

POOL = "pool.test"
BUSY = 200.0  # seconds, on a machine however busy
LONGEST_WORK = 0.05


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def vote(me: MemberHandle, *, leaves: bool) -> None:
    delivery = await me.inbox.take()
    await asyncio.sleep(random.uniform(0, LONGEST_WORK))
    if leaves:
        await me.aclose()
    else:
        await delivery.reply(f"yes from {me.run_id}")
        await delivery.ack()


async def main(path: str, first: str, count: str, leaving: str, seed: str) -> None:
    random.seed(seed)
    async with (
        SqliteAgentPoolStore.open(path, busy_timeout=BUSY) as store,
        AgentPool.open(store, POOL) as pool,
        AsyncExitStack() as stack,
    ):
        names = [f"run.{number}" for number in range(int(first), int(first) + int(count))]
        voters = [await stack.enter_async_context(pool.member(a_member(each))) for each in names]
        say("ready")
        staying = len(voters) - int(leaving)
        async with asyncio.TaskGroup() as tasks:
            for number, me in enumerate(voters):
                tasks.create_task(vote(me, leaves=number >= staying))
        say(f"{time.monotonic_ns()}")
        await asyncio.to_thread(sys.stdin.readline)


asyncio.run(main(*sys.argv[1:]))
