"""Send messages once told to: ``append.py PATH LABEL COUNT TASKS [SYNCHRONOUS]``.

Prints a line with the name and the number of each message as soon as it is acknowledged. A count
of 0 means for ever.
"""

import asyncio
import sys
from typing import Any

from agentpool import SqliteAgentPoolStore
from agentpool.testing import a_message, a_receipt

POOL = "pool.test"
BUSY = 200.0  # seconds, on a machine however busy


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def send(store: SqliteAgentPoolStore, name: str) -> None:
    message = a_message(f"message.{name}", idempotency_key=f"key.{name}")
    cursor = await store.record_message(POOL, message, a_receipt(message))
    say(f"{name} {cursor.sequence}")


async def send_all(store: SqliteAgentPoolStore, label: str, count: int) -> None:
    number = 0
    while number < count or count == 0:
        await send(store, f"{label}.{number}")
        number += 1


async def main(path: str, label: str, count: str, tasks: str, synchronous: Any = "FULL") -> None:
    async with SqliteAgentPoolStore.open(path, synchronous=synchronous, busy_timeout=BUSY) as store:
        say("ready")
        sys.stdin.readline()
        async with asyncio.TaskGroup() as group:
            for task in range(int(tasks)):
                group.create_task(send_all(store, f"{label}.{task}", int(count)))


asyncio.run(main(*sys.argv[1:]))
