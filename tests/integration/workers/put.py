"""Put a body of so many bytes, all the same: ``put.py PATH SIZE``."""

import asyncio
import sys

from agentpool import SqliteAgentPoolStore


async def main(path: str, size: str) -> None:
    async with SqliteAgentPoolStore.open(path) as store:
        await store.put_content(bytes(int(size)))


asyncio.run(main(*sys.argv[1:]))
