"""Small valid values; a test names only the fields that it is about."""

from typing import Any

from agentpool import (
    AgentPoolMember,
    AgentPoolStoreRecord,
    ContentCaptureMode,
    EntityKind,
    EntityRef,
    EventCorrelation,
    EventDeliverySemantics,
    EventEnvelope,
    EventFamily,
    EventFilter,
    EventKind,
    MessageReceipt,
    MessageStatus,
    PrivacyClass,
    RunAddress,
    RunMessage,
    SourceKind,
    SourceRef,
    WakeCondition,
    WakeRegistration,
    WakeRegistrationStatus,
)
from agentpool.wire.payload import open_records

POOL = "pool.test"


def member(run_id: str = "run.a", **fields: Any) -> AgentPoolMember:
    """Make a member."""
    return AgentPoolMember(**{"run_id": run_id, "agent_id": "agent.a", **fields})


def message(message_id: str = "msg.1", **fields: Any) -> RunMessage:
    """Make a message whose idempotency key follows from its id."""
    defaults = {
        "message_id": message_id,
        "sender": "run.a",
        "to": RunAddress.run("run.b"),
        "content_ref": "content.1",
        "idempotency_key": f"key.{message_id}",
    }
    return RunMessage(**{**defaults, **fields})


def receipt(
    message_id: str = "msg.1", status: MessageStatus = MessageStatus.ACCEPTED, **fields: Any
) -> MessageReceipt:
    """Make the receipt of a message."""
    return MessageReceipt(message_id, status, **fields)


def condition(condition_id: str = "wake.1", **fields: Any) -> WakeCondition:
    """Make a wake condition whose idempotency key follows from its id."""
    defaults = {
        "condition_id": condition_id,
        "run_id": "run.a",
        "filter": EventFilter(),
        "idempotency_key": f"key.{condition_id}",
    }
    return WakeCondition(**{**defaults, **fields})


def registration(
    condition_id: str = "wake.1",
    status: WakeRegistrationStatus = WakeRegistrationStatus.REGISTERED,
    run_id: str = "run.a",
) -> WakeRegistration:
    """Make the registration of a wake."""
    return WakeRegistration(condition_id, run_id, status)


def envelope(**fields: Any) -> EventEnvelope:
    """Make the envelope of a run's start."""
    defaults = {
        "schema_version": 1,
        "event_id": "event.1",
        "event_seq": 1,
        "event_family": EventFamily.RUN,
        "event_kind": EventKind.RUN_STARTED,
        "payload_schema_version": 1,
        "timestamp": "2026-01-01T00:00:00Z",
        "recorded_at": "2026-01-01T00:00:00Z",
        "run_id": "run.a",
        "agent_id": "agent.a",
        "trace_id": "trace.1",
        "span_id": "span.1",
        "subject_ref": EntityRef(EntityKind.RUN, "run.a"),
        "correlation": EventCorrelation(),
        "source": SourceRef(SourceKind.SDK, "sdk"),
        "delivery_semantics": EventDeliverySemantics.JOURNAL_BACKED,
        "privacy": PrivacyClass.INTERNAL,
        "content_capture": ContentCaptureMode.OFF,
        "redaction_policy_id": "redaction.none",
        "runtime_package_fingerprint": "sha256:0",
    }
    return EventEnvelope(**{**defaults, **fields})


def open_record(
    pool_id: str, seq: int, kind: str, raw: bytes | None, *, keep_unknown: bool = False
) -> AgentPoolStoreRecord:
    """Read one stored record."""
    [record] = open_records(pool_id, [(seq, kind, raw)], keep_unknown=keep_unknown)
    return record
