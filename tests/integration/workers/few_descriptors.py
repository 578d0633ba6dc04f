"""Open a store with fewer and fewer descriptors left: ``few_descriptors.py PATH``.

Prints for each number of them, from none on, what came of it, and what was left of a new file.
"""

import asyncio
import os
import resource
import sys
from pathlib import Path

import anyio
import anyio.lowlevel

from agentpool import AgentPoolError, SqliteAgentPoolStore


async def opening(path: Path) -> str:
    try:
        async with SqliteAgentPoolStore.open(path):
            return "opened"
    except AgentPoolError as error:
        return f"{type(error).__name__} {error.retry}, too many: {'too many' in str(error)}"


async def main(path: str) -> None:
    await anyio.lowlevel.checkpoint()  # Python has loaded all that it needs
    used = os.open(os.devnull, os.O_RDONLY)  # all below are in use
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    said = ""
    while said != "opened":
        resource.setrlimit(resource.RLIMIT_NOFILE, (used, most))
        said = await opening(Path(path))
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        left = sorted(each.name for each in Path(path).parent.iterdir())
        sys.stdout.write(f"{said}; left: {', '.join(left)}\n")
        used += 1


asyncio.run(main(*sys.argv[1:]))
