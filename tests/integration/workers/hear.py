"""Be the first to listen to a file: ``hear.py PATH [fork]``. Says ``hears``; then is there.

With ``fork`` it ends at once, and a fork of it stays, whose number is said.
"""

import asyncio
import os
import signal
import sys

from agentpool import SqliteAgentPoolStore

POOL = "pool.test"


def say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


async def main(path: str, *how: str) -> None:
    async with SqliteAgentPoolStore.open(path) as store:
        await anext(store.watch(POOL))
        assert store._lookout is not None
        while not (store._lookout._ear and store._lookout._ear.is_it):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        say("hears")
        if how:
            child = os.fork()
            if child:
                say(child)
                os._exit(0)
            os.closerange(0, 3)  # whoever waits for its parent waits for these, too
            signal.pause()
        await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
