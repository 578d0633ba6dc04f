"""Open a store, commit a record, and end without closing: ``no_close.py PATH HOW``."""

import asyncio
import sys

from agentpool import SqliteAgentPoolStore

KEPT: list[object] = []  # a module still holds the store when the interpreter ends


async def main(path: str, how: str) -> None:
    store = await SqliteAgentPoolStore.open(path)
    KEPT.append(store)
    await store.open_pool("pool.test")
    if how == "watching":
        watcher = store.watch("pool.test")
        await anext(watcher)
        KEPT.append(asyncio.ensure_future(anext(watcher)))
    if how == "appending":
        KEPT.append(asyncio.ensure_future(store.record_pool_created("pool.test")))
        await asyncio.sleep(0)
    if how == "raising":
        msg = "the program failed"
        raise RuntimeError(msg)


asyncio.run(main(*sys.argv[1:]))
