"""What explanations are made of. Times are in milliseconds of the store's clock, as its ``now``."""

from agentpool.errors import CheckedEnum
from agentpool.rules.recipients import WhyNot
from agentpool.wire.event_kinds import EventKind
from agentpool.wire.ids import EventId, IdempotencyKey, MessageId, RunId, WakeConditionId
from agentpool.wire.records import MessageStatus
from agentpool.wire.refs import PolicyRef
from agentpool.wire.struct import Wire, written

__all__ = (
    "Alike",
    "AnswerOwed",
    "AnswersSeen",
    "Awaited",
    "ClaimSeen",
    "InboxSeen",
    "MessageSeen",
    "Missed",
    "NameKind",
    "NearEvent",
    "Presence",
    "Recipient",
    "RecipientState",
    "Refused",
    "StatusSeen",
    "Unseen",
    "WaitSeen",
    "WhyUnseen",
)


class NameKind(CheckedEnum):
    """What a name is the name of."""

    RUN = "run"
    QUEUE = "queue"
    AGENT = "agent"
    TOPIC = "topic"
    WAKE = "wake"
    MESSAGE = "message"


class Alike(Wire):
    """A name that somebody may have meant, or may take for another.

    :ivar same_look: it looks the same: composed otherwise, or with characters that nobody sees
    """

    kind: NameKind
    name: str
    same_look: bool = written(default=False)


# --- messages


class StatusSeen(Wire):
    """A status of a message, and the record that says so.

    :ivar at: when that was, as far as it is known: of what another implementation appended, the
        time before it that is known, or ``None``
    """

    status: MessageStatus
    seq: int
    at: int | None = None


class RecipientState(CheckedEnum):
    """How a message stands with one of those who received it.

    ``WAITING``: it can be taken. ``DELAYED``: it comes into the inbox later. ``BACKING_OFF``: it
    was given back, or could not be read, and comes again later. ``CLAIMED``: somebody has it.
    ``ACKED``: it is done, or was thrown away. ``DEAD``: put aside after too many attempts.
    ``WITHDRAWN``: it is handed out no more, since it expired or was cancelled; or it was done
    before. ``EXPIRING``: it has expired, which is still to be recorded. ``KEPT``: an answer, kept
    with its question for who asked. ``COMING``: recorded, and not worked into the inboxes yet.
    """

    WAITING = "waiting"
    DELAYED = "delayed"
    BACKING_OFF = "backing_off"
    CLAIMED = "claimed"
    ACKED = "acked"
    DEAD = "dead"
    WITHDRAWN = "withdrawn"
    EXPIRING = "expiring"
    KEPT = "kept"
    COMING = "coming"


class Recipient(Wire, kw_only=True):
    """A run that received a message, and what has come of that.

    :ivar is_member: whether it is a member now
    :ivar attempts: how often it was claimed
    :ivar process: who has it under a claim, or had it last
    :ivar until: when it comes back, or comes at all, or its claim ends unless it is renewed
    :ivar answered: whether it has answered; ``None``: no answer is asked for, or that is not known
    :ivar answer: its answer, where that is kept
    """

    run_id: RunId
    state: RecipientState
    is_member: bool
    attempts: int = written(0)
    process: str | None = None
    until: int | None = None
    answered: bool | None = None
    answer: MessageId | None = None


class Missed(Wire, kw_only=True):
    """A run that did not receive a message.

    :ivar policy_refs: the policies that it, or the message, lacks
    :ivar alike: what it has that looks like what it lacks: its own id, its agent's, or a topic
    """

    run_id: RunId
    why: WhyNot
    policy_refs: tuple[PolicyRef, ...] = ()
    alike: str | None = None


class AnswersSeen(Wire, kw_only=True):
    """The answers to a message that asks for some.

    :ivar expected: how many it waits for
    :ivar answered: who has answered in time, as far as that is known
    :ivar missing: who received it, is a member, and has not answered
    :ivar left: who received it, has not answered, and has left
    :ivar answered_in_all: how many those are, as ``missing_in_all`` and ``left_in_all``
    :ivar late: how many came too late, or beyond what was expected
    :ivar is_open: whether it still waits
    :ivar deadline: when it waits no more; ``None``: that is not bounded, or over
    """

    expected: int
    answered: tuple[RunId, ...] = ()
    missing: tuple[RunId, ...] = ()
    left: tuple[RunId, ...] = ()
    answered_in_all: int = written(0)
    missing_in_all: int = written(0)
    left_in_all: int = written(0)
    late: int = written(0)
    is_open: bool = written(default=False)
    deadline: int | None = None


# --- inboxes


class ClaimSeen(Wire, kw_only=True):
    """A message under a claim.

    :ivar inbox: the run in whose inbox it is
    :ivar seq: the record that delivered it
    :ivar message_id: its id, ``idempotency_key`` its key; ``None``: its record cannot be read
    :ivar process: who claimed it
    :ivar until: when the claim ends unless it is renewed
    """

    inbox: RunId
    seq: int
    message_id: MessageId | None = None
    idempotency_key: IdempotencyKey | None = None
    process: str
    attempt: int
    until: int


class MessageSeen(Wire, kw_only=True):
    """A message in an inbox.

    :ivar seq: the record that delivered it
    :ivar message_id: its id, ``idempotency_key`` its key; ``None``: its record cannot be read
    :ivar at: when it was delivered; ``None``: that is not known
    """

    seq: int
    message_id: MessageId | None = None
    idempotency_key: IdempotencyKey | None = None
    at: int | None = None


class InboxSeen(Wire, kw_only=True):
    """How much is in an inbox, by what there is to say of it.

    :ivar is_all: whether all of it was counted; else these are the first
    """

    waiting: int = written(0)
    delayed: int = written(0)
    backing_off: int = written(0)
    claimed: int = written(0)
    expiring: int = written(0)
    dead: int = written(0)
    is_all: bool = written(default=True)
    oldest: MessageSeen | None = None

    @property
    def unread(self) -> int:
        """How many are not done: all but those that were put aside."""
        return self.waiting + self.delayed + self.backing_off + self.claimed + self.expiring


# --- runs


class Presence(CheckedEnum):
    """Whether a run is here.

    ``HERE``: a process holds it. ``UNHELD``: it is a member, and no process holds it: it stays, or
    joined without a lease. ``AWAY``: its lease ran out, and its holder may come back. ``LEFT``: it
    was a member.
    """

    HERE = "here"
    UNHELD = "unheld"
    AWAY = "away"
    LEFT = "left"


class Awaited(Wire, kw_only=True):
    """A run that another waits for: one arrow of a picture of who waits for whom.

    :ivar message_id: the question that it has not answered; ``None``: it is a wake that waits
    :ivar condition_id: the wake that its events can end; ``None``: it is a question
    :ivar is_member: whether it is a member now
    :ivar until: how long that waits; ``None``: for ever
    """

    run_id: RunId
    message_id: MessageId | None = None
    condition_id: WakeConditionId | None = None
    is_member: bool
    until: int | None = None


class AnswerOwed(Wire, kw_only=True):
    """An answer that another waits for.

    :ivar asker: who has asked; ``None``: the question cannot be read
    :ivar until: how long it waits; ``None``: for ever
    """

    message_id: MessageId
    asker: RunId | None = None
    until: int | None = None


class WaitSeen(Wire, kw_only=True):
    """A wake that still waits.

    :ivar waits_for: its filter in words
    :ivar until: when its time is up; ``None``: never
    """

    condition_id: WakeConditionId
    waits_for: str
    until: int | None = None


# --- wakes


class WhyUnseen(CheckedEnum):
    """Why a wake does not see an event, or those of a run, whatever its filter says.

    ``NOT_A_MEMBER``: the run is none. ``LACKS_POLICIES``: it does not carry those of the pool.
    ``OUT_OF_SCOPE``: it was not seen when the wake was registered, and has not joined since.
    ``OF_A_WAKE``: what becomes of a wake ends none.
    """

    NOT_A_MEMBER = "not_a_member"
    LACKS_POLICIES = "lacks_policies"
    OUT_OF_SCOPE = "out_of_scope"
    OF_A_WAKE = "of_a_wake"


class Unseen(Wire, kw_only=True):
    """A run or agent that a filter names, and whose events cannot end the wake as things are.

    :ivar policy_refs: the policies that it lacks
    :ivar alike: members that may be meant
    """

    kind: NameKind
    name: str
    why: WhyUnseen
    policy_refs: tuple[PolicyRef, ...] = ()
    alike: tuple[str, ...] = ()


class NearEvent(Wire, kw_only=True):
    """An event that came while a wake waited, and did not end it.

    :ivar seq: the record that it is, or came after
    :ivar at: when it was recorded, as events say it
    :ivar refused_by: the fields of the filter that refuse it
    :ivar unseen: why the wake does not see it
    """

    event_id: EventId
    event_kind: EventKind
    run_id: RunId
    seq: int
    at: str
    refused_by: tuple[str, ...] = ()
    unseen: WhyUnseen | None = None


class Refused(Wire):
    """How many of the events that were looked at were refused by one thing.

    :ivar by: a field of the filter, or a `WhyUnseen`
    """

    by: str
    events: int
