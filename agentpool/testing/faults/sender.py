"""A process that sends until its store refuses: ``sender.py PATH LABEL``; see `moves`.

Says in a line what it sent, and when it began to, once that is acknowledged; and in the end why it
stopped. A line from outside lets it fork, and its child says whether it could open the file.
"""

import asyncio
import os
import sys
import time

from agentpool import AgentPoolError, MessageStatus, SqliteAgentPoolStore
from agentpool.testing.values import a_message, a_receipt

__all__ = ("POOL",)

POOL = "pool.moves"


def _say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def _send(path: str, label: str) -> None:
    async with SqliteAgentPoolStore.open(path, busy_timeout=60) as store:
        await store.open_pool(POOL)
        asyncio.get_running_loop().add_reader(0, _fork, path)
        number = 0
        while True:
            number += 1
            began, name = time.monotonic_ns(), f"{label}.{number}"
            message = a_message(f"message.{name}", idempotency_key=name)
            await store.record_message(POOL, message, a_receipt(message, MessageStatus.DELIVERED))
            _say("sent", name, began)


def _fork(path: str) -> None:
    asyncio.get_running_loop().remove_reader(0)
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        asyncio.events._set_running_loop(None)  # noqa: SLF001  # the loop is the parent's
        asyncio.run(_open(path))
    finally:
        os._exit(0)


async def _open(path: str) -> None:
    try:
        async with SqliteAgentPoolStore.open(path):
            _say("child", "opened")
    except AgentPoolError as error:
        _say("child", type(error).__name__)


def main(path: str, label: str) -> None:
    """Send until the store refuses."""
    try:
        asyncio.run(_send(path, label))
    except AgentPoolError as error:
        _say("stopped", type(error).__name__, error)


if __name__ == "__main__":
    main(*sys.argv[1:])
