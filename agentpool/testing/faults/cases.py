"""The calls that faults of the engine are tried on, each with what has to be there before it.

Nothing in them depends on time or chance, so a call that went through after faults must leave the
very same file as one that was never disturbed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from agentpool import (
    AgentPool,
    ContentCaptureMode,
    CorrelationEntry,
    EntityKind,
    EntityRef,
    EventCorrelation,
    EventDeliverySemantics,
    EventEnvelope,
    EventFamily,
    EventFilter,
    EventKind,
    MessageResponseContract,
    PrivacyClass,
    RunAddress,
    SourceKind,
    SourceRef,
    SqliteAgentPoolStore,
    include,
)
from agentpool.rules.claiming import ClaimNext
from agentpool.rules.claims import Acknowledge, Claim
from agentpool.rules.redelivery import ReturnMessage
from agentpool.testing.faults.journal import LOG, RUNS, WORK
from agentpool.testing.values import a_condition, a_member, a_message, a_receipt

__all__ = ("CASES", "Case", "prepare")

Store = SqliteAgentPoolStore


class Case(NamedTuple):
    """A call.

    :ivar later: how many milliseconds later than what has to be there
    :ivar reads: whether it only reads
    """

    name: str
    act: Callable[[Store], Awaitable[Any]]
    later: int = 0
    reads: bool = False

    def __str__(self) -> str:
        return self.name


_EVENT: Final = EventEnvelope(
    schema_version=1,
    event_id="event.1",
    event_seq=0,
    event_family=EventFamily.RUN,
    event_kind=EventKind.RUN_COMPLETED,
    payload_schema_version=1,
    timestamp="2026-01-01T00:00:00Z",
    recorded_at="2026-01-01T00:00:00Z",
    run_id="run.a",
    agent_id="agent.a",
    trace_id="trace.1",
    span_id="span.1",
    subject_ref=EntityRef(EntityKind.RUN, "run.a"),
    correlation=EventCorrelation((CorrelationEntry("wanted", "x"),)),
    source=SourceRef(SourceKind.SDK, "sdk"),
    delivery_semantics=EventDeliverySemantics.JOURNAL_BACKED,
    privacy=PrivacyClass.INTERNAL,
    content_capture=ContentCaptureMode.OFF,
    redaction_policy_id="redaction.none",
    runtime_package_fingerprint="sha256:0",
)
_WANTED: Final = EventFilter(correlation_keys=include("wanted"))
_MANY: Final = 5
_LEASE: Final = 30_000
_CLAIMED: Final = Claim("run.a", 9, 1, a_message("first", to=RunAddress.run("run.a")))
"""The claim that is made before the call."""


async def prepare(store: Store) -> None:
    """Make what the calls need: members, messages unread and claimed, wakes, some history."""
    await store.open_pool(LOG)
    await store.record_pool_created(LOG)
    async with AgentPool.open(store, WORK) as pool:
        for run_id in RUNS:
            await pool.join_run(a_member(run_id, topics=["topic.a"]))
        await pool.suspend_until("run.b", a_condition("wake.b", run_id="run.b", filter=_WANTED))
        timed = a_condition("wake.c", run_id="run.c", filter=_WANTED, timeout_millis=60_000)
        await pool.suspend_until("run.c", timed)
        await pool.send(_CLAIMED.message)
        await pool.send(a_message("second", to=RunAddress.run("run.b")))
    assert await store.execute(WORK, ClaimNext("run.a", "run.a", _LEASE)) == _CLAIMED
    await store.next_event_sequence(WORK)


def _pool(store: Store) -> AgentPool:
    """Act in the pool without looking after its deadlines, which would happen at any time."""
    return AgentPool(store, WORK)


async def _suspend(store: Store) -> Any:
    never = EventFilter(kinds=include(EventKind.RUN_FAILED))
    condition = a_condition("wake.new", filter=never, timeout_millis=90_000)
    return await _pool(store).suspend_until("run.a", condition)


async def _send_many(store: Store) -> Any:
    """Send so that all come into one batch."""
    sends = (
        _pool(store).send(a_message(f"batch.{number}", to=RunAddress.topic("topic.a")))
        for number in range(_MANY)
    )
    outcomes = await asyncio.gather(*sends, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return outcomes


async def _ask(store: Store) -> Any:
    contract = MessageResponseContract(1, 60_000)
    message = a_message("ask", to=RunAddress.topic("topic.a"), response_contract=contract)
    return await _pool(store).send(message)


CASES: Final = (
    Case("open a pool", lambda store: store.open_pool("pool.new")),
    Case(
        "record a message",
        lambda store: store.record_message(LOG, a_message("new"), a_receipt(a_message("new"))),
    ),
    Case("join", lambda store: _pool(store).join_run(a_member("run.d"))),
    Case("leave", lambda store: _pool(store).leave_run("run.b")),
    Case(
        "send to several",
        lambda store: _pool(store).send(
            a_message("all", to=RunAddress.pool(WORK), correlation=_EVENT.correlation)
        ),
    ),
    Case("send with a contract", _ask),
    Case("send five in one batch", _send_many),
    Case("suspend", _suspend),
    Case("cancel a wake", lambda store: _pool(store).cancel_wake("wake.b")),
    Case("claim", lambda store: store.execute(WORK, ClaimNext("run.b", "run.b", _LEASE))),
    Case(
        "claim when a wake is due",
        lambda store: store.execute(WORK, ClaimNext("run.b", "run.b", _LEASE)),
        later=61_000,
    ),
    Case("acknowledge", lambda store: store.execute(WORK, Acknowledge(_CLAIMED))),
    Case("return", lambda store: store.execute(WORK, ReturnMessage(_CLAIMED, 0))),
    Case("publish", lambda store: _pool(store).publish(_EVENT)),
    Case("take an event number", lambda store: store.next_event_sequence(WORK)),
    Case("keep a body", lambda store: store.put_content(bytes(10_000))),
    Case("read", lambda store: store.read(WORK), reads=True),
    Case("snapshot", lambda store: store.snapshot(WORK), reads=True),
    Case("list members", lambda store: _pool(store).members(), reads=True),
    Case("look at an inbox", lambda store: _pool(store).inbox("run.b").peek(), reads=True),
    Case("look for a receipt", lambda store: store.message_receipt(WORK, "key.first"), reads=True),
)
