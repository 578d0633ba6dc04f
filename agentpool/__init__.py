"""Durable, shared coordination for pools of AI agents, in one SQLite file or on a server.

Start with `open_pool`, or with `open_store` and `AgentPool.open`. What stores promise is said by
`AgentPoolStore`; the one on a server, which needs the extra ``postgres``, is
`agentpool.stores.postgres.PostgresAgentPoolStore`. The errors are listed in `agentpool.errors`,
what stands in a log in `agentpool.wire.records`.
"""

# What users open
from agentpool.opening import open_pool, open_store

# What users hold
from agentpool.pool import AgentPool
from agentpool.member import MemberHandle
from agentpool.inbox import Inbox, Delivery
from agentpool.runtime.bodies import KeptBody, MessageBody
from agentpool.rules.asking import Answers
from agentpool.runtime.drafts import Draft
from agentpool.rules.dead import DeadLetter
from agentpool.rules.queues import Queue
from agentpool.rules.waits import WakeOutcome
from agentpool.rules.history import EventCursor
from agentpool.rules.summary import PoolSummary

# Explanations
from agentpool.rules.explaining.explanations import (
    AgentExplanation,
    Explained,
    Explanation,
    MessageExplanation,
    NothingFound,
    QueueExplanation,
    RunExplanation,
    WakeExplanation,
)
from agentpool.rules.explaining.finding import Explainable
from agentpool.rules.explaining.parts import (
    Alike,
    AnswerOwed,
    AnswersSeen,
    Awaited,
    ClaimSeen,
    InboxSeen,
    MessageSeen,
    Missed,
    NameKind,
    NearEvent,
    Presence,
    Recipient,
    RecipientState,
    Refused,
    StatusSeen,
    Unseen,
    WaitSeen,
    WhyUnseen,
)
from agentpool.rules.recipients import WhyNot

# Stores
from agentpool.stores.base import AgentPoolStore
from agentpool.stores.memory import InMemoryAgentPoolStore
from agentpool.stores.sqlite import SqliteAgentPoolStore

# Errors
from agentpool.errors import (
    AgentPoolError,
    AskOutcome,
    ClaimLostError,
    ContentNotFoundError,
    CorruptRecordError,
    IdempotencyConflictError,
    IncompatibleStoreError,
    InvalidTransitionError,
    InvalidValueError,
    MembershipLostError,
    NoAnswerError,
    NotAMemberError,
    NotEnoughMembersError,
    PoolConfigConflictError,
    PoolNotOpenError,
    RetryClassification,
    StoreBusyError,
    StoreClosedError,
    StoreError,
    StoreFullError,
    UnknownRecordError,
)

from agentpool.wire.refused import NoRecipientError

# Records
from agentpool.wire.records import (
    START,
    AgentPoolMember,
    AgentPoolMessagePolicy,
    AgentPoolStoreConfig,
    AgentPoolStoreCursor,
    AgentPoolStoredMessage,
    AgentPoolStoredWake,
    AgentPoolStoreRecord,
    AgentPoolStoreRecordPayload,
    AgentPoolWakePolicy,
    AgentTarget,
    MemberJoined,
    MemberLeft,
    MessageReceipt,
    MessageResponseContract,
    MessageStatus,
    PoolCreated,
    PoolOpened,
    PoolTarget,
    ResumeInputPolicy,
    RunAddress,
    RunAddressTarget,
    RunMessage,
    RunMessageRecorded,
    RunTarget,
    TopicTarget,
    UnknownRecord,
    WakeCondition,
    WakeRecorded,
    WakeRegistration,
    WakeRegistrationStatus,
)

# Events and filters
from agentpool.wire.event_kinds import TERMINAL_EVENT_KINDS, EventFamily, EventKind
from agentpool.wire.events import (
    CausalRef,
    ContentCaptureMode,
    EventDeliverySemantics,
    EventEnvelope,
)
from agentpool.wire.filters import (
    CompiledEventFilter,
    EventFilter,
    EventIndexField,
    PayloadAccessMode,
    SubscriberOverflowPolicy,
    SubscriberQueueConfig,
)
from agentpool.wire.struct import FilterSet, Include, include

# References
from agentpool.wire.refs import (
    CorrelationEntry,
    DestinationKind,
    DestinationRef,
    EntityKind,
    EntityRef,
    EventCorrelation,
    PolicyKind,
    PolicyRef,
    PrivacyClass,
    RetentionClass,
    SourceKind,
    SourceRef,
    TrustClass,
)

# Identifiers
from agentpool.wire.ids import (
    MAX_IDENTIFIER_BYTES,
    AgentId,
    AgentPoolId,
    ArchiveCursorId,
    AttemptId,
    ContentRef,
    ContextItemId,
    CorrelationKey,
    CorrelationValue,
    EventId,
    IdempotencyKey,
    JournalCursor,
    MessageId,
    RunId,
    SessionId,
    SpanId,
    TopicId,
    TraceId,
    TurnId,
    WakeConditionId,
)

# Encoding, and what a log means
from agentpool.wire.codec import decode, encode
from agentpool.rules.replay import replay
from agentpool.wire.snapshot import AgentPoolSnapshot

# The version of the distribution
from agentpool.support.version import __version__ as __version__

__all__ = (
    "MAX_IDENTIFIER_BYTES",
    "START",
    "TERMINAL_EVENT_KINDS",
    "AgentExplanation",
    "AgentId",
    "AgentPool",
    "AgentPoolError",
    "AgentPoolId",
    "AgentPoolMember",
    "AgentPoolMessagePolicy",
    "AgentPoolSnapshot",
    "AgentPoolStore",
    "AgentPoolStoreConfig",
    "AgentPoolStoreCursor",
    "AgentPoolStoreRecord",
    "AgentPoolStoreRecordPayload",
    "AgentPoolStoredMessage",
    "AgentPoolStoredWake",
    "AgentPoolWakePolicy",
    "AgentTarget",
    "Alike",
    "AnswerOwed",
    "Answers",
    "AnswersSeen",
    "ArchiveCursorId",
    "AskOutcome",
    "AttemptId",
    "Awaited",
    "CausalRef",
    "ClaimLostError",
    "ClaimSeen",
    "CompiledEventFilter",
    "ContentCaptureMode",
    "ContentNotFoundError",
    "ContentRef",
    "ContextItemId",
    "CorrelationEntry",
    "CorrelationKey",
    "CorrelationValue",
    "CorruptRecordError",
    "DeadLetter",
    "Delivery",
    "DestinationKind",
    "DestinationRef",
    "Draft",
    "EntityKind",
    "EntityRef",
    "EventCorrelation",
    "EventCursor",
    "EventDeliverySemantics",
    "EventEnvelope",
    "EventFamily",
    "EventFilter",
    "EventId",
    "EventIndexField",
    "EventKind",
    "Explainable",
    "Explained",
    "Explanation",
    "FilterSet",
    "IdempotencyConflictError",
    "IdempotencyKey",
    "InMemoryAgentPoolStore",
    "Inbox",
    "InboxSeen",
    "Include",
    "IncompatibleStoreError",
    "InvalidTransitionError",
    "InvalidValueError",
    "JournalCursor",
    "KeptBody",
    "MemberHandle",
    "MemberJoined",
    "MemberLeft",
    "MembershipLostError",
    "MessageBody",
    "MessageExplanation",
    "MessageId",
    "MessageReceipt",
    "MessageResponseContract",
    "MessageSeen",
    "MessageStatus",
    "Missed",
    "NameKind",
    "NearEvent",
    "NoAnswerError",
    "NoRecipientError",
    "NotAMemberError",
    "NotEnoughMembersError",
    "NothingFound",
    "PayloadAccessMode",
    "PolicyKind",
    "PolicyRef",
    "PoolConfigConflictError",
    "PoolCreated",
    "PoolNotOpenError",
    "PoolOpened",
    "PoolSummary",
    "PoolTarget",
    "Presence",
    "PrivacyClass",
    "Queue",
    "QueueExplanation",
    "Recipient",
    "RecipientState",
    "Refused",
    "ResumeInputPolicy",
    "RetentionClass",
    "RetryClassification",
    "RunAddress",
    "RunAddressTarget",
    "RunExplanation",
    "RunId",
    "RunMessage",
    "RunMessageRecorded",
    "RunTarget",
    "SessionId",
    "SourceKind",
    "SourceRef",
    "SpanId",
    "SqliteAgentPoolStore",
    "StatusSeen",
    "StoreBusyError",
    "StoreClosedError",
    "StoreError",
    "StoreFullError",
    "SubscriberOverflowPolicy",
    "SubscriberQueueConfig",
    "TopicId",
    "TopicTarget",
    "TraceId",
    "TrustClass",
    "TurnId",
    "UnknownRecord",
    "UnknownRecordError",
    "Unseen",
    "WaitSeen",
    "WakeCondition",
    "WakeConditionId",
    "WakeExplanation",
    "WakeOutcome",
    "WakeRecorded",
    "WakeRegistration",
    "WakeRegistrationStatus",
    "WhyNot",
    "WhyUnseen",
    "decode",
    "encode",
    "include",
    "open_pool",
    "open_store",
    "replay",
)
