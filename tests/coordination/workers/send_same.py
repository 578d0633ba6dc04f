"""Send messages in rounds: ``send_same.py PATH LABEL ROUNDS KEYS``.

The keys are the same for every label, the message ids are not, as with senders that try again.
A line on stdin begins a round; the receipt of each key is printed, then ``done``.
"""

import asyncio
import sys

from agentpool import AgentPool, MessageReceipt, SqliteAgentPoolStore, encode
from agentpool.testing import a_message

POOL = "pool.test"
BUSY = 200.0  # seconds, on a machine however busy


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def send(pool: AgentPool, label: str, number: int) -> MessageReceipt:
    message = a_message(
        f"message.{number}.{label}",
        content_ref=f"content.{number}",
        idempotency_key=f"key.{number}",
    )
    return await pool.send(message)


async def main(path: str, label: str, rounds: str, keys: str) -> None:
    async with (
        SqliteAgentPoolStore.open(path, busy_timeout=BUSY) as store,
        AgentPool.open(store, POOL) as pool,
    ):
        say("ready")
        for round_ in range(int(rounds)):
            sys.stdin.readline()
            numbers = range(round_ * int(keys), (round_ + 1) * int(keys))
            receipts = await asyncio.gather(*(send(pool, label, number) for number in numbers))
            for number, receipt in zip(numbers, receipts, strict=True):
                say(f"key.{number} {encode(receipt).decode()}")
            say("done")


asyncio.run(main(*sys.argv[1:]))
