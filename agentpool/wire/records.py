"""What can be in the log of a pool.

Rules of evolution: a field added to a stored struct is optional or a list that may be left out;
a field's type, name and default never change; a new kind of record is a new tag, which older
versions meet as `agentpool.UnknownRecordError` and leave untouched.
"""

from functools import lru_cache
from typing import Final, TypeAlias

from msgspec import field
from msgspec.structs import astuple, replace

from agentpool.errors import CheckedEnum, InvalidValueError, shown
from agentpool.wire.filters import CompiledEventFilter, EventFilter, filter_problem
from agentpool.wire.ids import (
    U32,
    U64,
    U64_MAX,
    AgentId,
    AgentPoolId,
    ContentRef,
    IdempotencyKey,
    JournalCursor,
    MessageId,
    RunId,
    TopicId,
    WakeConditionId,
    check_identifier,
    check_u64,
)
from agentpool.wire.refs import (
    NO_CORRELATION,
    DestinationKind,
    DestinationRef,
    EntityKind,
    EntityRef,
    EventCorrelation,
    PolicyRef,
)
from agentpool.wire.struct import Wire, trusted, written

__all__ = (
    "START",
    "AgentPoolMember",
    "AgentPoolMessagePolicy",
    "AgentPoolStoreConfig",
    "AgentPoolStoreCursor",
    "AgentPoolStoreRecord",
    "AgentPoolStoreRecordPayload",
    "AgentPoolStoredMessage",
    "AgentPoolStoredWake",
    "AgentPoolWakePolicy",
    "AgentTarget",
    "MemberJoined",
    "MemberLeft",
    "MessageReceipt",
    "MessageResponseContract",
    "MessageStatus",
    "PoolCreated",
    "PoolOpened",
    "PoolTarget",
    "ResumeInputPolicy",
    "RunAddress",
    "RunAddressTarget",
    "RunMessage",
    "RunMessageRecorded",
    "RunTarget",
    "TopicTarget",
    "UnknownRecord",
    "WakeCondition",
    "WakeRecorded",
    "WakeRegistration",
    "WakeRegistrationStatus",
    "address_problem",
    "record_at",
)


class MessageStatus(CheckedEnum):
    """How far a message has come. All but the first two are final."""

    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    RESPONDED = "responded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class WakeRegistrationStatus(CheckedEnum):
    """Whether a wake still waits; all but the first are final."""

    REGISTERED = "registered"
    TRIGGERED = "triggered"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    FAILED = "failed"


class ResumeInputPolicy(CheckedEnum):
    """What a woken run is given of the event that woke it."""

    MATCHING_EVENT_REFS = "matching_event_refs"
    REDACTED_SUMMARY = "redacted_summary"
    NONE = "none"


# --- the pool and its members


class AgentPoolMessagePolicy(Wire):
    """What a message needs to be delivered in a pool, and who hears a broadcast."""

    required_policy_refs: tuple[PolicyRef, ...] = ()
    include_sender_in_pool_broadcast: bool = written(default=False)


class AgentPoolWakePolicy(Wire):
    """Whether wakes may see no more of an event than its envelope."""

    envelope_only: bool = written(default=True)


class AgentPoolStoreConfig(Wire):
    """How a pool behaves; fixed when it is opened for the first time."""

    message_policy: AgentPoolMessagePolicy = written(AgentPoolMessagePolicy())
    wake_policy: AgentPoolWakePolicy = written(AgentPoolWakePolicy())
    policy_refs: tuple[PolicyRef, ...] = ()


class AgentPoolMember(Wire):
    """One run of an agent that takes part in a pool."""

    run_id: RunId
    agent_id: AgentId
    policy_refs: tuple[PolicyRef, ...] = ()
    topics: tuple[TopicId, ...] = ()

    def topic(self, topic_id: TopicId) -> "AgentPoolMember":
        """Give this member with one topic more.

        :raises InvalidValueError: it is no id
        """
        check_identifier(topic_id, "topic_id")
        return replace(self, topics=(*self.topics, topic_id))

    def policy_ref(self, policy_ref: PolicyRef) -> "AgentPoolMember":
        """Give this member with one policy more.

        :raises InvalidValueError: it is no `PolicyRef`
        """
        return replace(self, policy_refs=_with(self.policy_refs, policy_ref))

    def __repr__(self) -> str:
        return f"<AgentPoolMember {shown(self.run_id)} of {shown(self.agent_id)}>"


def _with(policy_refs: tuple[PolicyRef, ...], more: PolicyRef) -> tuple[PolicyRef, ...]:
    if not issubclass(type(more), PolicyRef):
        msg = f"policy_ref: expected PolicyRef, got {type(more).__name__}"
        raise InvalidValueError(msg)
    return (*policy_refs, more)


# --- messages


class RunTarget(Wire, tag="run", tag_field="type"):
    """One run."""

    run_id: RunId


class AgentTarget(Wire, tag="agent", tag_field="type"):
    """All runs of one agent."""

    agent_id: AgentId


class TopicTarget(Wire, tag="topic", tag_field="type"):
    """All runs that joined with one topic."""

    topic_id: TopicId


class PoolTarget(Wire, tag="pool", tag_field="type"):
    """All runs of a pool."""

    pool_id: AgentPoolId


RunAddressTarget: TypeAlias = RunTarget | AgentTarget | TopicTarget | PoolTarget


class RunAddress(Wire):
    """Whom a message is for: ``RunAddress.run(...)``, or one of the others below.

    They raise `InvalidValueError` for what is no identifier.
    """

    target: RunAddressTarget
    destination_ref: DestinationRef
    related_refs: tuple[EntityRef, ...] = ()

    @classmethod
    def run(cls, run_id: RunId) -> "RunAddress":
        """Address one run."""
        return _address(RunTarget, run_id)

    @classmethod
    def agent(cls, agent_id: AgentId) -> "RunAddress":
        """Address all runs of one agent, the sender too if it is one."""
        return _address(AgentTarget, agent_id)

    @classmethod
    def topic(cls, topic_id: TopicId) -> "RunAddress":
        """Address all runs that joined with one topic, the sender too if it did."""
        return _address(TopicTarget, topic_id)

    @classmethod
    def pool(cls, pool_id: AgentPoolId) -> "RunAddress":
        """Address all runs of a pool, without queues; the sender if the pool's policy says so."""
        return _address(PoolTarget, pool_id)


def _address(kind: type[RunAddressTarget], id_: str) -> RunAddress:
    if type(id_) is not str:  # it may be equal to one whose address is known, or have no hash
        check_identifier(id_, *kind.__struct_fields__)
    return _made(kind, id_)


_DESTINATIONS: Final[dict[type[RunAddressTarget], tuple[DestinationKind, EntityKind]]] = {
    RunTarget: (DestinationKind.AGENT, EntityKind.RUN),
    AgentTarget: (DestinationKind.AGENT, EntityKind.AGENT),
    TopicTarget: (DestinationKind.TOPIC, EntityKind.TOPIC),
    PoolTarget: (DestinationKind.AGENT_POOL, EntityKind.AGENT_POOL),
}


@lru_cache(maxsize=1024)
def _made(kind: type[RunAddressTarget], id_: str) -> RunAddress:
    """Build an address, once for those who write to the same few again and again: it is frozen."""
    check_identifier(id_, *kind.__struct_fields__)
    target = trusted(kind, id_)
    destination, entity = _DESTINATIONS[kind]
    address: RunAddress = trusted(
        RunAddress,
        target,
        trusted(DestinationRef, destination, id_),
        (trusted(EntityRef, entity, id_),),
    )
    return address


class MessageResponseContract(Wire):
    """How many answers a sender expects, and for how many milliseconds it waits for them."""

    expected_responses: U32
    timeout_millis: U64 | None = None

    def __post_init__(self) -> None:
        check_u64(self.timeout_millis, "timeout_millis")

    @classmethod
    def one_response(cls, timeout_millis: int | None = None) -> "MessageResponseContract":
        """Expect one answer, for so many milliseconds; without them, for ever.

        :raises InvalidValueError: it is no such number
        """
        return cls(1, timeout_millis)


class RunMessage(Wire, kw_only=True):
    """A message from a run. Its body is elsewhere; ``content_ref`` says where."""

    message_id: MessageId
    sender: RunId = field(name="from")
    to: RunAddress
    content_ref: ContentRef
    correlation: EventCorrelation = written(NO_CORRELATION)
    reply_to: MessageId | None = None
    response_contract: MessageResponseContract | None = None
    expires_at_millis: U64 | None = None
    idempotency_key: IdempotencyKey
    policy_refs: tuple[PolicyRef, ...] = ()

    def __post_init__(self) -> None:
        if self.expires_at_millis is not None:
            check_u64(self.expires_at_millis, "expires_at_millis")

    def policy_ref(self, policy_ref: PolicyRef) -> "RunMessage":
        """Give this message with one policy more, that its recipients have to carry.

        :raises InvalidValueError: it is no `PolicyRef`
        """
        return replace(self, policy_refs=_with(self.policy_refs, policy_ref))

    @classmethod
    def _misuse(cls, field: str, value: object) -> str | None:
        type_ = type(value)
        if field == "to":
            return address_problem(value)
        if field == "content_ref" and not issubclass(type_, str):
            return f"expected str, got {type_.__name__}; what is to be said is the body of `send`"
        return None

    def __repr__(self) -> str:
        to = _shown_target(self.to)
        return f"<RunMessage {shown(self.message_id)} from {shown(self.sender)} to {to}>"


def address_problem(value: object) -> str | None:
    """Say what is wrong with what is given for an address, or ``None`` when it is one."""
    type_ = type(value)
    if issubclass(type_, RunAddress):
        return None
    write = "RunAddress.run(id), .agent(id), .topic(id) or .pool(id)"
    if isinstance(vars(type_).get("address"), property):  # a `Queue`, which has one
        write = f"{type_.__name__.lower()}.address"
    return f"expected RunAddress, got {type_.__name__}; write {write}"


def _shown_target(to: RunAddress) -> str:
    if not (isinstance(to, RunAddress) and isinstance(to.target, RunAddressTarget)):
        return shown(to)  # changed behind its back
    return f"{to.target.__struct_config__.tag} {shown(*astuple(to.target))}"


class MessageReceipt(Wire):
    """How far a message has come, and which runs it was delivered to."""

    message_id: MessageId
    status: MessageStatus
    delivered_to: tuple[RunId, ...] = ()
    journal_cursor: JournalCursor | None = None


class AgentPoolStoredMessage(Wire):
    """A message with its latest receipt."""

    message: RunMessage
    receipt: MessageReceipt


# --- wakes


class WakeCondition(Wire, kw_only=True):
    """What a run waits for, for how many milliseconds, and what it wants to be given then."""

    condition_id: WakeConditionId
    run_id: RunId
    filter: EventFilter
    timeout_millis: U64 | None = None
    resume_with: ResumeInputPolicy = written(ResumeInputPolicy.MATCHING_EVENT_REFS)
    idempotency_key: IdempotencyKey
    policy_refs: tuple[PolicyRef, ...] = ()

    def __post_init__(self) -> None:
        check_u64(self.timeout_millis, "timeout_millis")

    @classmethod
    def _misuse(cls, field: str, value: object) -> str | None:
        return filter_problem(value) if field == "filter" else None


class WakeRegistration(Wire):
    """Whether a wake still waits, or how it ended."""

    condition_id: WakeConditionId
    run_id: RunId
    status: WakeRegistrationStatus
    journal_cursor: JournalCursor | None = None


class AgentPoolStoredWake(Wire):
    """A wake with its latest registration."""

    condition: WakeCondition
    compiled_filter: CompiledEventFilter
    registration: WakeRegistration


# --- records


class PoolOpened(Wire, tag="pool_opened", tag_field="type"):
    """The pool has this config from here on."""

    config: AgentPoolStoreConfig


class PoolCreated(Wire, tag="pool_created", tag_field="type"):
    """The pool came to life: its first member joined."""


class MemberJoined(Wire, tag="member_joined", tag_field="type"):
    """A run became a member, or changed what it joined with."""

    member: AgentPoolMember


class MemberLeft(Wire, tag="member_left", tag_field="type"):
    """A run is no longer a member."""

    member: AgentPoolMember


class RunMessageRecorded(Wire, tag="run_message", tag_field="type"):
    """A message has this status from here on."""

    stored: AgentPoolStoredMessage


class WakeRecorded(Wire, tag="wake", tag_field="type"):
    """A wake has this status from here on."""

    stored: AgentPoolStoredWake


class UnknownRecord(Wire, tag="agentpool.unknown", tag_field="type"):
    """A record of a type that this version does not know, as it stands in the log.

    Never written to a log; the tag is for those who encode what they have read.
    """

    kind: str
    payload_json: str


AgentPoolStoreRecordPayload: TypeAlias = (
    PoolOpened | PoolCreated | MemberJoined | MemberLeft | RunMessageRecorded | WakeRecorded
)


class AgentPoolStoreCursor(Wire):
    """A place in the log of a pool: the sequence number of the last record seen, 0 for none."""

    sequence: U64

    def __post_init__(self) -> None:
        if type(self.sequence) is not int or self.sequence > U64_MAX:
            check_u64(self.sequence, "sequence")


START: Final = AgentPoolStoreCursor(0)
"""The cursor before the first record."""


class AgentPoolStoreRecord(Wire):
    """One record with its place in the log of its pool."""

    pool_id: AgentPoolId
    cursor: AgentPoolStoreCursor
    payload: AgentPoolStoreRecordPayload | UnknownRecord


def record_at(
    pool_id: str, seq: int, payload: AgentPoolStoreRecordPayload | UnknownRecord
) -> AgentPoolStoreRecord:
    """Put a payload at its place in a log."""
    record: AgentPoolStoreRecord = trusted(
        AgentPoolStoreRecord, pool_id, trusted(AgentPoolStoreCursor, seq), payload
    )
    return record
