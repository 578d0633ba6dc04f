"""The steps of the model check, and how one is taken on a store."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, Final, NamedTuple

from agentpool.errors import AgentPoolError
from agentpool.inbox import Delivery
from agentpool.pool import AgentPool
from agentpool.rules.claiming import ClaimNext
from agentpool.rules.claims import Claim
from agentpool.rules.command import PoolView
from agentpool.rules.consequences import CatchUp
from agentpool.rules.history import EventCursor, page_of_events
from agentpool.rules.membership import JoinRun
from agentpool.rules.requirements import require_open
from agentpool.rules.waits import WakeOutcome, compile_for
from agentpool.runtime.upkeep import Upkeep
from agentpool.stores.base import AgentPoolStore
from agentpool.testing.values import a_receipt, a_registration
from agentpool.wire.codec import encode
from agentpool.wire.events import EventEnvelope
from agentpool.wire.filters import EventFilter
from agentpool.wire.records import (
    AgentPoolMember,
    AgentPoolStoreConfig,
    AgentPoolStoreCursor,
    MessageReceipt,
    MessageStatus,
    RunAddress,
    RunMessage,
    WakeCondition,
    WakeRegistration,
    WakeRegistrationStatus,
)

__all__ = ("PATIENCE", "PLAIN", "POOL", "Actor", "Outcome", "Step")

POOL: Final = "pool.model"
"""The coordinated pool."""
PLAIN: Final = "pool.plain"
"""A pool that only the methods of stores are used on; nobody opens it at first."""
PATIENCE: Final = 200.0
LEASE: Final = 1.0


class Step(NamedTuple):
    """A method of `Actor` and what to call it with."""

    do: str
    arguments: tuple[Any, ...] = ()

    def __repr__(self) -> str:
        return f"{self.do}{self.arguments}"


class Outcome(NamedTuple):
    """What a caller gets: a value, or the type of an error."""

    value: Any = None
    error: str = ""


class Actor:
    """Takes steps on one handle of a store."""

    def __init__(self, pool: AgentPool) -> None:
        self.pool: AgentPool = pool
        self.store: AgentPoolStore = pool.store

    async def take(self, step: Step) -> Outcome:
        """Take a step; an error of the library is an outcome, any other is raised."""
        try:
            async with asyncio.timeout(PATIENCE):
                # In the background it may have happened already, or not.
                await self.catch_up()
                return Outcome(await getattr(self, step.do)(*step.arguments))
        except AgentPoolError as error:
            return Outcome(error=type(error).__name__)

    # --- of stores

    async def open_pool(self, pool_id: str, config: AgentPoolStoreConfig | None) -> object:
        return await self.store.open_pool(pool_id, config)

    async def record_pool_created(self, pool_id: str) -> object:
        return await self.store.record_pool_created(pool_id)

    async def join_member(self, pool_id: str, member: AgentPoolMember) -> object:
        return await self.store.join_member(pool_id, member)

    async def leave_member(self, pool_id: str, run_id: str) -> object:
        return await self.store.leave_member(pool_id, run_id)

    async def record_message(
        self, pool_id: str, message: RunMessage, status: MessageStatus, to: Sequence[str]
    ) -> object:
        receipt = a_receipt(message, status, delivered_to=to)
        return await self.store.record_message(pool_id, message, receipt)

    async def record_wake(
        self, pool_id: str, condition: WakeCondition, status: WakeRegistrationStatus
    ) -> object:
        registration = a_registration(condition, status)
        compiled = condition.filter.compile()
        return await self.store.record_wake(pool_id, condition, compiled, registration)

    async def look_up(self, pool_id: str, key: str, condition_id: str) -> object:
        return (
            await self.store.message_receipt(pool_id, key),
            await self.store.wake_registration(pool_id, key),
            await self.store.wake(pool_id, condition_id),
        )

    async def snapshot(self, pool_id: str) -> object:
        return await self.store.snapshot(pool_id)

    async def next_event_sequence(self, pool_id: str) -> object:
        return await self.store.next_event_sequence(pool_id)

    async def read(self, pool_id: str, after: int, limit: int | None) -> list[Any]:
        cursor = AgentPoolStoreCursor(after)
        return await self.store.read(pool_id, cursor, limit=limit)

    async def watch(self, pool_id: str, after: int, limit: int) -> list[Any]:
        """Watch as many records as there are, and no more than a limit."""
        count = len(await self.read(pool_id, after, limit))
        watch = self.store.watch(pool_id, AgentPoolStoreCursor(after))
        async with aclosing(watch) as records:
            return [await anext(records) for _ in range(count)]

    async def put_content(self, data: bytes) -> str:
        return await self.store.put_content(data)

    async def get_content(self, ref: str) -> bytes:
        return await self.store.get_content(ref)

    # --- of pools: members

    async def join_run(self, member: AgentPoolMember) -> None:
        await self.pool.join_run(member)

    async def join_for(self, member: AgentPoolMember, millis: int) -> None:
        """Join under a lease that no heartbeat renews."""
        await self.store.execute(POOL, JoinRun(member, millis))

    async def leave_run(self, run_id: str) -> AgentPoolMember:
        return await self.pool.leave_run(run_id)

    async def members(self) -> object:
        return await self.pool.members()

    async def visit(self, member: AgentPoolMember, to: RunAddress, message_id: str) -> object:
        """Be a member for as long as it takes to send a message."""
        async with self.pool.member(member, None) as me:
            return await me.send(to, message_id, message_id=message_id)

    # --- of pools: messages

    async def send(self, message: RunMessage) -> MessageReceipt:
        return await self.pool.send(message)

    async def record_message_status(
        self, message: RunMessage, status: MessageStatus, to: Sequence[str]
    ) -> MessageReceipt:
        return await self.pool.record_message_status(message, status, to)

    async def peek(self, run_id: str, limit: int) -> object:
        return await self.pool.inbox(run_id).peek(limit)

    async def claim(self, run_id: str) -> Claim | None:
        """Claim what there is, without waiting."""
        return await self.store.execute(POOL, ClaimNext(run_id, run_id, round(LEASE * 1000)))

    async def take_next(self, run_id: str) -> Claim | None:
        """Take the next message by way of the inbox, where that would not wait."""
        claiming = ClaimNext(run_id, run_id, 1)
        if await self.store.query(POOL, lambda view: claiming.decide(view).result) is None:
            return await self.claim(run_id)
        delivery = await self.pool.inbox(run_id, lease=LEASE).take()
        # Heartbeats depend on real time; here a claim lasts for its lease and no longer.
        Upkeep.of(self.store).heartbeats.remove_delivery(POOL, delivery)
        return delivery.claim

    async def ack(self, claim: Claim) -> None:
        await Delivery(self.pool.inbox(claim.run_id), claim).ack()

    async def nack(self, claim: Claim, delay: float) -> None:
        await Delivery(self.pool.inbox(claim.run_id), claim).nack(delay)

    # --- of pools: events and wakes

    async def publish(self, event: EventEnvelope) -> int:
        return await self.pool.publish(event)

    async def scope_filter(self, wanted: EventFilter) -> EventFilter:
        return await self.pool.scope_filter(wanted)

    async def events(self, wanted: EventFilter, after: int) -> list[EventEnvelope]:
        """Take the events that there are from a subscription."""
        cursor = AgentPoolStoreCursor(after)

        def count(view: PoolView) -> int:
            compiled = compile_for(require_open(view), wanted)
            events, _, _ = page_of_events(view, cursor)
            return sum(compiled.matches_envelope(event) for _, event in events)

        expected = await self.store.query(POOL, count)
        async with aclosing(self.pool.subscribe(wanted, cursor)) as events:
            return [await anext(events) for _ in range(expected)]

    async def suspend_until(self, condition: WakeCondition, since: int | None) -> WakeRegistration:
        cursor = None if since is None else AgentPoolStoreCursor(since)
        return await self.pool.suspend_until(condition.run_id, condition, since=cursor)

    async def cancel_wake(self, condition_id: str) -> WakeRegistration:
        return await self.pool.cancel_wake(condition_id)

    async def wait(self, condition_id: str) -> WakeOutcome | WakeRegistration:
        """Wait for a wake that has ended."""
        registration = await self.pool.poll_wake(condition_id)
        if registration.status is WakeRegistrationStatus.REGISTERED:
            return registration
        return await self.pool.wait(condition_id)

    async def catch_up(self) -> bool:
        """Carry out what is due, as any command does."""
        return (await self.store.execute(POOL, CatchUp())).done

    # --- for the machine

    async def log(self, pool_id: str, after: int) -> list[tuple[int, bytes]]:
        """Read a log as bytes; nothing for a pool that nobody opened."""
        await self.catch_up()
        try:
            records = await self.read(pool_id, after, None)
        except AgentPoolError:
            return []
        return [(record.cursor.sequence, encode(record.payload)) for record in records]

    async def history(self, after: int) -> list[tuple[EventCursor, str]]:
        """List the events after a record, each at its place: no record tells that of a host's."""
        cursor = AgentPoolStoreCursor(after)
        events, _, _ = await self.store.query(POOL, lambda view: page_of_events(view, cursor))
        return [(place, event.event_id) for place, event in events]

    async def begin_to_ask(self, message: RunMessage) -> "asyncio.Task[Outcome]":
        """Ask, and go on as soon as the question stands in the log, or was refused."""
        asking = asyncio.create_task(self.take(Step("ask", (message,))))
        async with asyncio.timeout(PATIENCE):
            while not (asking.done() or await self._status(message)):  # noqa: ASYNC110  # no event tells
                await asyncio.sleep(0)
        return asking

    async def ask(self, message: RunMessage) -> tuple[RunMessage, ...]:
        return await self.pool.ask(message)

    async def _status(self, message: RunMessage) -> MessageStatus | None:
        receipt = await self.store.message_receipt(POOL, message.idempotency_key)
        return None if receipt is None else receipt.status
