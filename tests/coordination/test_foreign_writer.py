"""Another implementation writes to the log of a pool that is open here; it knows no rows of ours.

It records what happened and no more: inboxes, waits and contracts are for us to keep.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentpool import (
    AgentPool,
    AgentPoolStoredMessage,
    AgentPoolStoredWake,
    AgentPoolStoreRecordPayload,
    EventFilter,
    EventKind,
    MemberJoined,
    MemberLeft,
    MessageResponseContract,
    MessageStatus,
    RunAddress,
    RunMessage,
    RunMessageRecorded,
    SqliteAgentPoolStore,
    WakeRecorded,
    WakeRegistrationStatus,
    encode,
    include,
)
from agentpool.testing import a_condition, a_member, a_message, a_receipt, a_registration

from .helpers import BOUND, POOL, Worker, next_record, payloads, process, until

FOREIGN = "run.foreign"


class Writer:
    """A process with ``sqlite3`` and nothing else."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def append(self, payload: AgentPoolStoreRecordPayload) -> int:
        """Append a record and give its number."""
        text = encode(payload).decode()
        kind = text.split('"', 4)[3]
        self._worker.tell(f"{kind} {text}")
        return int(await self._worker.line())

    async def deliver(self, sent: RunMessage, *recipients: str) -> int:
        """Record a message as accepted and as delivered."""
        for status in (MessageStatus.ACCEPTED, MessageStatus.DELIVERED):
            receipt = a_receipt(sent, status, delivered_to=recipients)
            seq = await self.append(RunMessageRecorded(AgentPoolStoredMessage(sent, receipt)))
        return seq


@pytest.fixture
async def writer(pool: AgentPool, path: Path) -> AsyncIterator[Writer]:
    """Start a process that writes to the file of an open pool; it lets its own run join."""
    await pool.join_run(a_member("run.a"))
    await pool.join_run(a_member("run.b"))
    async with process("foreign.py", path) as worker:
        writer = Writer(worker)
        await writer.append(MemberJoined(a_member(FOREIGN)))
        yield writer


def from_foreign(name: str = "message.f", **fields: Any) -> RunMessage:
    return a_message(name, sender=FOREIGN, **fields)


@pytest.mark.usefixtures("writer")
async def test_the_run_that_it_lets_join_is_a_member(pool: AgentPool) -> None:
    assert FOREIGN in {member.run_id for member in await pool.members()}
    receipt = await pool.send(a_message(to=RunAddress.run(FOREIGN)))
    assert receipt.delivered_to == (FOREIGN,)


async def test_who_waits_at_an_inbox_gets_its_messages_in_order(
    pool: AgentPool, writer: Writer
) -> None:
    inbox = pool.inbox("run.b")
    taking = asyncio.create_task(inbox.take())
    numbers = [await writer.deliver(from_foreign(f"message.{n}"), "run.b") for n in range(3)]
    with anyio.fail_after(BOUND):
        deliveries = [await taking]
        await deliveries[0].ack()
        for _ in numbers[1:]:
            deliveries.append(await inbox.take())
            await deliveries[-1].ack()
    assert [each.claim.seq for each in deliveries] == numbers
    assert [each.message for each in deliveries] == [from_foreign(f"message.{n}") for n in range(3)]
    assert not await inbox.peek()


async def test_its_message_reaches_every_recipient_and_no_other(
    pool: AgentPool, writer: Writer
) -> None:
    await writer.deliver(from_foreign(to=RunAddress.pool(POOL)), "run.a", "run.b")

    async def both_have_it() -> bool:
        return all([len(await pool.inbox(run).peek()) == 1 for run in ("run.a", "run.b")])

    await until(both_have_it)
    assert not await pool.inbox(FOREIGN).peek()


async def test_its_message_ends_a_wait_for_its_run(pool: AgentPool, writer: Writer) -> None:
    condition = a_condition(
        filter=EventFilter(run_ids=include(FOREIGN), kinds=include(EventKind.RUN_MESSAGE_DELIVERED))
    )
    registered = await pool.suspend_until("run.a", condition)
    assert registered.status is WakeRegistrationStatus.REGISTERED
    waiting = asyncio.create_task(pool.wait("wake.1"))
    await writer.deliver(from_foreign(), "run.b")
    with anyio.fail_after(BOUND):
        outcome = await waiting
    assert outcome.triggered
    assert outcome.subject_ref
    assert outcome.subject_ref.id == "message.f"


async def test_its_answer_ends_a_question(pool: AgentPool, writer: Writer) -> None:
    question = a_message(
        to=RunAddress.run(FOREIGN), response_contract=MessageResponseContract(1, 60_000)
    )
    asking = asyncio.create_task(pool.ask(question))
    await next_record(pool, lambda payload: isinstance(payload, RunMessageRecorded))
    answer = from_foreign(to=RunAddress.run("run.a"), reply_to=question.message_id)
    await writer.deliver(answer, "run.a")
    with anyio.fail_after(BOUND):
        assert await asking == (answer,)
    receipt = await pool.store.message_receipt(POOL, question.idempotency_key)
    assert receipt
    assert receipt.status is MessageStatus.RESPONDED


async def test_the_run_that_it_lets_leave_waits_no_more(pool: AgentPool, writer: Writer) -> None:
    never = EventFilter(kinds=include(EventKind.RUN_FAILED))
    await pool.suspend_until(FOREIGN, a_condition(run_id=FOREIGN, filter=never))
    await writer.append(MemberLeft(a_member(FOREIGN)))
    with anyio.fail_after(BOUND):
        outcome = await pool.wait("wake.1")
    assert outcome.registration.status is WakeRegistrationStatus.FAILED


async def test_a_wake_that_it_registers_is_triggered_and_timed_out_by_us(
    pool: AgentPool, writer: Writer
) -> None:
    for name, kind, timeout in (
        ("wake.event", EventKind.RUN_MESSAGE_DELIVERED, None),
        ("wake.time", EventKind.RUN_FAILED, 50),
    ):
        wanted = EventFilter(kinds=include(kind))
        condition = a_condition(name, run_id=FOREIGN, filter=wanted, timeout_millis=timeout)
        await writer.append(
            WakeRecorded(
                AgentPoolStoredWake(condition, wanted.compile(), a_registration(condition))
            )
        )
    await pool.send(a_message())
    with anyio.fail_after(BOUND):
        assert (await pool.wait("wake.event")).triggered
        ended = (await pool.wait("wake.time")).registration.status
    assert ended is WakeRegistrationStatus.TIMED_OUT


async def test_the_event_of_a_wait_that_it_ended_is_the_one_before_it_first_said_so(
    path: Path,
) -> None:
    """Its processes race, so it may say so several times."""
    wanted = EventFilter(kinds=include(EventKind.AGENT_POOL_RUN_JOINED))
    condition = a_condition(run_id=FOREIGN, filter=wanted)
    narrowed = EventFilter(kinds=wanted.kinds, run_ids=include(FOREIGN)).compile()
    registered, triggered = (
        WakeRecorded(AgentPoolStoredWake(condition, narrowed, a_registration(condition, status)))
        for status in (WakeRegistrationStatus.REGISTERED, WakeRegistrationStatus.TRIGGERED)
    )
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)
        async with process("foreign.py", path) as worker:
            writer = Writer(worker)
            await writer.append(MemberJoined(a_member(FOREIGN)))
            await writer.append(registered)
            for name in ("first", "second", "third"):
                await writer.append(MemberJoined(a_member(f"run.{name}")))
                await writer.append(triggered)
        async with AgentPool.open(store, POOL) as pool:
            with anyio.fail_after(BOUND):
                outcome = await pool.wait("wake.1")
            assert outcome.subject_ref
            assert outcome.subject_ref.id == "run.first"


async def test_what_it_accepted_and_did_not_deliver_is_delivered_by_sending_again(
    pool: AgentPool, writer: Writer
) -> None:
    """It is killed between its two records; whoever sends the key again completes it, once."""
    accepted = a_receipt(from_foreign())
    await writer.append(RunMessageRecorded(AgentPoolStoredMessage(from_foreign(), accepted)))
    receipts = await asyncio.gather(*(pool.send(from_foreign()) for _ in range(5)))
    assert {receipt.status for receipt in receipts} == {MessageStatus.DELIVERED}
    assert {receipt.delivered_to for receipt in receipts} == {("run.b",)}
    assert len(await pool.inbox("run.b").peek()) == 1


async def test_what_it_wrote_while_no_pool_was_open_is_there_after_opening(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path) as store:
        async with AgentPool.open(store, POOL) as pool:
            await pool.join_run(a_member("run.b"))
        async with process("foreign.py", path) as worker:
            writer = Writer(worker)
            await writer.append(MemberJoined(a_member(FOREIGN)))
            await writer.deliver(from_foreign(), "run.b")
        async with AgentPool.open(store, POOL) as pool:
            assert await pool.inbox("run.b").peek() == (from_foreign(),)
            assert len(await payloads(pool)) == 6
