"""Consume the inbox of a run until killed: ``consume.py PATH RUN_ID JOURNAL LEASE_SECONDS SEED``.

Each message is claimed, worked on for a moment, and acknowledged. What happens is a line in the
journal, written before anything else can happen: ``claimed``, ``acking``, ``acked`` or ``lost``,
then the place of the message, the attempt, and when taking it began and ended.
"""

import asyncio
import os
import random
import sys
import time

from agentpool import AgentPool, ClaimLostError, SqliteAgentPoolStore

POOL = "pool.test"
BUSY = 200.0  # seconds, on a machine however busy
LONGEST_WORK = 0.02


async def consume(pool: AgentPool, run_id: str, journal: int, lease: float) -> None:
    inbox = pool.inbox(run_id, lease=lease)
    while True:
        began = time.monotonic_ns()
        delivery = await inbox.take()
        rest = f"{delivery.claim.seq} {delivery.attempt} {began} {time.monotonic_ns()}\n"
        os.write(journal, f"claimed {rest}".encode())
        await asyncio.sleep(random.uniform(0, LONGEST_WORK))
        os.write(journal, f"acking {rest}".encode())
        try:
            await delivery.ack()
        except ClaimLostError:
            os.write(journal, f"lost {rest}".encode())
        else:
            os.write(journal, f"acked {rest}".encode())


async def main(path: str, run_id: str, journal: str, lease: str, seed: str) -> None:
    random.seed(seed)
    fd = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    async with (
        SqliteAgentPoolStore.open(path, busy_timeout=BUSY) as store,
        AgentPool.open(store, POOL) as pool,
    ):
        sys.stdout.write(f"ready {os.getpid()}\n")
        sys.stdout.flush()
        await consume(pool, run_id, fd, float(lease))


asyncio.run(main(*sys.argv[1:]))
