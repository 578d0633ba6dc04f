"""Follow a pool until a record cannot be read: ``follow.py PATH``.

Prints the most memory that it took before, in kilobytes, then the error, then the memory again.
"""

import asyncio
import sys

from agentpool import AgentPool, AgentPoolError, SqliteAgentPoolStore
from agentpool.testing.peak import peak_kilobytes

POOL = "pool.test"


def say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


async def main(path: str) -> None:
    async with SqliteAgentPoolStore.open(path) as store, AgentPool.open(store, POOL):
        watch = store.watch(POOL)
        await anext(watch)
        say(peak_kilobytes())
        try:
            await anext(watch)
        except AgentPoolError as error:
            say(error)
        while (await store.due([POOL]))[POOL].behind:  # noqa: ASYNC110  # upkeep tells nobody
            await asyncio.sleep(0.01)
        say(peak_kilobytes())


asyncio.run(main(*sys.argv[1:]))
