"""The whole error tree; nothing else reaches a caller. `agentpool` exports all of it.

::

    AgentPoolError                 .retry, .pool_id, .seq
    ├── InvalidValueError          (also a ValueError)           not_retryable
    ├── PoolNotOpenError                                         host_configuration_needed
    ├── PoolConfigConflictError                                  repair_needed
    ├── NotAMemberError                                          not_retryable
    │   └── MembershipLostError                                  not_retryable
    ├── NotEnoughMembersError      (also a TimeoutError)         retryable
    ├── NoRecipientError           .receipt                      retryable
    ├── NoAnswerError                                            retryable
    ├── ClaimLostError                                           not_retryable
    ├── ContentNotFoundError                                     not_retryable
    ├── IdempotencyConflictError                                 not_retryable
    ├── InvalidTransitionError                                   not_retryable
    ├── StoreBusyError                                           retryable
    ├── StoreFullError                                           retryable
    ├── StoreClosedError                                         not_retryable
    ├── CorruptRecordError                                       repair_needed
    ├── UnknownRecordError                                       user_action_needed
    ├── IncompatibleStoreError                                   user_action_needed
    └── StoreError                                               repair_needed

A foreign error (``sqlite3``, ``psycopg``, ``msgspec``) is translated where it is caught and kept
as the ``__cause__``. Messages name pool ids, sequence numbers and run, message and condition ids,
never the content of a message.
"""

from copy import copy
from enum import StrEnum
from typing import ClassVar, Final, NoReturn, Self, cast

__all__ = (
    "AgentPoolError",
    "AskOutcome",
    "CheckedEnum",
    "ClaimLostError",
    "ContentNotFoundError",
    "CorruptRecordError",
    "IdempotencyConflictError",
    "IncompatibleStoreError",
    "InvalidTransitionError",
    "InvalidValueError",
    "MembershipLostError",
    "NoAnswerError",
    "NotAMemberError",
    "NotEnoughMembersError",
    "PoolConfigConflictError",
    "PoolNotOpenError",
    "RetryClassification",
    "StoreBusyError",
    "StoreClosedError",
    "StoreError",
    "StoreFullError",
    "UnknownRecordError",
    "own_copy",
    "shown",
)

_SHOWN: Final = 42  # with its quotes


def shown(value: object) -> str:
    """Show a value within a line: both ends of a long one, for ids differ at the end.

    A class is shown by its name.
    """
    try:
        text = str(cast("type", value).__name__) if issubclass(type(value), type) else repr(value)
    except Exception:  # noqa: BLE001  # its own, or of an integer with too many digits to show
        return f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 18]}...{text[-15:]}"


class CheckedEnum(StrEnum):
    """The base of all enums: a value that is none of theirs is refused with an error of ours."""

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        msg = f"value: {shown(value)} is no {cls.__name__}; there are {', '.join(cls)}"
        raise InvalidValueError(msg)


class RetryClassification(CheckedEnum):
    """What a caller can do about an error."""

    RETRYABLE = "retryable"
    NOT_RETRYABLE = "not_retryable"
    REPAIR_NEEDED = "repair_needed"
    USER_ACTION_NEEDED = "user_action_needed"
    HOST_CONFIGURATION_NEEDED = "host_configuration_needed"


class AskOutcome(CheckedEnum):
    """How it ended that somebody asked.

    ``COMPLETE``: as many as expected have answered. ``TIMED_OUT``: the time was up first.
    ``NOBODY``: nobody received the question. ``INCOMPLETE``: all who received it have answered or
    left, and they are too few; or there were too few from the start, or it was cancelled.
    """

    COMPLETE = "complete"
    TIMED_OUT = "timed_out"
    NOBODY = "nobody"
    INCOMPLETE = "incomplete"


class AgentPoolError(Exception):
    """The root of every error of this library.

    :ivar pool_id: the pool that the failed call or record belongs to, where known
    :ivar seq: the sequence number of the record at fault, where known
    """

    retry: ClassVar[RetryClassification] = RetryClassification.NOT_RETRYABLE

    def __init__(self, message: str, *, pool_id: str | None = None, seq: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.pool_id = pool_id
        self.seq = seq

    def copy(self) -> Self:
        """Make the same error for another caller: each raise adds its own traceback."""
        own = copy(self)
        own.__cause__ = self.__cause__
        return own

    def in_pool(self, pool_id: str) -> None:
        """Name the pool that it is about, where whoever raised it could not."""
        if self.pool_id is None:
            self.pool_id = pool_id

    def __str__(self) -> str:
        place = []
        if self.pool_id is not None:
            place.append(f"pool {self.pool_id!r}")
        if self.seq is not None:
            place.append(f"record {self.seq}")
        return f"{', '.join(place)}: {self.message}" if place else self.message


class InvalidValueError(AgentPoolError, ValueError):
    """Raised when an argument is not what a call takes, or a value one that the format refuses.

    Also when a store, a pool or a member is used before it is opened.
    """


class PoolNotOpenError(AgentPoolError):
    """Raised when nothing ever opened this pool; ``open_pool()`` does."""

    retry = RetryClassification.HOST_CONFIGURATION_NEEDED


class PoolConfigConflictError(AgentPoolError):
    """Raised when a pool is opened with another config than the one it has."""

    retry = RetryClassification.REPAIR_NEEDED


class NotAMemberError(AgentPoolError):
    """Raised when a run takes part in a pool that it is not a member of."""


class MembershipLostError(NotAMemberError):
    """Raised when a block acts or waits for a run that it does not hold any more.

    Another block has taken the run over, it was let go, or its lease ran out and it is not to join
    again by itself.
    """


class NotEnoughMembersError(AgentPoolError, TimeoutError):
    """Raised when the members that were waited for had not all joined when the time was up."""

    retry = RetryClassification.RETRYABLE


class NoAnswerError(AgentPoolError):
    """Raised when a question that asks for one answer has ended without it.

    :ivar outcome: how it ended
    """

    retry = RetryClassification.RETRYABLE

    def __init__(
        self,
        message: str,
        *,
        outcome: AskOutcome = AskOutcome.INCOMPLETE,
        pool_id: str | None = None,
        seq: int | None = None,
    ) -> None:
        super().__init__(message, pool_id=pool_id, seq=seq)
        self.outcome = outcome


class ClaimLostError(AgentPoolError):
    """Raised when a message is acknowledged by a claim that is no longer the current one."""


class ContentNotFoundError(AgentPoolError):
    """Raised when a store is asked for content that it does not keep."""


class IdempotencyConflictError(AgentPoolError):
    """Raised when an idempotency key, or an id, was already used for something else."""


class InvalidTransitionError(AgentPoolError):
    """Raised when a message or wake is already past the status asked for."""


class StoreBusyError(AgentPoolError):
    """Raised when another process held the write lock for too long. Nothing was written.

    Also when a file cannot be opened because this process has too many open, and when a server is
    away, or has no connection left.
    """

    retry = RetryClassification.RETRYABLE


class StoreFullError(AgentPoolError):
    """Raised when the disk, or the file's own limit, is full. Nothing was written."""

    retry = RetryClassification.RETRYABLE


class StoreClosedError(AgentPoolError):
    """Raised when a store is used after ``aclose()``, after a fork or from another event loop.

    An event loop that is not asyncio's is always another.
    """


class CorruptRecordError(AgentPoolError):
    """Raised when a stored record cannot be read; other records and pools are unharmed."""

    retry = RetryClassification.REPAIR_NEEDED


class UnknownRecordError(AgentPoolError):
    """Raised when a stored record has a type that this version does not know."""

    retry = RetryClassification.USER_ACTION_NEEDED


class IncompatibleStoreError(AgentPoolError):
    """Raised when a file, or a schema on a server, cannot serve as a store.

    It is of something else, cannot be written, or comes from a newer version; the file lies on a
    mount where the write-ahead log is known to corrupt; the server refuses the role or its rights.
    """

    retry = RetryClassification.USER_ACTION_NEEDED


class StoreError(AgentPoolError):
    """Raised when the storage engine fails in any other way; its own error is the cause."""

    retry = RetryClassification.REPAIR_NEEDED


def own_copy(error: Exception) -> Exception:
    """Give an error that several callers are told of to one of them; see `AgentPoolError.copy`."""
    return error.copy() if isinstance(error, AgentPoolError) else error
