"""A planner and three coders share a queue; a coder is killed, the planner stopped and resumed.

You learn to give work to one of many, in processes of their own: the task of a killed coder is done
by another, and a planner that asks again under the same keys finds what was done while it was away.

Run it with ``python examples/coding_team.py``.
"""

import asyncio
import os
import sys
import tempfile
from asyncio.subprocess import create_subprocess_exec
from contextlib import aclosing
from signal import SIGKILL, Signals

import agentpool as ap

PLANNER = ap.AgentPoolMember("run.planner", "agent.planner")
TASKS = ("parse", "check", "compile", "link", "test", "release")


async def code(pool: ap.AgentPool, run_id: str) -> None:
    """Be a coder until killed, which the first to take the first task is in the middle of it."""

    async def do(delivery: ap.Delivery) -> str:
        task = await delivery.text()
        if task == TASKS[0] and delivery.attempt == 1:
            os.kill(os.getpid(), SIGKILL)
        return f"{task}: done"

    async with pool.member(ap.AgentPoolMember(run_id, "agent.coder"), claim_lease=1) as me:
        await me.serve(do, inbox=me.queue("work"))


async def plan(pool: ap.AgentPool) -> list[str]:
    """Ask for every task, each under a key of its own, and give the results in order."""
    queue = await pool.queue("work")
    async with pool.member(PLANNER, stays=True) as me:
        asking = [me.ask_one(queue.address, task, idempotency_key=task) for task in TASKS]
        return [await me.read(answer) for answer in await asyncio.gather(*asking)]


async def each_task(pool: ap.AgentPool, kind: ap.EventKind) -> None:
    """Wait until this has happened to as many messages as there are tasks."""
    async with aclosing(pool.subscribe(ap.EventFilter(kinds=ap.include(kind)))) as events:
        for _ in TASKS:
            await anext(events)


async def direct(pool: ap.AgentPool, path: str) -> None:
    """Stop the planner when it has asked, resume it when the coders have done everything."""
    planner = asyncio.create_task(plan(pool))
    await each_task(pool, ap.EventKind.RUN_MESSAGE_DELIVERED)
    planner.cancel()
    await asyncio.wait([planner])
    command = (sys.executable, __file__, path)
    coders = [await create_subprocess_exec(*command, f"run.coder-{n}") for n in range(3)]
    try:
        await each_task(pool, ap.EventKind.RUN_MESSAGE_RESPONDED)
    finally:
        for coder in coders:
            if coder.returncode is None:
                coder.terminate()
        print(*sorted([Signals(-await coder.wait()).name for coder in coders]))
    print(*await plan(pool), sep="\n")


async def main(path: str, run_id: str = "") -> None:
    """Be a coder, or direct them all."""
    async with asyncio.timeout(45), ap.open_pool(path, "pool.code") as pool:
        await (code(pool, run_id) if run_id else direct(pool, path))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(main(*(sys.argv[1:] or [f"{directory}/pool.db"])))
