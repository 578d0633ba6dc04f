"""Explanations: why a message, a wake, a run or a queue is as it is, as data and in words."""

from typing import Final, TypeAlias

from agentpool.rules.explaining.parts import (
    Alike,
    AnswerOwed,
    AnswersSeen,
    Awaited,
    ClaimSeen,
    InboxSeen,
    Missed,
    NameKind,
    NearEvent,
    Presence,
    Recipient,
    Refused,
    StatusSeen,
    Unseen,
    WaitSeen,
)
from agentpool.wire.event_kinds import EventKind
from agentpool.wire.filters import EventFilter
from agentpool.wire.ids import (
    AgentId,
    EventId,
    IdempotencyKey,
    MessageId,
    RunId,
    TopicId,
    WakeConditionId,
)
from agentpool.wire.records import MessageStatus, RunAddressTarget, WakeRegistrationStatus
from agentpool.wire.refs import PolicyRef
from agentpool.wire.struct import Wire

__all__ = (
    "MOST_LISTED",
    "AgentExplanation",
    "Explained",
    "Explanation",
    "MessageExplanation",
    "NothingFound",
    "QueueExplanation",
    "RunExplanation",
    "WakeExplanation",
)

MOST_LISTED: Final = 100
"""The most that a list of an explanation has; beside it stands how many there are."""


class Explained(Wire, kw_only=True):
    """What all explanations have; as text they are their words, line by line.

    :ivar pool_id: the pool that was looked at
    :ivar now: when, in milliseconds of the store's clock, as all times here
    :ivar alike: other names that may be meant, or taken for one that this is about
    :ivar also: what else has the name that was asked for
    :ivar words: the same in words, one line each
    """

    pool_id: str
    now: int
    alike: tuple[Alike, ...] = ()
    also: tuple[NameKind, ...] = ()
    words: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join(self.words)


class MessageExplanation(Explained, kw_only=True, tag="message", tag_field="kind"):
    """Why a message is where it is: whom it reached, and why not the others.

    :ivar status: the last of its statuses
    :ivar statuses: those that are recorded, in order
    :ivar recipients: who received it, and what came of that
    :ivar recipients_in_all: how many received it
    :ivar missed: who did not, nearest first: of the members, and of those who have left since
    :ivar missed_in_all: how many those are
    :ivar left_until: who has left since was looked for up to this record; ``None``: up to the end
    :ivar answers: what came of it, where it asks for answers
    :ivar expires_at: when it is handed out no more
    """

    message_id: MessageId
    idempotency_key: IdempotencyKey
    sender: RunId
    to: RunAddressTarget
    status: MessageStatus
    statuses: tuple[StatusSeen, ...] = ()
    recipients: tuple[Recipient, ...] = ()
    recipients_in_all: int
    missed: tuple[Missed, ...] = ()
    missed_in_all: int
    left_until: int | None = None
    answers: AnswersSeen | None = None
    expires_at: int | None = None


class WakeExplanation(Explained, kw_only=True, tag="wake", tag_field="kind"):
    """Why a wake waits, or how it ended.

    :ivar run_id: the run that waits
    :ivar waits_for: its filter in words
    :ivar registered_seq: the record of its registration; ``registered_at``: when that was
    :ivar ended_seq: the record that it ended; ``ended_at``: when that was
    :ivar ended_by: the event that triggered it, where that is kept; ``ended_by_kind``: its kind
    :ivar deadline: when its time is up; ``None``: never, or it has ended
    :ivar presence: whether the run that waits is here; ``process``: who holds it, and renews its
        lease, which lasts until ``lease_until``
    :ivar unseen: while it waits, what cannot end it as things are of the first ten runs, and
        agents, that its filter names
    :ivar looked_after: the events after this record were looked at, up to the end of the wake or
        of the log: the newest, if they are many. ``looked_at``: how many those are
    :ivar near: those of them that came nearest to ending it, the nearest and newest first
    :ivar refused: by which fields of the filter they were refused
    """

    condition_id: WakeConditionId
    idempotency_key: IdempotencyKey
    run_id: RunId
    status: WakeRegistrationStatus
    filter: EventFilter
    waits_for: str
    registered_seq: int
    registered_at: int | None = None
    ended_seq: int | None = None
    ended_at: int | None = None
    ended_by: EventId | None = None
    ended_by_kind: EventKind | None = None
    deadline: int | None = None
    presence: Presence
    process: str | None = None
    lease_until: int | None = None
    unseen: tuple[Unseen, ...] = ()
    looked_after: int
    looked_at: int
    near: tuple[NearEvent, ...] = ()
    refused: tuple[Refused, ...] = ()


class RunExplanation(Explained, kw_only=True, tag="run", tag_field="kind"):
    """How a run stands, whom it waits for and who waits for it.

    :ivar since: when that presence began, where it is known
    :ivar process: who holds the run, or held it, as ``host:pid``
    :ivar lease_until: when its lease runs out unless it is renewed; ``None``: it has none
    :ivar lacks: the policies of the pool that it does not carry: while there are any, nobody sees
        its events
    :ivar inbox: what is in its inbox
    :ivar claims: what is claimed in its inbox, and in queues by its process
    :ivar waits: the wakes that it waits for; ``waits_in_all``: how many there are
    :ivar waits_for: the runs that it waits for
    :ivar waits_for_in_all: how many there are; ``None``: too much in the pool waits to tell
    :ivar owes: the answers that others wait for; ``owes_in_all``: how many there are
    """

    run_id: RunId
    agent_id: AgentId
    topics: tuple[TopicId, ...] = ()
    presence: Presence
    since: int | None = None
    process: str | None = None
    lease_until: int | None = None
    lacks: tuple[PolicyRef, ...] = ()
    inbox: InboxSeen
    claims: tuple[ClaimSeen, ...] = ()
    waits: tuple[WaitSeen, ...] = ()
    waits_in_all: int
    waits_for: tuple[Awaited, ...] = ()
    waits_for_in_all: int | None
    owes: tuple[AnswerOwed, ...] = ()
    owes_in_all: int


class AgentExplanation(Explained, kw_only=True, tag="agent", tag_field="kind"):
    """The runs of an agent that are members, each explained, those that joined last first."""

    agent_id: AgentId
    runs: tuple[RunExplanation, ...] = ()
    runs_in_all: int


class QueueExplanation(Explained, kw_only=True, tag="queue", tag_field="kind"):
    """What waits in a queue, and who has what of it.

    :ivar is_member: whether it is one, so that messages reach it
    """

    name: str
    run_id: RunId
    is_member: bool
    inbox: InboxSeen
    claims: tuple[ClaimSeen, ...] = ()


class NothingFound(Explained, kw_only=True, tag="nothing", tag_field="kind"):
    """Nothing has that name; ``alike`` says what does that is near.

    :ivar searched_after: message ids were looked for in the records after this one
    """

    what: str
    searched_after: int


Explanation: TypeAlias = (
    MessageExplanation
    | WakeExplanation
    | RunExplanation
    | AgentExplanation
    | QueueExplanation
    | NothingFound
)
