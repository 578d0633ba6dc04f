"""Open a store as a user who may not write it: ``read_only.py PATH``. Prints what came of it.

Root becomes another user for that; whoever else runs this has lost the right before.
"""

import asyncio
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from agentpool import AgentPoolError, SqliteAgentPoolStore


async def load_everything() -> None:
    """Have all modules loaded, which another user may not be allowed to read."""
    with TemporaryDirectory() as folder:
        async with SqliteAgentPoolStore.open(Path(folder) / "pool.db"):
            pass


async def main(path: str) -> None:
    await load_everything()
    if os.getuid() == 0:
        os.seteuid(65534)
    try:
        async with SqliteAgentPoolStore.open(path):
            pass
    except AgentPoolError as error:
        sys.stdout.write(f"{type(error).__name__}: {error}\n")
    else:
        sys.stdout.write("opened\n")
    finally:
        os.seteuid(os.getuid())  # what this process still writes at its end is not the store's


asyncio.run(main(*sys.argv[1:]))
