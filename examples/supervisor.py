"""A supervisor hands work to three processes, one of them is killed, and all of it is done once.

You learn to share a queue: what a dead worker held comes back, and a key that follows from the task
makes its result count once. And to ask all runs of an agent for a quorum.

Run it with ``python examples/supervisor.py``.
"""

import asyncio
import sys
import tempfile
from asyncio.subprocess import Process, create_subprocess_exec
from contextlib import suppress

import agentpool as ap

SUPERVISOR = ap.RunAddress.run("run.supervisor")
WORKER = ap.RunAddress.agent("agent.worker")
WORKERS = ("run.worker-1", "run.worker-2", "run.worker-3")
TASKS = [f"task {number}" for number in range(9)]


async def work(me: ap.MemberHandle, inbox: ap.Inbox) -> None:
    """Do what comes until told to go home; whoever is the first to take the first gets stuck."""
    async for delivery in inbox:
        task = await delivery.text()
        if task == "Go on?":
            await delivery.reply("yes")
        if task == TASKS[0] and delivery.attempt == 1:
            await me.send(SUPERVISOR, "stuck")
            await asyncio.Event().wait()
        result = f"{task}, attempt {delivery.attempt}"
        if task in TASKS:
            with suppress(ap.IdempotencyConflictError):  # reported by one that died before its ack
                await me.send(SUPERVISOR, result, idempotency_key=f"result of {task}")
        with suppress(ap.ClaimLostError):  # we were too slow, another has it now
            await delivery.ack()
        if task == "go home":
            return


async def supervise(
    me: ap.MemberHandle, queue: ap.RunAddress, processes: dict[str, Process]
) -> list[str]:
    """Hand out the tasks; collect the results; go on without who is stuck."""
    await me.send_many([(queue, task) for task in TASKS])
    results: list[str] = []
    while len(results) < len(TASKS):
        delivery = await me.inbox.take()
        if (said := await delivery.text()) == "stuck":
            processes.pop(delivery.message.sender).kill()
            votes = await me.ask(WORKER, "Go on?", expected=2)
            print(f"killed one, {len(votes)} of 3 go on")
        else:
            results.append(said)
        await delivery.ack()
    for _ in processes:
        await me.send(queue, "go home")
    return sorted(results)


async def be_supervisor(pool: ap.AgentPool, me: ap.MemberHandle, path: str) -> None:
    """Start the workers, and check how it all ended."""
    queue = await pool.queue("work")
    command = (sys.executable, __file__, path)
    processes = {run_id: await create_subprocess_exec(*command, run_id) for run_id in WORKERS}
    try:
        await pool.wait_for_members(run_ids=WORKERS, timeout=20)
        results = await supervise(me, queue.address, processes)
        assert [await process.wait() for process in processes.values()] == [0, 0]
    finally:
        for process in processes.values():
            if process.returncode is None:
                process.kill()
    print(*results, sep="\n")
    assert [result.partition(",")[0] for result in results] == TASKS
    assert await me.inbox.peek() == await me.queue("work").peek() == ()


async def main(path: str, run_id: str) -> None:
    """Be a worker or the supervisor; one that dies is no member any more two seconds later."""
    agent_id = "agent.worker" if run_id in WORKERS else "agent.supervisor"
    async with (
        asyncio.timeout(45),
        ap.open_pool(path, "pool.work") as pool,
        pool.member(ap.AgentPoolMember(run_id, agent_id), lease=2, claim_lease=2) as me,
    ):
        if run_id in WORKERS:
            answering = asyncio.create_task(work(me, me.inbox))
            await work(me, me.queue("work"))
            answering.cancel()
        else:
            await be_supervisor(pool, me, path)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(main(*(sys.argv[1:] or (f"{directory}/pool.db", "run.supervisor"))))
