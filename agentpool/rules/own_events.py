"""Events of an agent's own, under a name of its own: an envelope in which the rest is said."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from agentpool.errors import InvalidValueError
from agentpool.rules.record_events import (
    FINGERPRINT,
    REDACTION_POLICY,
    timestamp,
    trace_of,
)
from agentpool.rules.requirements import checked_sequence, require_type
from agentpool.wire.event_kinds import EventFamily, EventKind, family_of
from agentpool.wire.events import ContentCaptureMode, EventDeliverySemantics, EventEnvelope
from agentpool.wire.ids import check_identifier
from agentpool.wire.records import AgentPoolMember
from agentpool.wire.refs import (
    NO_CORRELATION,
    DestinationKind,
    DestinationRef,
    EntityKind,
    EntityRef,
    PrivacyClass,
    SourceKind,
    SourceRef,
)

__all__ = ("OWN_KIND", "own_event")

OWN_KIND: Final = EventKind.RUN_CHECKPOINTED
"""The run has come to a point that it names: not terminal, for more may follow about the run."""


def own_event(
    pool_id: str,
    member: AgentPoolMember,
    name: str,
    identity: str,
    millis: int,
    *,
    kind: EventKind,
    tags: Sequence[str],
    related: Sequence[EntityRef],
    summary: str | None,
) -> EventEnvelope:
    """Make the event that a member publishes under a name of its own.

    :param identity: what the event id is derived from: the same again is the same event
    :raises InvalidValueError: naming the argument at fault
    """
    check_identifier(name, "name")
    require_type(kind, EventKind, "kind")
    if family_of(kind) is EventFamily.AGENT_POOL:
        msg = f"kind: {kind} is what the pool itself says; publish another kind, under a name"
        raise InvalidValueError(msg)
    if summary is not None:
        require_type(summary, str, "summary")
    digest = sha256(f"{pool_id}\n{member.run_id}\n{identity}".encode()).hexdigest()
    time = timestamp(millis)
    return EventEnvelope(
        schema_version=1,
        event_id=f"event.own.{digest}",
        event_seq=0,
        event_family=family_of(kind),
        event_kind=kind,
        payload_schema_version=1,
        timestamp=time,
        recorded_at=time,
        run_id=member.run_id,
        agent_id=member.agent_id,
        trace_id=trace_of(pool_id),
        span_id=f"span.{digest}",
        subject_ref=EntityRef(
            EntityKind.RUN, member.run_id, redacted_summary=name if summary is None else summary
        ),
        related_refs=checked_sequence(related, "related", EntityRef),
        correlation=NO_CORRELATION,
        tags=tuple(dict.fromkeys((name, *checked_sequence(tags, "tags", str)))),
        source=SourceRef(SourceKind.HOST, member.agent_id),
        destination=DestinationRef(DestinationKind.AGENT_POOL, pool_id),
        policy_refs=member.policy_refs,
        delivery_semantics=EventDeliverySemantics.JOURNAL_BACKED,
        privacy=PrivacyClass.CONTENT_REFS_ONLY,
        content_capture=ContentCaptureMode.OFF,
        redaction_policy_id=REDACTION_POLICY,
        runtime_package_fingerprint=FINGERPRINT,
    )
