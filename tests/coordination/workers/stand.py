"""Be a run that others count on: ``stand.py PATH RUN_ID LEASE_SECONDS STAYS``.

It takes from its inbox and from the queue, and waits for one call after another. What happens is a
line: ``began``, then ``acked`` or ``lost``, with the message and when; ``told``, with the number of
the call and what it was about; ``over``, with what is over and why.
"""

import asyncio
import sys
import time
from collections.abc import Coroutine
from typing import Any

from agentpool import (
    AgentPool,
    ClaimLostError,
    EventFilter,
    Inbox,
    MemberHandle,
    MembershipLostError,
    SqliteAgentPoolStore,
)
from agentpool.testing import a_member

POOL = "pool.test"
BUSY = 200.0  # seconds, on a machine however busy
WORK_SECONDS = 0.005


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def consume(inbox: Inbox) -> None:
    async for delivery in inbox:
        work = delivery.message.content_ref
        say("began", work, time.monotonic_ns())
        try:
            await asyncio.sleep(WORK_SECONDS)
            before = time.monotonic_ns()
            await delivery.ack()
        except ClaimLostError:
            say("lost", work, before)
        except MembershipLostError:
            say("lost", work, before)
            raise
        else:
            say("acked", work, before)


async def listen(me: MemberHandle) -> None:
    number = 0
    while True:
        outcome = await me.wait_until(EventFilter.named(f"call.{me.run_id}.{number}"))
        say("told", number, *(ref.id for ref in outcome.related_refs))
        number += 1


async def until_over(what: str, doing: Coroutine[Any, Any, None]) -> None:
    try:
        await doing
    except MembershipLostError as error:
        say("over", what, type(error).__name__)


async def main(path: str, run_id: str, lease: str, stays: str) -> None:
    member = a_member(run_id)
    async with (
        SqliteAgentPoolStore.open(path, busy_timeout=BUSY) as store,
        AgentPool.open(store, POOL) as pool,
        pool.member(member, float(lease), claim_lease=float(lease), stays=bool(stays)) as me,
    ):
        say("ready")
        await asyncio.gather(
            until_over("inbox", consume(me.inbox)),
            until_over("queue", consume(me.queue("work"))),
            until_over("waits", listen(me)),
        )


asyncio.run(main(*sys.argv[1:]))
