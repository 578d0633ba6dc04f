"""The event that a record is: every process derives the same one from the same record."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, TypeAlias

from agentpool.rules.command import PoolView
from agentpool.wire.event_kinds import EventFamily, EventKind
from agentpool.wire.events import ContentCaptureMode, EventDeliverySemantics, EventEnvelope
from agentpool.wire.records import (
    AgentPoolMember,
    AgentPoolStoredMessage,
    AgentPoolStoredWake,
    AgentPoolStoreRecordPayload,
    MemberJoined,
    MemberLeft,
    MessageStatus,
    PoolCreated,
    RunMessageRecorded,
    WakeRecorded,
    WakeRegistrationStatus,
)
from agentpool.wire.refs import (
    NO_CORRELATION,
    DestinationKind,
    DestinationRef,
    EntityKind,
    EntityRef,
    EventCorrelation,
    PolicyRef,
    PrivacyClass,
    SourceKind,
    SourceRef,
)
from agentpool.wire.struct import trusted

__all__ = (
    "FINGERPRINT",
    "REDACTION_POLICY",
    "event_of",
    "first_member",
    "is_of_record",
    "kind_of",
    "run_of",
    "timestamp",
    "trace_of",
)

_SOURCE: Final = SourceRef(SourceKind.SDK, "agent_pool")
_TAGS: Final = ("feature:agent_pool",)
_OF_MESSAGE: Final = {each: EventKind(f"run_message_{each}") for each in MessageStatus}
_OF_WAKE: Final = {each: EventKind(f"wake_condition_{each}") for each in WakeRegistrationStatus}

REDACTION_POLICY: Final = "agent_pool.content_refs_only"
FINGERPRINT: Final = "agentpool"


def kind_of(payload: AgentPoolStoreRecordPayload) -> EventKind | None:
    """Say what kind of event a record is; ``None`` for the opening of a pool, which is none."""
    match payload:
        case RunMessageRecorded(stored):
            return _OF_MESSAGE[stored.receipt.status]
        case WakeRecorded(stored_wake):
            return _OF_WAKE[stored_wake.registration.status]
        case MemberJoined():
            return EventKind.AGENT_POOL_RUN_JOINED
        case MemberLeft():
            return EventKind.AGENT_POOL_RUN_LEFT
        case PoolCreated():
            return EventKind.AGENT_POOL_CREATED
        case _:
            return None


def run_of(view: PoolView, seq: int, payload: AgentPoolStoreRecordPayload) -> str:
    """Say which run a record's event belongs to; the pool itself where it is no run's."""
    match payload:
        case RunMessageRecorded(stored):
            return stored.message.sender
        case WakeRecorded(stored_wake):
            return stored_wake.condition.run_id
        case MemberJoined(member) | MemberLeft(member):
            return member.run_id
        case _:
            first = first_member(view, seq)
            return first.run_id if first else view.pool_id


def first_member(view: PoolView, created_at: int) -> AgentPoolMember | None:
    """Find the member whose joining made a pool come to life: it stands right behind that."""
    for _, payload in view.records(created_at, 1):
        if isinstance(payload, MemberJoined):
            return payload.member
    return None


def event_of(
    view: PoolView, seq: int, payload: AgentPoolStoreRecordPayload
) -> EventEnvelope | None:
    """Derive the event of a record; ``None`` for the opening of a pool, which is none."""
    pool_id = view.pool_id
    kind = kind_of(payload)
    if kind is None:
        return None
    run_id = run_of(view, seq, payload)
    # Only what is fixed at the record: each process derives it anew, whenever it reads, and two
    # that differ would be two events.
    then = view.member_at(run_id, seq)
    agent_id = then.stored.agent_id if then else run_id
    base = _Base(pool_id, seq, kind, run_id, agent_id, view.time_of(seq) or 0)
    match payload:
        case RunMessageRecorded(stored):
            return _message_event(base, stored)
        case WakeRecorded(stored_wake):
            return _wake_event(base, stored_wake)
        case MemberJoined(member) | MemberLeft(member):
            return _member_event(base, member)
        case _:
            return _pool_event(base, first_member(view, seq))


def is_of_record(pool_id: str, event: EventEnvelope) -> bool:
    """Tell the event of a pool's record, whose id is derived, from one that a host published."""
    # Records and host events are numbered apart, so the number alone does not tell.
    return event.event_id == _event_id(_hash(pool_id), event.event_seq)


def _hash(pool_id: str) -> str:
    return sha256(pool_id.encode()).hexdigest()


def _event_id(pool_hash: str, seq: int) -> str:
    return f"event.{pool_hash}.{seq}"


_Thing: TypeAlias = tuple[EntityKind, str]


@dataclass(frozen=True)
class _Base:
    """What the events of all kinds of records have in common."""

    pool_id: str
    seq: int
    kind: EventKind
    run_id: str
    agent_id: str
    millis: int

    def about(self, subject: _Thing) -> EntityRef:
        """Refer to what the event is about, with a line that anybody may read: its kind."""
        return _entity(*subject, self.kind.replace("_", " "))

    def event(
        self,
        subject: _Thing,
        destination: DestinationRef,
        *,
        related: tuple[EntityRef, ...] = (),
        correlation: EventCorrelation = NO_CORRELATION,
        policy_refs: tuple[PolicyRef, ...] = (),
        message_id: str | None = None,
        journal_cursor: str | None = None,
        state_after: str | None = None,
    ) -> EventEnvelope:
        pool_hash = _hash(self.pool_id)
        time = timestamp(self.millis)
        envelope: EventEnvelope = trusted(
            EventEnvelope,
            schema_version=1,
            event_id=_event_id(pool_hash, self.seq),
            event_seq=self.seq,
            event_family=EventFamily.AGENT_POOL,
            event_kind=self.kind,
            payload_schema_version=1,
            timestamp=time,
            recorded_at=time,
            run_id=self.run_id,
            agent_id=self.agent_id,
            message_id=message_id,
            trace_id=_trace_id(pool_hash),
            span_id=f"span.{self.seq}",
            subject_ref=self.about(subject),
            related_refs=related,
            correlation=correlation,
            tags=_TAGS,
            source=_SOURCE,
            destination=destination,
            policy_refs=policy_refs,
            journal_cursor=journal_cursor,
            state_after=state_after,
            delivery_semantics=EventDeliverySemantics.JOURNAL_BACKED,
            privacy=PrivacyClass.CONTENT_REFS_ONLY,
            content_capture=ContentCaptureMode.OFF,
            redaction_policy_id=REDACTION_POLICY,
            runtime_package_fingerprint=FINGERPRINT,
        )
        return envelope


def _message_event(base: _Base, stored: AgentPoolStoredMessage) -> EventEnvelope:
    message, receipt = stored.message, stored.receipt
    recipients = [_entity(EntityKind.RUN, run_id) for run_id in sorted(set(receipt.delivered_to))]
    # A message may name its recipients among what it relates to: each once, in order.
    related = dict.fromkeys((*message.to.related_refs, *recipients))
    return base.event(
        (EntityKind.MESSAGE, message.message_id),
        message.to.destination_ref,
        related=tuple(related),
        correlation=message.correlation,
        policy_refs=message.policy_refs,
        message_id=message.message_id,
        journal_cursor=receipt.journal_cursor,
        state_after=str(receipt.status),
    )


def _wake_event(base: _Base, stored: AgentPoolStoredWake) -> EventEnvelope:
    condition = stored.condition
    subject = (EntityKind.WAKE_CONDITION, condition.condition_id)
    return base.event(
        subject,
        _destination(DestinationKind.AGENT, condition.run_id),
        related=(_entity(EntityKind.RUN, condition.run_id), base.about(subject)),
        policy_refs=condition.policy_refs,
        journal_cursor=stored.registration.journal_cursor,
        state_after=str(stored.registration.status),
    )


def _member_event(base: _Base, member: AgentPoolMember) -> EventEnvelope:
    return replace(base, agent_id=member.agent_id).event(
        (EntityKind.RUN, member.run_id),
        _destination(DestinationKind.AGENT, member.run_id),
        policy_refs=member.policy_refs,
    )


def _pool_event(base: _Base, first: AgentPoolMember | None) -> EventEnvelope:
    return replace(base, agent_id=first.agent_id if first else base.agent_id).event(
        (EntityKind.AGENT_POOL, base.pool_id),
        _destination(DestinationKind.AGENT_POOL, base.pool_id),
    )


def _entity(kind: EntityKind, id_: str, summary: str | None = None) -> EntityRef:
    ref: EntityRef = trusted(EntityRef, kind, id_, redacted_summary=summary)
    return ref


def _destination(kind: DestinationKind, id_: str) -> DestinationRef:
    ref: DestinationRef = trusted(DestinationRef, kind, id_)
    return ref


_LAST_MILLIS: Final = 253_402_300_799_000
"""The last second of the year 9999."""


def trace_of(pool_id: str) -> str:
    """Name the trace that the events of a pool belong to."""
    return _trace_id(_hash(pool_id))


def _trace_id(pool_hash: str) -> str:
    return f"trace.{pool_hash}"


def timestamp(millis: int) -> str:
    """Write a time as events do."""
    # A time that no calendar has was put there by another program; its event is told all the same.
    moment = datetime.fromtimestamp(min(max(millis, 0), _LAST_MILLIS) / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
