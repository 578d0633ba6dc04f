"""Open and close one file after another, each when told: a path per line, an outcome per line."""

import asyncio
import sys

from agentpool import AgentPoolError, SqliteAgentPoolStore


async def outcome(path: str) -> str:
    try:
        async with SqliteAgentPoolStore.open(path) as store:
            await store.open_pool("pool.test")
    except AgentPoolError as error:
        return f"{type(error).__name__}: {error}"
    return "ok"


with asyncio.Runner() as runner:
    for line in sys.stdin:
        sys.stdout.write(f"{runner.run(outcome(line.rstrip()))}\n")
        sys.stdout.flush()
