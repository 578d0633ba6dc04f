"""The rows of a coordinated pool: their keys and the values that they hold."""

from typing import Final, TypeVar

from agentpool.errors import CorruptRecordError, InvalidValueError
from agentpool.rules.command import DEADLINE, INBOX, PoolView, Row, RowKey
from agentpool.wire.codec import decode, encode
from agentpool.wire.event_kinds import EventKind
from agentpool.wire.events import EventEnvelope
from agentpool.wire.ids import I64_MAX, EventId, IdempotencyKey, RunId
from agentpool.wire.refs import EntityRef
from agentpool.wire.struct import Wire, written

__all__ = (
    "ACCEPTED",
    "ANSWER",
    "ASKED",
    "AWAY",
    "CAUSE",
    "CONTRACT",
    "DEAD",
    "EVENT",
    "EVENT_ID",
    "EXPIRY",
    "LATE",
    "LEASE",
    "NEVER",
    "OWING",
    "OWING_LEFT",
    "PUBLISHED",
    "RESPONSE",
    "WAKE",
    "Asked",
    "Contract",
    "HostEvent",
    "InboxEntry",
    "Lease",
    "WakeCause",
    "asked_key",
    "contract_key",
    "deadline",
    "deadline_key",
    "inbox_key",
    "load",
    "number_in",
    "put",
    "unread",
    "value_of",
)

W = TypeVar("W", bound=Wire)

_MOST_DIGITS: Final = 18

ANSWER: Final = "answer"
ASKED: Final = "asked"
CONTRACT: Final = "contract"
LATE: Final = "late"
OWING: Final = "owing"
OWING_LEFT: Final = "owing_left"
EVENT: Final = "event"
EVENT_ID: Final = "event_id"
CAUSE: Final = "cause"
DEAD: Final = "dead"

AWAY: Final = "away"
LEASE: Final = "lease"
WAKE: Final = "wake"
RESPONSE: Final = "response"
EXPIRY: Final = "expiry"
ACCEPTED: Final = "accepted"
PUBLISHED: Final = "published"

NEVER: Final = I64_MAX
"""Nobody waits that long."""


class InboxEntry(Wire):
    """An unacknowledged message of one run; the row's ``due_at`` is when it can be taken.

    While it is claimed that is the end of the claim's lease, so an expired claim needs no
    clearing. ``attempt`` counts the claims and, with ``undone``, fences off those that are no
    longer current.

    :ivar expires_at: when the message expires; ``None``: never, or only the message tells
    :ivar forgiven: how many of the attempts do not count
    :ivar undone: how many claims were undone, whose numbers others have got since
    """

    attempt: int = written(0)
    claimed_by: str | None = None
    expires_at: int | None = None
    forgiven: int = 0
    undone: int = 0

    @property
    def tries(self) -> int:
        """How many attempts count."""
        return self.attempt - self.forgiven


UNREAD: Final = encode(InboxEntry()).decode()
"""The value of the row of a message that nobody has claimed yet."""


def unread(expires_at: int | None) -> str:
    """Give the value of the row of a message that nobody has claimed yet."""
    return UNREAD if expires_at is None else encode(InboxEntry(expires_at=expires_at)).decode()


class Lease(Wire):
    """Who holds a run, and for how long without a heartbeat.

    :ivar epoch: the block that holds it; ``None``: none does
    :ivar process: the name of its process
    :ivar millis: ``None``: it never runs out
    :ivar missed: how many heartbeats it was given time for since the last
    """

    epoch: str | None = None
    process: str | None = None
    millis: int | None = None
    missed: int = written(0)


class Contract(Wire):
    """The answers that a message waits for, while it does.

    Each recipient that has not answered has a row `OWING`, or `OWING_LEFT` while it is gone; here
    they are only counted, so that an answer costs the same however many there are.

    :ivar recipients: how many runs received the message
    :ivar answered: how many of them have answered
    :ivar left: how many of those that have not are gone
    :ivar asker: the run for whom the answers are kept, out of its inbox
    :ivar number: of the record that delivered the message
    """

    idempotency_key: IdempotencyKey
    expected: int
    recipients: int
    answered: int = 0
    left: int = 0
    asker: RunId | None = None
    number: int = 0

    @property
    def unanswered(self) -> int:
        """How many recipients have not answered."""
        return self.recipients - self.answered

    def owed_by(self, run_id: str, kind: str = OWING) -> RowKey:
        """Name the row that says that a run has not answered."""
        return RowKey(kind, run_id, self.number)


class Asked(Wire):
    """A question whose answers are kept for whoever asks it again.

    :ivar idempotency_key: ``None``: the same as its id, as most have it
    :ivar answers: the records of the first that came in time; others have rows `ANSWER`
    :ivar late_to_inbox: whether others go to the inbox, and are not kept
    """

    idempotency_key: IdempotencyKey | None = None
    answers: tuple[int, ...] = ()
    late_to_inbox: bool = False

    def key(self, message_id: str) -> str:
        """Give its idempotency key."""
        return self.idempotency_key or message_id


class HostEvent(Wire):
    """A published event, and the last record that was in the log before it.

    :ivar visible: whether its run was a member that carried the pool's policies
    """

    after: int
    envelope: EventEnvelope
    visible: bool


class WakeCause(Wire):
    """What is kept of the event that triggered a wake."""

    event_id: EventId
    event_kind: EventKind
    subject_ref: EntityRef
    related_refs: tuple[EntityRef, ...] = ()


def number_in(text: str) -> int | None:
    """Read the number of a record or event that a row names; ``None``: another program wrote it."""
    if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS:
        return int(text)
    return None


def inbox_key(run_id: str, seq: int) -> RowKey:
    """Name the row of a message, by the record that delivered it, in the inbox of a run."""
    return RowKey(INBOX, run_id, seq)


def contract_key(message_id: str) -> RowKey:
    """Name the row of the answers to a message."""
    return RowKey(CONTRACT, message_id)


def asked_key(message_id: str) -> RowKey:
    """Name the row of a question whose answers are kept."""
    return RowKey(ASKED, message_id)


def deadline_key(what: str, subject: str) -> RowKey:
    """Name the row that says when something becomes due."""
    # One row for a thing: setting its deadline again moves it.
    return RowKey(DEADLINE, f"{what} {subject}")


def deadline(what: str, subject: str, due_at: int) -> Row:
    """Make something due at a time, in milliseconds of the Unix epoch."""
    return Row(deadline_key(what, subject), due_at=min(due_at, NEVER))


def put(key: RowKey, value: Wire, due_at: int = 0) -> Row:
    """Make a row that holds a value."""
    return Row(key, encode(value).decode(), min(due_at, NEVER))


def value_of(row: Row, type_: type[W]) -> W:
    """Read the value of a row.

    :raises CorruptRecordError: it is no such value
    """
    try:
        return decode(row.value, type_)
    except InvalidValueError as error:
        msg = f"the row of kind {row.key.kind!r} named {row.key.name!r} is damaged: {error.message}"
        raise CorruptRecordError(msg) from error


def load(view: PoolView, key: RowKey, type_: type[W]) -> W | None:
    """Look up the value of a row; ``None`` where there is none."""
    row = view.row(key)
    return None if row is None else value_of(row, type_)
