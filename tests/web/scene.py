"""A pool in which there is something to see."""

from agentpool import AgentPool, AgentPoolMember, EventFilter, RunAddress
from agentpool.wire.records import MessageResponseContract, RunMessage, WakeCondition

ASKS = (
    ("run.ada", "run.bob"),
    ("run.bob", "run.cyd"),
    ("run.cyd", "run.ada"),
    ("run.dee", "run.eve"),
    ("run.fay", "run.eve"),
)


async def a_library(pool: AgentPool) -> None:
    """Fill a pool: runs that wait for one another, work that is claimed, and what has failed."""
    runs = ("ada", "bob", "cyd", "dee", "eve", "fay")
    members = [
        AgentPoolMember(f"run.{each}", f"agent.{each[0]}", topics=("news",)) for each in runs
    ]
    for each in members:
        await pool.join_run(each)
    queue = await pool.queue("work")
    ada = pool.acting_as(members[0])
    for number in range(5):
        await ada.send(queue.address, f"work {number}", idempotency_key=f"work.{number}")
    inbox = pool.inbox(queue.run_id, max_attempts=1)
    await inbox.nack((await inbox.take()).token, 0)
    await inbox.take()
    plan = {"title": "<script>alert(1)</script>", "steps": ["read", "write"]}
    await ada.send(RunAddress.topic("news"), plan, idempotency_key="the.plan")
    for asker, asked in ASKS:
        await pool.send(_question(asker, asked))
    await pool.suspend_until("run.eve", _waits_for_build())
    await pool.acting_as(members[4]).publish("build.begun", tags=["nightly"])


def _question(sender: str, to: str) -> RunMessage:
    name = f"question.{sender}.{to}"
    return RunMessage(
        message_id=name,
        sender=sender,
        to=RunAddress.run(to),
        content_ref="ref.question",
        response_contract=MessageResponseContract(1, 3_600_000),
        idempotency_key=name,
    )


def _waits_for_build() -> WakeCondition:
    return WakeCondition(
        condition_id="wake.build",
        run_id="run.eve",
        filter=EventFilter.named("build.done"),
        timeout_millis=600_000,
        idempotency_key="wake.build",
    )
