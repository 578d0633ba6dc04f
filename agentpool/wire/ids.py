"""Identifiers, and the bounds of integers, as the wire format has them.

An identifier is a string of 1 to 512 bytes of UTF-8 without a control character (Unicode category
Cc: U+0000-001F and U+007F-009F). To a type checker every identifier type is a plain ``str``; the
distinct names say which one is meant.
"""

from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from agentpool.errors import InvalidValueError, shown

__all__ = (
    "I64_MAX",
    "I64_MIN",
    "MAX_IDENTIFIER_BYTES",
    "U16",
    "U32",
    "U64",
    "U64_MAX",
    "AgentId",
    "AgentPoolId",
    "ArchiveCursorId",
    "AttemptId",
    "ContentRef",
    "ContextItemId",
    "CorrelationKey",
    "CorrelationValue",
    "EventId",
    "IdempotencyKey",
    "JournalCursor",
    "MessageId",
    "NonZeroU64",
    "ReferenceId",
    "RunId",
    "SessionId",
    "SpanId",
    "TopicId",
    "TraceId",
    "TurnId",
    "WakeConditionId",
    "check_identifier",
    "check_u64",
    "identifier_problem",
)

MAX_IDENTIFIER_BYTES: Final = 512
U64_MAX: Final = 2**64 - 1
I64_MIN: Final = -(2**63)
I64_MAX: Final = 2**63 - 1
"""The largest integer that SQLite keeps exactly: no row has a larger number, nor a later time."""

# The length bound in characters is what msgspec can check while it decodes; bytes and control
# characters are checked by `identifier_problem` where a value could hold any that matter.
Identifier: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=MAX_IDENTIFIER_BYTES, extra={"identifier": True})
]

RunId: TypeAlias = Identifier
AgentId: TypeAlias = Identifier
AgentPoolId: TypeAlias = Identifier
TopicId: TypeAlias = Identifier
MessageId: TypeAlias = Identifier
WakeConditionId: TypeAlias = Identifier
ContentRef: TypeAlias = Identifier
IdempotencyKey: TypeAlias = Identifier
EventId: TypeAlias = Identifier
TurnId: TypeAlias = Identifier
AttemptId: TypeAlias = Identifier
SessionId: TypeAlias = Identifier
ContextItemId: TypeAlias = Identifier
TraceId: TypeAlias = Identifier
SpanId: TypeAlias = Identifier
CorrelationKey: TypeAlias = Identifier
CorrelationValue: TypeAlias = Identifier
JournalCursor: TypeAlias = Identifier
ArchiveCursorId: TypeAlias = Identifier
ReferenceId: TypeAlias = Identifier

# msgspec bounds fit an int64 only, so the upper bound of a u64 is checked by `check_u64`.
U64: TypeAlias = Annotated[int, Meta(ge=0)]
NonZeroU64: TypeAlias = Annotated[int, Meta(ge=1)]
U32: TypeAlias = Annotated[int, Meta(ge=0, le=2**32 - 1)]
U16: TypeAlias = Annotated[int, Meta(ge=0, le=2**16 - 1)]


def identifier_problem(value: str) -> str | None:
    """Say what makes a string no identifier, or ``None`` when it is one."""
    if type(value) is not str:
        return f"identifier is a {type(value).__name__}, not a plain string"
    if not value:
        return "identifier is empty"
    if value.isascii():
        size = len(value)
    else:
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            return "identifier is not valid UTF-8"
    if size > MAX_IDENTIFIER_BYTES:
        return f"identifier length {size} exceeds {MAX_IDENTIFIER_BYTES} bytes of UTF-8"
    if not value.isprintable():
        for index, char in enumerate(value):
            if char < " " or "\x7f" <= char <= "\x9f":
                return f"identifier contains control character U+{ord(char):04X} at index {index}"
    return None


def check_identifier(value: str, name: str) -> None:
    """Refuse a value that is no identifier.

    :raises InvalidValueError: naming ``name`` and what is wrong
    """
    if not issubclass(type(value), str):
        msg = f"{name}: expected a string, got {type(value).__name__}"
        raise InvalidValueError(msg)
    problem = identifier_problem(value)
    if problem is not None:
        msg = f"{name}: {problem}"
        raise InvalidValueError(msg)


def check_u64(value: int | None, name: str) -> None:
    """Refuse an integer above the largest u64.

    :raises ValueError: a plain one: msgspec adds the path when it comes out of decoding
    """
    # One of a type of its own is brought into form before it is looked at.
    if type(value) is int and value > U64_MAX:
        msg = f"{name}: {shown(value)} exceeds the largest unsigned 64-bit integer"
        raise ValueError(msg)
