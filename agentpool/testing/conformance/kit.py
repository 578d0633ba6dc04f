"""What the tests of the suite share: a store to test, the calls on it, and how one is refused."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from functools import cache
from types import TracebackType
from typing import Any, Final, TypeAlias, TypeVar

from agentpool.errors import AgentPoolError
from agentpool.rules.command import Command, Decision, PoolView
from agentpool.stores.base import AgentPoolStore
from agentpool.testing.values import a_condition, a_member, a_message, a_receipt, a_registration
from agentpool.wire.content import content_ref
from agentpool.wire.payload import seal
from agentpool.wire.records import (
    AgentPoolStoreCursor,
    AgentPoolStoredMessage,
    AgentPoolStoredWake,
    AgentPoolStoreRecord,
    AgentPoolStoreRecordPayload,
    MemberJoined,
    MessageStatus,
    RunMessage,
    RunMessageRecorded,
    WakeCondition,
    WakeRecorded,
    WakeRegistrationStatus,
)

__all__ = (
    "ABOUT_OPENED_POOL",
    "ABOUT_POOL",
    "BODY",
    "EVERY_CALL",
    "PATIENCE",
    "POOL",
    "Append",
    "StoreKit",
    "a_turn",
    "append_many",
    "as_stream",
    "first_of",
    "furnish",
    "lengthen",
    "message_record",
    "outcome_of",
    "payloads",
    "pieces",
    "record",
    "record_wake",
    "refusal",
    "refusals",
    "take",
    "wake_record",
)

E = TypeVar("E", bound=AgentPoolError)
T = TypeVar("T")

POOL: Final = "pool.conformance"
PATIENCE: Final = 200.0
"""Seconds after which a test gives up to wait. No test measures time."""
BODY: Final = b"the body of a message"

Call: TypeAlias = Callable[[AgentPoolStore, str], Awaitable[object]]


class StoreKit(ABC):
    """The store under test. Every part of the suite is a mixin over this class."""

    @abstractmethod
    def open_store(self) -> AbstractAsyncContextManager[AgentPoolStore]:
        """Open a new, empty store, which leaving the context closes."""

    def opened(self, *pool_ids: str) -> AbstractAsyncContextManager[AgentPoolStore]:
        """Open a store with these pools opened in it, and give the test limited time with it."""
        return _Opened(self.open_store(), pool_ids or (POOL,))

    def empty(self) -> AbstractAsyncContextManager[AgentPoolStore]:
        """Open a store without any pool, and give the test limited time with it."""
        return _Opened(self.open_store(), ())


class _Opened(AbstractAsyncContextManager[AgentPoolStore]):
    def __init__(
        self, store: AbstractAsyncContextManager[AgentPoolStore], pool_ids: tuple[str, ...]
    ) -> None:
        self._opening = store
        self._pool_ids = pool_ids

    async def __aenter__(self) -> AgentPoolStore:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(asyncio.timeout(PATIENCE))
            store = await stack.enter_async_context(self._opening)
            for pool_id in self._pool_ids:
                await store.open_pool(pool_id)
            self._stack = stack.pop_all()
        return store

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._stack.__aexit__(exc_type, exc_value, traceback)


# --- what is there before a test begins, in one transaction, however much it is


class Append(Command[None]):
    """Append records as they are."""

    def __init__(self, *payloads: AgentPoolStoreRecordPayload) -> None:
        self._records = tuple(map(seal, payloads))

    def decide(self, view: PoolView) -> Decision[None]:  # noqa: ARG002  # whatever is there
        return Decision(None, self._records)


def message_record(
    message: RunMessage, status: MessageStatus = MessageStatus.ACCEPTED, **fields: Any
) -> RunMessageRecorded:
    """Build the record of a message with this status; other fields are the receipt's."""
    return RunMessageRecorded(AgentPoolStoredMessage(message, a_receipt(message, status, **fields)))


def wake_record(
    condition: WakeCondition,
    status: WakeRegistrationStatus = WakeRegistrationStatus.REGISTERED,
) -> WakeRecorded:
    """Build the record of a wake with this status."""
    registration = a_registration(condition, status)
    return WakeRecorded(AgentPoolStoredWake(condition, condition.filter.compile(), registration))


async def furnish(store: AgentPoolStore, pool_id: str = POOL) -> None:
    """Open a pool with two members, an accepted message and a registered wake: five records.

    Beside them the store keeps `BODY`.
    """
    await store.put_content(BODY)
    await store.open_pool(pool_id)
    members = map(MemberJoined, (a_member("run.a"), a_member("run.b")))
    told = (message_record(a_message()), wake_record(a_condition()))
    await store.execute(pool_id, Append(*members, *told))


async def lengthen(store: AgentPoolStore, count: int, *, name: str = "many") -> None:
    """Append as many messages to the log of `POOL`."""
    await store.execute(POOL, _messages(count, name))


@cache
def _messages(count: int, name: str) -> Append:
    return Append(*(message_record(a_message(f"message.{name}.{n}")) for n in range(count)))


# --- doing things to a store


async def record(
    store: AgentPoolStore,
    message: RunMessage,
    status: MessageStatus = MessageStatus.ACCEPTED,
    *,
    pool_id: str = POOL,
    **fields: Any,
) -> AgentPoolStoreCursor:
    """Record a message with a receipt of this status; other fields are the receipt's."""
    return await store.record_message(pool_id, message, a_receipt(message, status, **fields))


async def record_wake(
    store: AgentPoolStore,
    condition: WakeCondition,
    status: WakeRegistrationStatus = WakeRegistrationStatus.REGISTERED,
    *,
    pool_id: str = POOL,
    **fields: Any,
) -> AgentPoolStoreCursor:
    """Record a wake with a registration of this status; other fields are the registration's."""
    registration = a_registration(condition, status, **fields)
    return await store.record_wake(pool_id, condition, condition.filter.compile(), registration)


async def append_many(
    store: AgentPoolStore, count: int, *, name: str = "many", pool_id: str = POOL
) -> list[AgentPoolStoreCursor]:
    """Append messages from as many tasks at once."""
    messages = (a_message(f"message.{name}.{number}") for number in range(count))
    return await asyncio.gather(*(record(store, each, pool_id=pool_id) for each in messages))


async def take(watch: AsyncIterator[T], count: int) -> list[T]:
    """Take the next things from a watch."""
    return [await anext(watch) for _ in range(count)]


async def first_of(
    store: AgentPoolStore, pool_id: str, cursor: AgentPoolStoreCursor | None = None
) -> AgentPoolStoreRecord:
    """Watch for one record."""
    async with aclosing(store.watch(pool_id, cursor)) as watch:
        return await anext(watch)


async def a_turn(store: AgentPoolStore, pool_id: str) -> None:
    """Take one turn at looking at a pool."""
    with store.changes(pool_id) as turns:
        await anext(turns)


async def pieces(store: AgentPoolStore, ref: str) -> list[bytes]:
    """Read a body in pieces."""
    return [piece async for piece in store.open_content(ref)]


# --- looking at what came of it


async def outcome_of(call: Awaitable[object]) -> object:
    """Await a call, and give its result or its error."""
    try:
        return await call
    except Exception as error:  # noqa: BLE001  # the test says which one it may be
        return error


async def refusal(error_type: type[E], call: Awaitable[object]) -> E:
    """Await a call that has to raise this very error, and give the error."""
    [error] = await refusals(error_type, [call])
    return error


async def refusals(error_type: type[E], calls: Iterable[Awaitable[object]]) -> list[E]:
    """Await calls one after another, each of which has to raise this very error."""
    errors: list[E] = []
    unexpected: list[object] = []
    for outcome in [await outcome_of(call) for call in calls]:
        if isinstance(outcome, error_type) and type(outcome) is error_type:
            errors.append(outcome)
        else:
            unexpected.append(outcome)
    assert not unexpected, f"expected {error_type.__name__} of each, got {unexpected!r}"
    return errors


async def payloads(store: AgentPoolStore, pool_id: str = POOL) -> list[object]:
    """Read what the records of a pool say, and check that they are numbered 1, 2, 3, ..."""
    records = await store.read(pool_id)
    assert [each.cursor.sequence for each in records] == list(range(1, len(records) + 1))
    assert {each.pool_id for each in records} <= {pool_id}
    return [each.payload for each in records]


async def as_stream(records: Iterable[T]) -> AsyncIterator[T]:
    """Make a stream of what is there already."""
    for each in records:
        yield each


# --- all the calls there are, with arguments that have an effect in a furnished pool


ABOUT_OPENED_POOL: Final[dict[str, Call]] = {
    "snapshot": lambda store, pool_id: store.snapshot(pool_id),
    "record_pool_created": lambda store, pool_id: store.record_pool_created(pool_id),
    "join_member": lambda store, pool_id: store.join_member(pool_id, a_member("run.new")),
    "leave_member": lambda store, pool_id: store.leave_member(pool_id, "run.a"),
    "message_receipt": lambda store, pool_id: store.message_receipt(pool_id, "key.message.1"),
    "record_message": lambda store, pool_id: record(store, a_message("new"), pool_id=pool_id),
    "record_messages": lambda store, pool_id: store.record_messages(
        pool_id, [(each, a_receipt(each)) for each in (a_message("new.1"), a_message("new.2"))]
    ),
    "wake_registration": lambda store, pool_id: store.wake_registration(pool_id, "key.wake.1"),
    "wake": lambda store, pool_id: store.wake(pool_id, "wake.1"),
    "record_wake": lambda store, pool_id: record_wake(store, a_condition("new"), pool_id=pool_id),
    "read": lambda store, pool_id: store.read(pool_id),
    "watch": first_of,
}
ABOUT_POOL: Final[dict[str, Call]] = {
    **ABOUT_OPENED_POOL,
    "open_pool": lambda store, pool_id: store.open_pool(pool_id),
    "next_event_sequence": lambda store, pool_id: store.next_event_sequence(pool_id),
}
EVERY_CALL: Final[dict[str, Call]] = {
    **ABOUT_POOL,
    "put_content": lambda store, _: store.put_content(BODY),
    "get_content": lambda store, _: store.get_content(content_ref(BODY)),
    "open_content": lambda store, _: pieces(store, content_ref(BODY)),
    "content_type": lambda store, _: store.content_type(content_ref(BODY)),
    "changes": a_turn,
    "pools": lambda store, _: store.pools(),
}
"""Every public method. A new one needs a line here, or above when it is about a pool."""
