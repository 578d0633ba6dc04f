"""The event envelope: what happened, to what, where from, and who may see it; never a payload."""

from agentpool.errors import CheckedEnum, shown
from agentpool.wire.event_kinds import EventFamily, EventKind
from agentpool.wire.ids import (
    U16,
    U64,
    AgentId,
    AttemptId,
    ContextItemId,
    EventId,
    JournalCursor,
    MessageId,
    RunId,
    SessionId,
    SpanId,
    TraceId,
    TurnId,
    check_u64,
)
from agentpool.wire.refs import (
    DestinationRef,
    EntityRef,
    EventCorrelation,
    PolicyRef,
    PrivacyClass,
    SourceRef,
    content_among,
)
from agentpool.wire.struct import Wire

__all__ = ("CausalRef", "ContentCaptureMode", "EventDeliverySemantics", "EventEnvelope")


class EventDeliverySemantics(CheckedEnum):
    """How surely an event reaches those who want it."""

    BEST_EFFORT_LIVE = "best_effort_live"
    JOURNAL_BACKED = "journal_backed"
    DERIVED_REPLAY = "derived_replay"
    DIAGNOSTIC_ONLY = "diagnostic_only"


class ContentCaptureMode(CheckedEnum):
    """How much of the content was captured with an event."""

    OFF = "off"
    METADATA_ONLY = "metadata_only"
    REDACTED_SUMMARY = "redacted_summary"
    PAYLOAD_REFS = "payload_refs"
    RAW_CONTENT = "raw_content"


class CausalRef(Wire, kw_only=True):
    """What an event followed from."""

    event_id: EventId | None = None
    subject_ref: EntityRef
    reason: str | None = None


class EventEnvelope(Wire, kw_only=True):
    """One event, without its payload. ``event_seq`` orders the events of a pool."""

    schema_version: U16
    event_id: EventId
    event_seq: U64
    event_family: EventFamily
    event_kind: EventKind
    payload_schema_version: U16
    timestamp: str
    recorded_at: str
    run_id: RunId
    session_id: SessionId | None = None
    agent_id: AgentId
    turn_id: TurnId | None = None
    attempt_id: AttemptId | None = None
    message_id: MessageId | None = None
    context_item_id: ContextItemId | None = None
    trace_id: TraceId
    span_id: SpanId
    parent_event_id: EventId | None = None
    caused_by: CausalRef | None = None
    subject_ref: EntityRef
    related_refs: tuple[EntityRef, ...] = ()
    causal_refs: tuple[CausalRef, ...] = ()
    correlation: EventCorrelation
    tags: tuple[str, ...] = ()
    source: SourceRef
    destination: DestinationRef | None = None
    policy_refs: tuple[PolicyRef, ...] = ()
    journal_cursor: JournalCursor | None = None
    state_before: str | None = None
    state_after: str | None = None
    delivery_semantics: EventDeliverySemantics
    privacy: PrivacyClass
    content_capture: ContentCaptureMode
    redaction_policy_id: str
    runtime_package_fingerprint: str

    def __post_init__(self) -> None:
        check_u64(self.event_seq, "event_seq")

    @property
    def content_ref(self) -> str | None:
        """The ref of the body that the event was published with, if there was one."""
        return content_among(self.related_refs)

    def __repr__(self) -> str:
        about = shown(self.subject_ref)  # changed behind its back
        if isinstance(self.subject_ref, EntityRef):
            about = f"{_shown_kind(self.subject_ref.kind)} {shown(self.subject_ref.id)}"
        kind, run_id = _shown_kind(self.event_kind), shown(self.run_id)
        return (
            f"<EventEnvelope {shown(self.event_id)}: {kind} of run {run_id} about {about},"
            f" tags {shown(self.tags)}>"
        )


def _shown_kind(kind: object) -> str:
    return str(kind) if isinstance(kind, CheckedEnum) else shown(kind)
