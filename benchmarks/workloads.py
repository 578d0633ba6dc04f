"""What is written while measuring: the same for every run and every contender."""

import asyncio
from collections.abc import Iterator
from random import Random
from typing import Final, NamedTuple
from uuid import UUID

from agentpool import (
    AgentPoolMember,
    AgentPoolStore,
    AgentPoolStoredMessage,
    CompiledEventFilter,
    CorrelationEntry,
    EventCorrelation,
    EventFilter,
    EventKind,
    MessageReceipt,
    MessageStatus,
    RunAddress,
    RunMessage,
    RunMessageRecorded,
    WakeCondition,
    WakeRegistration,
    WakeRegistrationStatus,
    encode,
    include,
)

__all__ = (
    "MEMBERS",
    "POOL",
    "Sent",
    "Wake",
    "exchange_names",
    "fill",
    "member",
    "messages",
    "payload",
    "wake",
)

POOL: Final = "pool.bench"
MEMBERS: Final = 8
_HEAD: Final = 2 + MEMBERS
_PER_EXCHANGE: Final = 10
_MESSAGES_PER_EXCHANGE: Final = 3
_EXCHANGES_AT_ONCE: Final = 64


class Sent(NamedTuple):
    """The arguments of `record_message`."""

    message: RunMessage
    receipt: MessageReceipt


class Wake(NamedTuple):
    """The arguments of `record_wake`."""

    condition: WakeCondition
    compiled_filter: CompiledEventFilter
    registration: WakeRegistration


def message(name: str, status: MessageStatus = MessageStatus.DELIVERED) -> Sent:
    """Make a message of about 600 bytes of JSON; the name makes its id and key."""
    message_id, receiver = f"message.{name}", f"run.{len(name) % MEMBERS}"
    return Sent(
        RunMessage(
            message_id=message_id,
            sender="run.0",
            to=RunAddress.run(receiver),
            content_ref=f"content.{name}",
            correlation=EventCorrelation((CorrelationEntry("task", f"task.{name}"),)),
            idempotency_key=f"key.{name}",
        ),
        MessageReceipt(message_id, status, (receiver,) if status == "delivered" else ()),
    )


def messages(count: int, *, prefix: str = "m", random_keys: bool = False) -> list[Sent]:
    """Make messages whose keys come in order, or, as those of random UUIDs, in none."""
    if not random_keys:
        return [message(f"{prefix}.{number:08}") for number in range(count)]
    random = Random(prefix)
    return [message(str(UUID(int=random.getrandbits(128), version=4))) for _ in range(count)]


def payload(sent: Sent) -> str:
    """Write a message as it stands in a log."""
    return encode(RunMessageRecorded(AgentPoolStoredMessage(*sent))).decode()


def member(name: str) -> AgentPoolMember:
    """Make a member that listens to two topics."""
    return AgentPoolMember(f"run.{name}", f"agent.{name}", topics=("topic.news", "topic.work"))


def wake(name: str, status: WakeRegistrationStatus = WakeRegistrationStatus.REGISTERED) -> Wake:
    """Make a wake on the end of a run."""
    wanted = EventFilter(
        run_ids=include("run.1"), kinds=include(EventKind.RUN_COMPLETED, EventKind.RUN_FAILED)
    )
    condition = WakeCondition(
        condition_id=f"wake.{name}",
        run_id="run.0",
        filter=wanted,
        timeout_millis=60_000,
        idempotency_key=f"key.{name}",
    )
    return Wake(
        condition, wanted.compile(), WakeRegistration(condition.condition_id, "run.0", status)
    )


async def fill(store: AgentPoolStore, records: int) -> None:
    """Fill a pool with this many records, as a life of its own would leave them.

    Six of ten are messages, accepted and then delivered, two a wake, two a member that comes
    and goes.
    """
    await store.open_pool(POOL)
    await store.record_pool_created(POOL)
    for number in range(MEMBERS):
        await store.join_member(POOL, member(str(number)))
    exchanges = (records - _HEAD) // _PER_EXCHANGE
    for start in range(0, exchanges, _EXCHANGES_AT_ONCE):
        async with asyncio.TaskGroup() as tasks:
            for number in range(start, min(start + _EXCHANGES_AT_ONCE, exchanges)):
                tasks.create_task(_exchange(store, f"{number:06}"))


def exchange_names(records: int) -> Iterator[str]:
    """Name the exchanges in a filled pool: one wake and a first message is called after each."""
    return (f"{number:06}" for number in range((records - _HEAD) // _PER_EXCHANGE))


async def _exchange(store: AgentPoolStore, name: str) -> None:
    await store.join_member(POOL, member(f"guest.{name}"))
    await store.record_wake(POOL, *wake(name))
    for suffix in ("", ".b", ".c"):
        await store.record_message(POOL, *message(name + suffix, MessageStatus.ACCEPTED))
        await store.record_message(POOL, *message(name + suffix))
    await store.record_wake(POOL, *wake(name, WakeRegistrationStatus.TRIGGERED))
    await store.leave_member(POOL, f"run.guest.{name}")
