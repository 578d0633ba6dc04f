"""Open a store as a user who may not write it: ``read_only.py PATH``. Prints what came of it.

Root becomes another user for that; whoever else runs this has lost the right before.
"""

import asyncio
import os
import sys

from agentpool import AgentPoolError, SqliteAgentPoolStore


async def main(path: str) -> None:
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        async with SqliteAgentPoolStore.open(path):
            pass
    except AgentPoolError as error:
        sys.stdout.write(f"{type(error).__name__}: {error}\n")
    else:
        sys.stdout.write("opened\n")


asyncio.run(main(*sys.argv[1:]))
