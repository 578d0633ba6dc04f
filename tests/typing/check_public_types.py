"""What a type checker makes of the public names. Checked by mypy, never executed."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Literal, assert_type

from agentpool import (
    AgentPool,
    AgentPoolMember,
    AgentPoolSnapshot,
    AgentPoolStore,
    AgentPoolStoreCursor,
    AgentPoolStoredWake,
    AgentPoolStoreRecord,
    AgentPoolStoreRecordPayload,
    Answers,
    AskOutcome,
    CompiledEventFilter,
    DeadLetter,
    Delivery,
    EventEnvelope,
    EventFilter,
    EventKind,
    Inbox,
    Include,
    InMemoryAgentPoolStore,
    MemberHandle,
    MemberJoined,
    MemberLeft,
    MessageReceipt,
    MessageStatus,
    PoolCreated,
    PoolOpened,
    PoolSummary,
    RetryClassification,
    RunAddress,
    RunMessage,
    RunMessageRecorded,
    SqliteAgentPoolStore,
    StoreError,
    UnknownRecord,
    WakeRecorded,
    WakeRegistration,
    decode,
    encode,
    include,
    open_pool,
    open_store,
    replay,
)


def codec(raw: bytes) -> None:
    assert_type(decode(raw, RunMessage), RunMessage)
    assert_type(decode("{}", AgentPoolMember), AgentPoolMember)
    assert_type(encode(decode(raw, RunMessage)), bytes)


def values(message: RunMessage, envelope: EventEnvelope) -> None:
    assert_type(AgentPoolMember("r", "a").topics, tuple[str, ...])
    assert_type(message.sender, str)
    assert_type(message.reply_to, str | None)
    assert_type(MessageReceipt("m", MessageStatus.DELIVERED).status, MessageStatus)
    assert_type(RunAddress.topic("t"), RunAddress)
    assert_type(include(EventKind.RUN_FAILED), Include[EventKind])
    assert_type(EventFilter().kinds, Literal["any"] | Include[EventKind])
    assert_type(EventFilter().compile(), CompiledEventFilter)
    assert_type(EventFilter().compile().matches_envelope(envelope), bool)


def payloads(payload: AgentPoolStoreRecordPayload) -> str:
    match payload:
        case PoolOpened() | PoolCreated():
            return "pool"
        case MemberJoined(member) | MemberLeft(member):
            assert_type(member, AgentPoolMember)
            return member.run_id
        case RunMessageRecorded(stored):
            return stored.message.message_id
        case WakeRecorded(stored_wake):
            return stored_wake.condition.condition_id


def a_record(record: AgentPoolStoreRecord) -> None:
    assert_type(record.pool_id, str)
    assert_type(record.cursor.sequence, int)
    assert_type(record.payload, AgentPoolStoreRecordPayload | UnknownRecord)


def errors(error: StoreError) -> None:
    assert_type(error.retry, RetryClassification)
    assert_type(error.pool_id, str | None)
    assert_type(error.seq, int | None)


async def a_store(store: AgentPoolStore, message: RunMessage, receipt: MessageReceipt) -> None:
    assert_type(await store.open_pool("p"), AgentPoolSnapshot)
    assert_type(await store.join_member("p", AgentPoolMember("r", "a")), AgentPoolStoreCursor)
    left = await store.leave_member("p", "r")
    assert_type(left, tuple[AgentPoolMember, AgentPoolStoreCursor])
    assert_type(await store.record_message("p", message, receipt), AgentPoolStoreCursor)
    assert_type(await store.message_receipt("p", "k"), MessageReceipt | None)
    assert_type(await store.wake_registration("p", "k"), WakeRegistration | None)
    assert_type(await store.wake("p", "w"), AgentPoolStoredWake | None)
    assert_type(await store.next_event_sequence("p"), int)
    assert_type(await store.read("p", limit=1), list[AgentPoolStoreRecord])


async def asking(me: MemberHandle, to: RunAddress) -> None:
    answers = await me.ask(to, "c", expected="all")
    assert_type(answers, Answers)
    assert_type(answers[0], RunMessage)
    assert_type(answers.outcome, AskOutcome)
    assert_type(answers.missing, tuple[str, ...])
    assert_type(await me.ask_one(to, "c"), RunMessage)
    async for answer in me.ask_each(to, "c", expected=2, late="inbox"):
        assert_type(answer, RunMessage)


async def reading_on(store: AgentPoolStore) -> None:
    watcher = store.watch("p")
    assert_type(watcher, AsyncGenerator[AgentPoolStoreRecord, None])
    assert_type(await anext(watcher), AgentPoolStoreRecord)
    assert_type(await replay(watcher, pool_id="p"), AgentPoolSnapshot)


async def opening(path: Path) -> None:
    assert_type(await SqliteAgentPoolStore.open(path), SqliteAgentPoolStore)
    async with SqliteAgentPoolStore.open("pool.db") as store:
        assert_type(store, SqliteAgentPoolStore)
        assert_type(store.path, Path)
    async with InMemoryAgentPoolStore() as memory:
        assert_type(memory, InMemoryAgentPoolStore)
    async with open_store(path, synchronous="NORMAL", create=False) as either:
        assert_type(either, AgentPoolStore)
        assert_type(await either.pools(), list[PoolSummary])
    async with open_pool("memory:", "pool.x") as pool:
        assert_type(pool, AgentPool)
        assert_type(await pool.member(AgentPoolMember("r", "a")), MemberHandle)


async def taking(inbox: Inbox) -> None:
    assert_type(await inbox.take(), Delivery)
    assert_type(await inbox.take(timeout=None), Delivery)
    assert_type(await inbox.take(timeout=1), Delivery | None)
    assert_type(await inbox.take_many(2), tuple[Delivery, ...])
    assert_type((await inbox.take()).token, str)
    assert_type(await inbox.peek(), tuple[RunMessage, ...])
    assert_type(await inbox.dead(), tuple[DeadLetter, ...])


async def queues(pool: AgentPool, me: MemberHandle) -> None:
    queue = await pool.queue("work")
    assert_type(queue.address, RunAddress)
    assert_type(me.queue("work"), Inbox)
