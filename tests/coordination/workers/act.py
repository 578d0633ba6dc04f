"""Act in a pool as told: ``act.py PATH RUN_ID LEASE_MILLIS``.

Each line on stdin is a JSON list of actions, begun together, each after a delay of its own. A line
with its id and its outcome is printed as soon as each has ended, then ``done``. Meanwhile the run
is a member under a lease.
"""

import asyncio
import json
import sys
from typing import Any

from agentpool import (
    AgentPool,
    AgentPoolStoreCursor,
    EventEnvelope,
    InvalidTransitionError,
    InvalidValueError,
    NotAMemberError,
    RunMessage,
    SqliteAgentPoolStore,
    WakeCondition,
    decode,
)
from agentpool.testing import a_member

POOL = "pool.test"
BUSY = 200.0  # seconds, on a machine however busy


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def act(pool: AgentPool, what: str, value: str, since: int | None) -> object:
    match what:
        case "register":
            condition = decode(value, WakeCondition)
            place = None if since is None else AgentPoolStoreCursor(since)
            return (await pool.suspend_until(condition.run_id, condition, since=place)).status
        case "publish":
            return await pool.publish(decode(value, EventEnvelope))
        case "send":
            return (await pool.send(decode(value, RunMessage))).status
        case "cancel":
            return (await pool.cancel_wake(value)).status
        case "leave":
            return (await pool.leave_run(value)).run_id
        case _:
            return (await pool.wait(value)).registration.status


async def carry_out(pool: AgentPool, action: dict[str, Any]) -> None:
    await asyncio.sleep(action["delay"] / 1000)
    try:
        outcome = await act(pool, action["do"], action["value"], action["since"])
    except (InvalidTransitionError, InvalidValueError, NotAMemberError) as error:
        outcome = type(error).__name__
    say(f"{action['id']} {outcome}")


async def main(path: str, run_id: str, lease_millis: str) -> None:
    async with (
        SqliteAgentPoolStore.open(path, busy_timeout=BUSY) as store,
        AgentPool.open(store, POOL) as pool,
        pool.member(a_member(run_id), int(lease_millis) / 1000),
    ):
        say("ready")
        while line := await asyncio.to_thread(sys.stdin.readline):
            async with asyncio.TaskGroup() as group:
                for action in json.loads(line):
                    group.create_task(carry_out(pool, action))
            say("done")


asyncio.run(main(*sys.argv[1:]))
