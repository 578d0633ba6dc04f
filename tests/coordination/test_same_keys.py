"""Several processes send the same keys at the same moments."""

import asyncio
from collections import defaultdict
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from agentpool import AgentPool, MessageReceipt, MessageStatus, RunMessageRecorded, decode
from agentpool.testing import a_member

from .helpers import Worker, payloads, process

pytestmark = pytest.mark.slow

PROCESSES, ROUNDS, KEYS_AT_ONCE = 4, 20, 50
ALL_KEYS = {f"key.{number}" for number in range(ROUNDS * KEYS_AT_ONCE)}


async def send_round(worker: Worker) -> dict[str, MessageReceipt]:
    """Let a process send the keys of one round, and give its receipts."""
    worker.tell("go")
    receipts = {}
    while (line := await worker.line()) != "done":
        assert line, "a process ended before its round did"
        key, receipt = line.split(" ", 1)
        receipts[key] = decode(receipt, MessageReceipt)
    return receipts


async def send_from_all(path: Path) -> list[dict[str, MessageReceipt]]:
    """Send all keys from every process, round by round."""
    found: list[dict[str, MessageReceipt]] = [{} for _ in range(PROCESSES)]
    async with AsyncExitStack() as stack:
        workers = [
            await stack.enter_async_context(
                process("send_same.py", path, f"p{number}", ROUNDS, KEYS_AT_ONCE)
            )
            for number in range(PROCESSES)
        ]
        assert {await each.line() for each in workers} == {"ready"}
        for _ in range(ROUNDS):
            answers = await asyncio.gather(*map(send_round, workers))
            for receipts, answer in zip(found, answers, strict=True):
                receipts.update(answer)
        for code, _, errors in [await each.finish() for each in workers]:
            assert code == 0, errors
    return found


async def records_by_key(pool: AgentPool) -> dict[str, list[RunMessageRecorded]]:
    found = defaultdict(list)
    for payload in await payloads(pool):
        if isinstance(payload, RunMessageRecorded):
            found[payload.stored.message.idempotency_key].append(payload)
    return found


async def test_four_processes_that_send_the_same_keys_deliver_each_exactly_once(
    pool: AgentPool, path: Path
) -> None:
    """Two records and one unread message per key, and one receipt for every caller."""
    await pool.join_run(a_member("run.a"))
    await pool.join_run(a_member("run.b"))
    first, *others = await send_from_all(path)
    assert first.keys() == ALL_KEYS
    assert all(receipts == first for receipts in others)
    stored = await records_by_key(pool)
    assert stored.keys() == ALL_KEYS
    for key, records in stored.items():
        accepted, delivered = (record.stored for record in records)
        assert accepted.receipt.status is MessageStatus.ACCEPTED
        assert accepted.message == delivered.message
        assert delivered.receipt == first[key]
        assert delivered.receipt.status is MessageStatus.DELIVERED
        assert delivered.receipt.delivered_to == ("run.b",)
    unread = await pool.inbox("run.b").peek(limit=2 * len(ALL_KEYS))
    assert sorted(message.idempotency_key for message in unread) == sorted(ALL_KEYS)
