"""Copy the pools of one store into another; a line for each transaction in the target."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from agentpool import open_store
from agentpool.copying import copy_pools


def open_place(place: str) -> Any:
    url, _, schema = place.partition(" ")
    return open_store(url, schema=schema) if schema else open_store(url)


async def main(source_place: str, target_place: str) -> None:
    async with open_place(source_place) as source, open_place(target_place) as target:
        rewrite = target.rewrite

        async def told(pool_id: str, work: Callable[[Any], Any], *, durable: bool) -> Any:
            done = await rewrite(pool_id, work, durable=durable)
            print("written", flush=True)  # noqa: T201
            await asyncio.to_thread(sys.stdin.readline)
            return done

        target.rewrite = told
        await copy_pools(source, target)


asyncio.run(main(*sys.argv[1:]))
