"""What the tests of the coordinator share: a pool to test, a clock to move, and what came of it."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from types import TracebackType
from typing import Any

from agentpool.inbox import Delivery, Inbox
from agentpool.pool import AgentPool
from agentpool.rules.command import PoolView
from agentpool.rules.consequences import CatchUp
from agentpool.stores.base import AgentPoolStore
from agentpool.support.clock import Clock
from agentpool.testing.conformance.kit import PATIENCE, POOL, payloads
from agentpool.testing.values import a_member, a_message
from agentpool.wire.event_kinds import EventFamily, EventKind
from agentpool.wire.events import ContentCaptureMode, EventDeliverySemantics, EventEnvelope
from agentpool.wire.filters import EventFilter
from agentpool.wire.records import (
    AgentPoolMember,
    AgentPoolStoreCursor,
    MessageStatus,
    RunAddress,
    RunMessage,
    RunMessageRecorded,
    WakeRecorded,
)
from agentpool.wire.refs import (
    EntityKind,
    EntityRef,
    EventCorrelation,
    PrivacyClass,
    SourceKind,
    SourceRef,
)

__all__ = (
    "ManualClock",
    "PoolKit",
    "a_reply",
    "acked",
    "an_event",
    "attempts",
    "carry_out_due",
    "deliver",
    "events_of",
    "message_log",
    "nothing_comes",
    "outlive",
    "peeked",
    "recorded_message",
    "wake_log",
)


class ManualClock:
    """A clock that stands still until it is told to go on."""

    def __init__(self, millis: int = 1_000_000) -> None:
        self.millis: int = millis

    def __call__(self) -> int:
        return self.millis

    elapsed = __call__  # nobody sets it: what it goes forward has gone by

    def advance(self, millis: int) -> None:
        """Let time go by."""
        self.millis += millis


class PoolKit(ABC):
    """The store under test, and pools in it. Every part of the suite is a mixin over this class."""

    @abstractmethod
    def open_store(self, clock: Clock) -> AbstractAsyncContextManager[AgentPoolStore]:
        """Open a new, empty store that takes the time from this clock."""

    def opened(
        self,
        *members: AgentPoolMember | str,
        clock: Clock | None = None,
        **policies: Any,
    ) -> AbstractAsyncContextManager[AgentPool]:
        """Open a pool in a store of its own, with members, for a limited time.

        :param clock: without one, time stands still
        """
        store = self.open_store(clock or ManualClock())
        joining = [a_member(each) if isinstance(each, str) else each for each in members]
        return _Opened(store, joining, policies)


class _Opened(AbstractAsyncContextManager[AgentPool]):
    def __init__(
        self,
        store: AbstractAsyncContextManager[AgentPoolStore],
        members: list[AgentPoolMember],
        policies: dict[str, Any],
    ) -> None:
        self._store, self._members, self._policies = store, members, policies

    async def __aenter__(self) -> AgentPool:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(asyncio.timeout(PATIENCE))
            store = await stack.enter_async_context(self._store)
            opening = AgentPool.open(store, POOL, **self._policies)
            pool = await stack.enter_async_context(opening)
            for member in self._members:
                await pool.join_run(member)
            self._stack = stack.pop_all()
        return pool

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._stack.__aexit__(exc_type, exc_value, traceback)


# --- values


def an_event(event_id: str = "event.1", **fields: Any) -> EventEnvelope:
    """Build a host event of ``run.a``: its run completed."""
    run_id = fields.get("run_id", "run.a")
    defaults = {
        "schema_version": 1,
        "event_id": event_id,
        "event_seq": 0,
        "event_family": EventFamily.RUN,
        "event_kind": EventKind.RUN_COMPLETED,
        "payload_schema_version": 1,
        "timestamp": "2030-01-01T00:00:00Z",
        "recorded_at": "2030-01-01T00:00:00Z",
        "run_id": run_id,
        "agent_id": "agent.a",
        "trace_id": "trace.1",
        "span_id": "span.1",
        "subject_ref": EntityRef(EntityKind.RUN, run_id, redacted_summary="a run ended"),
        "related_refs": (EntityRef(EntityKind.ARTIFACT, "artifact.1"),),
        "correlation": EventCorrelation(),
        "source": SourceRef(SourceKind.HOST, "host.1"),
        "delivery_semantics": EventDeliverySemantics.JOURNAL_BACKED,
        "privacy": PrivacyClass.CONTENT_REFS_ONLY,
        "content_capture": ContentCaptureMode.OFF,
        "redaction_policy_id": "redaction.1",
        "runtime_package_fingerprint": "fingerprint.1",
    }
    return EventEnvelope(**{**defaults, **fields})


def a_reply(message: RunMessage, sender: str, number: int = 1, **fields: Any) -> RunMessage:
    """Build an answer to a message."""
    defaults = {"sender": sender, "to": RunAddress.run(message.sender), "content_ref": "answer"}
    name = f"reply.{message.message_id}.{sender}.{number}"
    return a_message(name, **{**defaults, "reply_to": message.message_id, **fields})


# --- doing things to a pool


async def deliver(pool: AgentPool, count: int, **fields: Any) -> list[str]:
    """Send messages from ``run.a`` to ``run.b`` one after another, and give their ids."""
    messages = [a_message(f"message.{number}", **fields) for number in range(1, count + 1)]
    for message in messages:
        receipt = await pool.send(message)
        assert receipt.status is MessageStatus.DELIVERED
    return [message.message_id for message in messages]


async def acked(inbox: Inbox, count: int) -> list[str]:
    """Take messages and acknowledge each; give their ids."""
    taken = []
    for _ in range(count):
        delivery = await inbox.take()
        await delivery.ack()
        taken.append(delivery.message.message_id)
    return taken


async def carry_out_due(pool: AgentPool) -> None:
    """Carry out what is due by the clock of the test."""
    while not (await pool.store.execute(pool.pool_id, CatchUp())).done:
        pass


async def outlive(
    pool: AgentPool, clock: ManualClock, lease: int, end_of: Callable[[PoolView], int]
) -> None:
    """Let two leases go by, half a lease at a time, each once a heartbeat has seen the last.

    :param lease: in milliseconds of the clock
    :param end_of: looks up when the lease ends
    """
    for _ in range(4):
        before = await pool.store.query(pool.pool_id, end_of)
        clock.advance(lease // 2)
        while await pool.store.query(pool.pool_id, end_of) == before:  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.005)


# --- looking at what came of it


async def message_log(pool: AgentPool, message_id: str | None = None) -> list[MessageStatus]:
    """List the statuses of one message, or of all, in order of the log."""
    return [
        each.stored.receipt.status
        for each in await payloads(pool.store, pool.pool_id)
        if isinstance(each, RunMessageRecorded)
        and message_id in {None, each.stored.message.message_id}
    ]


async def wake_log(pool: AgentPool, condition_id: str | None = None) -> list[str]:
    """List the statuses of one wake, or of all, in order of the log."""
    return [
        each.stored.registration.status
        for each in await payloads(pool.store, pool.pool_id)
        if isinstance(each, WakeRecorded)
        and condition_id in {None, each.stored.condition.condition_id}
    ]


async def recorded_message(
    pool: AgentPool, message_id: str, status: MessageStatus = MessageStatus.DELIVERED
) -> None:
    """Wait until a message has a status."""

    def is_it(payload: object) -> bool:
        return (
            isinstance(payload, RunMessageRecorded)
            and payload.stored.message.message_id == message_id
            and payload.stored.receipt.status is status
        )

    async with aclosing(pool.watch_pool()) as watch:
        async for record in watch:
            if is_it(record.payload):
                return


async def peeked(inbox: Inbox) -> list[str]:
    """Look at the ids of what is in an inbox."""
    return [message.message_id for message in await inbox.peek()]


async def events_of(
    pool: AgentPool,
    count: int,
    cursor: AgentPoolStoreCursor | None = None,
    **criteria: Any,
) -> list[EventEnvelope]:
    """Take the first events after a cursor that a filter lets through."""
    async with aclosing(pool.subscribe(EventFilter(**criteria), cursor)) as events:
        return [await anext(events) for _ in range(count)]


async def nothing_comes(coming: Awaitable[object], pool: AgentPool) -> None:
    """Check that something still waits after the pool has come to rest.

    On a busy machine this sees less than on an idle one, and never anything that is not so.
    """
    task = asyncio.ensure_future(coming)
    try:
        for _ in range(3):
            await pool.members()
            done, _ = await asyncio.wait([task], timeout=0.03)
            assert not done, f"it came to {task!r}"
    finally:
        task.cancel()
        await asyncio.wait([task])


def attempts(deliveries: list[Delivery]) -> list[tuple[str, int]]:
    """Say which messages were delivered, at which attempt."""
    return [(each.message.message_id, each.attempt) for each in deliveries]
