"""Open a file that the Rust implementation wrote, look at it, extend it and tail it.

You learn that there is nothing to convert: members, messages and wakes are what they were, new
records take the next numbers of the same log, and the file stays readable for whoever wrote it.

Run it with ``python examples/foreign_file.py``. It works on a copy of ``seed-store.db``.
"""

import asyncio
import shutil
import tempfile
from pathlib import Path

import agentpool as ap

POOL = "pool.interop"
SEED = Path(__file__).with_name("seed-store.db")
SECONDS = 30  # nothing here waits longer than this


def show(snapshot: ap.AgentPoolSnapshot) -> None:
    """Print members, messages and wakes."""
    for member in snapshot.members:
        print(f"member   {member.run_id} of {member.agent_id}, topics: {', '.join(member.topics)}")
    for stored in snapshot.messages:
        message, receipt = stored.message, stored.receipt
        seen_by = ", ".join(receipt.delivered_to) or "nobody"
        print(f"message  {message.message_id} from {message.sender}: {receipt.status} to {seen_by}")
    for wake in snapshot.wakes:
        condition = wake.condition
        print(
            f"wake     {condition.condition_id} of {condition.run_id}: {wake.registration.status}"
        )


async def extend(store: ap.AgentPoolStore) -> ap.AgentPoolStoreCursor:
    """Join the pool and answer its first message; give the place of the answer."""
    await store.join_member(POOL, ap.AgentPoolMember("run.python", "agent.python"))
    answer = ap.RunMessage(
        message_id="message.answer",
        sender="run.python",
        to=ap.RunAddress.run("run.a"),
        content_ref="content.answer",
        reply_to="message.0",
        idempotency_key="key.answer-to-message.0",
    )
    receipt = ap.MessageReceipt(answer.message_id, ap.MessageStatus.DELIVERED, ("run.a",))
    return await store.record_message(POOL, answer, receipt)


async def tail(store: ap.AgentPoolStore, after: ap.AgentPoolStoreCursor | None) -> None:
    """Print the records after a cursor as they come, up to the message of our own."""
    async for record in store.watch(POOL, after):
        print(f"record   {record.cursor.sequence}: {type(record.payload).__name__}")
        match record.payload:
            case ap.RunMessageRecorded(stored) if stored.message.sender == "run.python":
                return


async def explore(path: Path) -> None:
    """Look at a store file, extend it, and see that happen."""
    async with asyncio.timeout(SECONDS), ap.SqliteAgentPoolStore.open(path) as store:
        before = await store.snapshot(POOL)
        show(before)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(tail(store, before.cursor))
            tasks.create_task(extend(store))
        after = await store.snapshot(POOL)
        print(f"now      {len(after.members)} members, {len(after.messages)} messages")


def main() -> None:
    """Work on a copy, so that the file stays as it was written."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / SEED.name
        shutil.copyfile(SEED, path)
        asyncio.run(explore(path))


if __name__ == "__main__":
    main()
