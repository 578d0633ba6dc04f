"""Answer what comes to a queue until killed: ``answer.py PATH NAME JOURNAL LEASE_SECONDS``.

Two members take from the queue, each at its own pace. What they claim and have answered is a line
in the journal: ``claimed`` or ``answered``, the run that did, and the place of the question.
"""

import asyncio
import os
import sys

from agentpool import AgentPool, AgentPoolMember, ClaimLostError, SqliteAgentPoolStore

POOL = "pool.test"
BUSY = 200.0  # seconds, on a machine however busy
CONSUMERS = 2


async def answer(pool: AgentPool, run_id: str, journal: int, lease: float) -> None:
    member = AgentPoolMember(run_id, "agent.worker")
    async with pool.member(member, claim_lease=lease) as me:
        async for delivery in me.queue("work"):
            question = delivery.message
            rest = f"{run_id} {delivery.claim.seq}\n"
            os.write(journal, f"claimed {rest}".encode())
            key = f"answer.{question.message_id}"
            await me.reply(question, f"{await delivery.text()}!", idempotency_key=key)
            try:
                await delivery.ack()
            except ClaimLostError:
                continue
            os.write(journal, f"answered {rest}".encode())


async def main(path: str, name: str, journal: str, lease: str) -> None:
    fd = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    async with (
        SqliteAgentPoolStore.open(path, busy_timeout=BUSY) as store,
        AgentPool.open(store, POOL) as pool,
        asyncio.TaskGroup() as tasks,
    ):
        sys.stdout.write(f"ready {os.getpid()}\n")
        sys.stdout.flush()
        for number in range(CONSUMERS):
            tasks.create_task(answer(pool, f"run.{name}.{number}", fd, float(lease)))


asyncio.run(main(*sys.argv[1:]))
