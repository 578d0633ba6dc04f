"""Fail to open a directory, again and again, each time as a whole program: ``fail_to_open.py DIR``.

Prints nothing when each failure ends as it should, with an error of ours and no noise.
"""

import asyncio
import sys

from agentpool import IncompatibleStoreError, SqliteAgentPoolStore


async def main(path: str) -> None:
    try:
        await SqliteAgentPoolStore.open(path, allow_unsafe_mount=True)
    except IncompatibleStoreError:
        return
    sys.stdout.write("opened\n")


for _ in range(100):
    asyncio.run(main(sys.argv[1]))
