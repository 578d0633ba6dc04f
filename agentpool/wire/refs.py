"""References to policies, entities, sources and destinations, with their enums."""

from collections.abc import Iterable
from typing import Final

from agentpool.errors import CheckedEnum
from agentpool.wire.ids import CorrelationKey, CorrelationValue, ReferenceId
from agentpool.wire.struct import Wire, written

__all__ = (
    "NO_CORRELATION",
    "CorrelationEntry",
    "DestinationKind",
    "DestinationRef",
    "EntityKind",
    "EntityRef",
    "EventCorrelation",
    "PolicyKind",
    "PolicyRef",
    "PrivacyClass",
    "RetentionClass",
    "SourceKind",
    "SourceRef",
    "TrustClass",
    "content_among",
)


class PolicyKind(CheckedEnum):
    """What kind of policy a reference names."""

    APPROVAL = "approval"
    PERMISSION = "permission"
    SANDBOX = "sandbox"
    CONTEXT = "context"
    PRIVACY = "privacy"
    RETENTION = "retention"
    REDACTION = "redaction"
    RUNTIME_PACKAGE = "runtime_package"
    HOST = "host"


class EntityKind(CheckedEnum):
    """What kind of thing a reference names."""

    RUN = "run"
    TURN = "turn"
    ATTEMPT = "attempt"
    AGENT = "agent"
    AGENT_POOL = "agent_pool"
    TOPIC = "topic"
    EVENT = "event"
    MESSAGE = "message"
    WAKE_CONDITION = "wake_condition"
    CONTEXT_CONTRIBUTION = "context_contribution"
    CONTEXT_ITEM = "context_item"
    CONTEXT_PROJECTION = "context_projection"
    CONTENT = "content"
    ARTIFACT = "artifact"
    CAPABILITY = "capability"
    PACKAGE_SIDECAR = "package_sidecar"
    RUNTIME_PACKAGE = "runtime_package"
    POLICY_DECISION = "policy_decision"
    EFFECT = "effect"
    EFFECT_INTENT = "effect_intent"
    EFFECT_RESULT = "effect_result"
    TOOL_CALL = "tool_call"
    APPROVAL_REQUEST = "approval_request"
    STREAM_RULE = "stream_rule"
    REALTIME_SESSION = "realtime_session"
    HOOK = "hook"
    EXECUTION_ENVIRONMENT = "execution_environment"
    CHILD_ARTIFACT = "child_artifact"
    SUBAGENT_RUN = "subagent_run"
    EXTENSION_ACTION = "extension_action"
    OUTPUT_DELIVERY = "output_delivery"


class SourceKind(CheckedEnum):
    """Where something came from."""

    SDK = "sdk"
    HOST = "host"
    USER = "user"
    SYSTEM = "system"
    DEVELOPER = "developer"
    MEMORY = "memory"
    COMPACTION = "compaction"
    HOOK = "hook"
    EXTENSION = "extension"
    TOOL = "tool"
    REMOTE_CHANNEL = "remote_channel"
    SCHEDULED_TASK = "scheduled_task"
    SUBAGENT = "subagent"
    EXTERNAL_RUNTIME = "external_runtime"
    REPLAY = "replay"


class DestinationKind(CheckedEnum):
    """Where something goes to."""

    AGENT = "agent"
    AGENT_POOL = "agent_pool"
    TOPIC = "topic"
    PROVIDER = "provider"
    CONTEXT_PROJECTION = "context_projection"
    JOURNAL = "journal"
    EVENT_STREAM = "event_stream"
    TELEMETRY = "telemetry"
    OUTPUT_SINK = "output_sink"
    HOST = "host"
    USER = "user"
    REMOTE_CHANNEL = "remote_channel"
    TOOL = "tool"
    EXTENSION = "extension"
    SUBAGENT = "subagent"
    EXTERNAL_RUNTIME = "external_runtime"


class TrustClass(CheckedEnum):
    """How far the content of a source is trusted."""

    TRUSTED = "trusted"
    SDK_GENERATED = "sdk_generated"
    HOST_PROVIDED = "host_provided"
    USER_PROVIDED = "user_provided"
    EXTERNAL = "external"
    UNTRUSTED = "untrusted"


class PrivacyClass(CheckedEnum):
    """Who may see what a reference stands for."""

    PUBLIC = "public"
    INTERNAL = "internal"
    CONTENT_REFS_ONLY = "content_refs_only"
    SENSITIVE = "sensitive"
    SECRET = "secret"  # noqa: S105  # a class of privacy


class RetentionClass(CheckedEnum):
    """How long what was delivered may be kept."""

    EPHEMERAL = "ephemeral"
    RUN_SCOPED = "run_scoped"
    SESSION_SCOPED = "session_scoped"
    DURABLE = "durable"
    PERSISTENT = "persistent"
    HOST_POLICY = "host_policy"


class CorrelationEntry(Wire):
    """One key and value that tie records and events of one matter together."""

    key: CorrelationKey
    value: CorrelationValue


class EventCorrelation(Wire):
    """The correlation entries of a message or event, in order."""

    entries: tuple[CorrelationEntry, ...] = ()


NO_CORRELATION: Final = EventCorrelation()


class PolicyRef(Wire, kw_only=True):
    """A policy that applies, by kind and id; its text lives elsewhere."""

    kind: PolicyKind = written(PolicyKind.HOST)
    id: ReferenceId
    version: str | None = None


class SourceRef(Wire):
    """Where something came from, and how far it is trusted."""

    kind: SourceKind
    id: ReferenceId
    trust: TrustClass = written(TrustClass.HOST_PROVIDED)
    privacy: PrivacyClass = written(PrivacyClass.CONTENT_REFS_ONLY)
    correlation: tuple[CorrelationEntry, ...] = ()
    redacted_summary: str | None = None


class EntityRef(Wire):
    """A thing that a record or event is about."""

    kind: EntityKind
    id: ReferenceId
    source: SourceRef | None = None
    privacy: PrivacyClass = written(PrivacyClass.CONTENT_REFS_ONLY)
    redacted_summary: str | None = None


def content_among(refs: Iterable[EntityRef]) -> str | None:
    """Find the last of the things referred to that is a body."""
    return next((ref.id for ref in reversed([*refs]) if ref.kind is EntityKind.CONTENT), None)


class DestinationRef(Wire):
    """Where something goes to, and how long it may be kept there."""

    kind: DestinationKind
    id: ReferenceId
    privacy: PrivacyClass = written(PrivacyClass.CONTENT_REFS_ONLY)
    retention: RetentionClass = written(RetentionClass.HOST_POLICY)
    correlation: tuple[CorrelationEntry, ...] = ()
    redacted_summary: str | None = None
