"""What may be appended to a log: each command decides on the current state of its pool.

Pure: a command looks at a `PoolView` and returns a `Decision`; it never waits, reads a clock or
changes anything. A store calls `decide()` inside its write transaction and appends what it says,
so two processes can never both win. A refused command raises and appends nothing.
"""

from collections.abc import Iterable
from typing import ClassVar, Final, TypeVar, cast

from agentpool.errors import (
    IdempotencyConflictError,
    InvalidTransitionError,
    InvalidValueError,
    NotAMemberError,
    PoolConfigConflictError,
    PoolNotOpenError,
)
from agentpool.rules.command import Command, Decision, LookUps, Placed, PoolView
from agentpool.wire.filters import CompiledEventFilter
from agentpool.wire.ids import U64_MAX, check_identifier
from agentpool.wire.payload import SealedPayload, seal
from agentpool.wire.records import (
    AgentPoolMember,
    AgentPoolStoreConfig,
    AgentPoolStoreCursor,
    AgentPoolStoredMessage,
    AgentPoolStoredWake,
    MemberJoined,
    MemberLeft,
    MessageReceipt,
    MessageStatus,
    PoolCreated,
    PoolOpened,
    RunMessage,
    RunMessageRecorded,
    WakeCondition,
    WakeRecorded,
    WakeRegistration,
    WakeRegistrationStatus,
)
from agentpool.wire.struct import trusted

__all__ = (
    "JoinMember",
    "LeaveMember",
    "NextEventSequence",
    "OpenPool",
    "RecordMessage",
    "RecordPoolCreated",
    "RecordWake",
)


T = TypeVar("T")


def require_open(view: PoolView) -> AgentPoolStoreConfig:
    """Give the config of an opened pool.

    :raises PoolNotOpenError: nothing opened it
    """
    config = view.config
    if config is None:
        msg = "nothing opened this pool; open_pool() does"
        raise PoolNotOpenError(msg, pool_id=view.pool_id)
    return config


def require_member(view: PoolView, run_id: str) -> AgentPoolMember:
    """Give a member by its run.

    :raises NotAMemberError: the run is not a member
    """
    member = view.state.members.get(run_id)
    if member is None:
        msg = f"run {run_id!r} is not a member"
        raise NotAMemberError(msg, pool_id=view.pool_id)
    return member


def require_type(value: object, type_: type, name: str) -> None:
    """Refuse an argument of another type.

    :raises InvalidValueError: naming the argument
    """
    if not isinstance(value, type_):
        msg = f"{name}: expected {type_.__name__}, got {type(value).__name__}"
        raise InvalidValueError(msg)


def checked_sequence(values: Iterable[T], name: str) -> tuple[T, ...]:
    """Make a tuple of what a caller gives for a list.

    :raises InvalidValueError: it is no list, or a string, which would be one of characters
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        msg = f"{name}: expected a sequence, got {type(values).__name__}"
        raise InvalidValueError(msg)
    return tuple(values)


def checked_cursor(cursor: AgentPoolStoreCursor | None) -> AgentPoolStoreCursor | None:
    """Refuse what is neither a cursor nor ``None``.

    :raises InvalidValueError: saying what it is
    """
    if cursor is not None:
        require_type(cursor, AgentPoolStoreCursor, "cursor")
        if not isinstance(cursor.sequence, int) or not 0 <= cursor.sequence <= U64_MAX:
            msg = f"cursor: {cursor.sequence!r} is no place in a log"
            raise InvalidValueError(msg)
    return cursor


def cursor_at(seq: int) -> AgentPoolStoreCursor:
    """Make the cursor of a record."""
    cursor: AgentPoolStoreCursor = trusted(AgentPoolStoreCursor, seq)
    return cursor


def _append(view: PoolView, record: SealedPayload) -> Decision[AgentPoolStoreCursor]:
    return Decision(cursor_at(view.head + 1), (record,))


class OpenPool(Command[AgentPoolStoreConfig]):
    """Open a pool with a config; without one, with the default or the one that it has."""

    def __init__(self, config: AgentPoolStoreConfig | None = None) -> None:
        if config is not None:
            require_type(config, AgentPoolStoreConfig, "config")
        self._any = config is None
        self._record = seal(trusted(PoolOpened, config or AgentPoolStoreConfig()))
        self._config = cast("PoolOpened", self._record.payload).config

    def decide(self, view: PoolView) -> Decision[AgentPoolStoreConfig]:
        has = view.config
        if has is None:
            return Decision(self._config, (self._record,))
        if not self._any and self._config != has:
            msg = "the pool was opened before with another config"
            raise PoolConfigConflictError(msg, pool_id=view.pool_id)
        return Decision(has)


class RecordPoolCreated(Command[AgentPoolStoreCursor]):
    """Record once that the pool came to life."""

    _RECORD: ClassVar = seal(PoolCreated())

    def decide(self, view: PoolView) -> Decision[AgentPoolStoreCursor]:
        require_open(view)
        if view.state.created_at is not None:
            return Decision(cursor_at(view.state.created_at))
        return _append(view, self._RECORD)


class JoinMember(Command[AgentPoolStoreCursor]):
    """Let a run join, or replace what it joined with."""

    def __init__(self, member: AgentPoolMember) -> None:
        require_type(member, AgentPoolMember, "member")
        self._record = seal(trusted(MemberJoined, member))
        self._member = cast("MemberJoined", self._record.payload).member

    def decide(self, view: PoolView) -> Decision[AgentPoolStoreCursor]:
        require_open(view)
        run_id = self._member.run_id
        if view.state.members.get(run_id) == self._member:
            return Decision(cursor_at(view.state.joined_at[run_id]))
        return _append(view, self._record)


class LeaveMember(Command[tuple[AgentPoolMember, AgentPoolStoreCursor]]):
    """Let a member leave."""

    def __init__(self, run_id: str) -> None:
        check_identifier(run_id, "run_id")
        self._run_id = run_id

    def decide(self, view: PoolView) -> Decision[tuple[AgentPoolMember, AgentPoolStoreCursor]]:
        require_open(view)
        member = require_member(view, self._run_id)
        return Decision((member, cursor_at(view.head + 1)), (seal(MemberLeft(member)),))


# From each status to those that may follow it; the rest are final.
MESSAGE_STEPS: Final = {
    MessageStatus.ACCEPTED: frozenset(MessageStatus) - {MessageStatus.ACCEPTED},
    MessageStatus.DELIVERED: frozenset(MessageStatus)
    - {MessageStatus.ACCEPTED, MessageStatus.DELIVERED},
}
WAKE_STEPS: Final = {
    WakeRegistrationStatus.REGISTERED: frozenset(WakeRegistrationStatus)
    - {WakeRegistrationStatus.REGISTERED},
}


class RecordMessage(Command[AgentPoolStoreCursor]):
    """Record a message with a status.

    A retry gets the place of the record that is there: the same record again, or the same sender,
    target and content under the same key with a new message id.
    """

    def __init__(self, message: RunMessage, receipt: MessageReceipt) -> None:
        require_type(message, RunMessage, "message")
        require_type(receipt, MessageReceipt, "receipt")
        stored = trusted(AgentPoolStoredMessage, message, receipt)
        self._record = seal(trusted(RunMessageRecorded, stored))
        if receipt.message_id != message.message_id:
            msg = f"the receipt is for another message than {message.message_id!r}"
            raise InvalidValueError(msg)
        sealed = cast("RunMessageRecorded", self._record.payload).stored
        self._message, self._receipt = sealed.message, sealed.receipt
        self.looks_up = LookUps(message_keys=(message.idempotency_key,))

    def decide(self, view: PoolView) -> Decision[AgentPoolStoreCursor]:
        require_open(view)
        known = earlier_message(view, self._message)
        if known is None:
            return _append(view, self._record)
        receipt = known.stored.receipt
        is_retry = known.stored.message.message_id != self._message.message_id
        if is_retry or receipt == self._receipt:
            return Decision(cursor_at(known.seq))
        if self._receipt.status not in MESSAGE_STEPS.get(receipt.status, ()):
            msg = (
                f"message {self._message.message_id!r} is {receipt.status},"
                f" it cannot become {self._receipt.status}"
            )
            raise InvalidTransitionError(msg, pool_id=view.pool_id, seq=known.seq)
        return _append(view, self._record)


def earlier_message(view: PoolView, message: RunMessage) -> Placed[AgentPoolStoredMessage] | None:
    """Find the message that this one's idempotency key already stands for.

    :raises IdempotencyConflictError: its key stands for another sender, target or content
    """
    known = view.message_by_key(message.idempotency_key)
    if known is None:
        return None
    earlier = known.stored.message
    if (earlier.sender, earlier.to.target, earlier.content_ref) != (
        message.sender,
        message.to.target,
        message.content_ref,
    ):
        msg = (
            f"the idempotency key of message {message.message_id!r} was used by message"
            f" {earlier.message_id!r} with another sender, target or content"
        )
        raise IdempotencyConflictError(msg, pool_id=view.pool_id, seq=known.seq)
    return known


class RecordWake(Command[AgentPoolStoreCursor]):
    """Record a wake with a status. The first final status stays."""

    def __init__(
        self,
        condition: WakeCondition,
        compiled_filter: CompiledEventFilter,
        registration: WakeRegistration,
    ) -> None:
        require_type(condition, WakeCondition, "condition")
        require_type(compiled_filter, CompiledEventFilter, "compiled_filter")
        require_type(registration, WakeRegistration, "registration")
        stored = trusted(AgentPoolStoredWake, condition, compiled_filter, registration)
        self._record = seal(trusted(WakeRecorded, stored))
        if (registration.condition_id, registration.run_id) != (
            condition.condition_id,
            condition.run_id,
        ):
            msg = f"the registration is for another wake than {condition.condition_id!r}"
            raise InvalidValueError(msg)
        sealed = cast("WakeRecorded", self._record.payload).stored
        self._condition, self._registration = sealed.condition, sealed.registration
        self.looks_up = LookUps(
            wake_keys=(condition.idempotency_key,), condition_ids=(condition.condition_id,)
        )

    def decide(self, view: PoolView) -> Decision[AgentPoolStoreCursor]:
        require_open(view)
        known = earlier_wake(view, self._condition)
        if known is None:
            return _append(view, self._record)
        registration = known.stored.registration
        is_retry = known.stored.condition.condition_id != self._condition.condition_id
        if is_retry or registration == self._registration:
            return Decision(cursor_at(known.seq))
        if self._registration.status not in WAKE_STEPS.get(registration.status, ()):
            msg = (
                f"wake {self._condition.condition_id!r} is {registration.status},"
                f" it cannot become {self._registration.status}"
            )
            raise InvalidTransitionError(msg, pool_id=view.pool_id, seq=known.seq)
        return _append(view, self._record)


def earlier_wake(view: PoolView, condition: WakeCondition) -> Placed[AgentPoolStoredWake] | None:
    """Find the wake that this condition's idempotency key already stands for.

    :raises IdempotencyConflictError: its key or id stands for another run or filter
    """
    known = view.wake_by_key(condition.idempotency_key)
    if known is None:
        known = view.wake(condition.condition_id)
        if known is not None:
            msg = f"condition id {condition.condition_id!r} was used with another idempotency key"
            raise IdempotencyConflictError(msg, pool_id=view.pool_id, seq=known.seq)
        return None
    earlier = known.stored.condition
    if (earlier.run_id, earlier.filter) != (condition.run_id, condition.filter):
        msg = (
            f"the idempotency key of wake {condition.condition_id!r} was used by wake"
            f" {earlier.condition_id!r} of another run or filter"
        )
        raise IdempotencyConflictError(msg, pool_id=view.pool_id, seq=known.seq)
    return known


class NextEventSequence(Command[int]):
    """Take the next number for an event; needs no opened pool."""

    def decide(self, view: PoolView) -> Decision[int]:
        number = view.event_sequence + 1
        return Decision(number, event_sequence=number)
