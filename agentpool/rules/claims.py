"""Inboxes: a message waits, is claimed under a lease, and is acknowledged or comes back.

Acknowledging deletes the row. Fencing: a claim is current while the row has its attempt number
and its lease has not run out; whatever is no longer current changes nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple

from agentpool.errors import ClaimLostError, CorruptRecordError
from agentpool.rules.command import INBOX, Command, Decision, LookUps, PoolView, Row, RowKey
from agentpool.rules.log import require_open
from agentpool.rules.rows import (
    ANSWER,
    ASKING,
    HELD,
    UNREAD,
    InboxEntry,
    deadline,
    deadline_key,
    inbox_key,
    put,
    value_of,
)
from agentpool.wire.ids import check_identifier
from agentpool.wire.records import (
    AgentPoolStoredMessage,
    MessageReceipt,
    MessageStatus,
    RunMessage,
    RunMessageRecorded,
)

__all__ = (
    "Acknowledge",
    "Claim",
    "ClaimNext",
    "RenewClaims",
    "RenewHolds",
    "ReturnMessage",
    "TakeAnswers",
    "hold_on",
    "is_answered",
    "next_available",
    "on_asker_left",
    "peek",
    "release_answers",
)

WITHDRAWN: Final = frozenset({MessageStatus.EXPIRED, MessageStatus.CANCELLED, MessageStatus.FAILED})
HOLD_MILLIS: Final = 30_000
"""How long answers are kept for an asker that gives no sign of life."""

_SCAN: Final = 64
_ALL: Final = 2**31
_WAITING: Final = {MessageStatus.ACCEPTED, MessageStatus.DELIVERED}


class Claim(NamedTuple):
    """A message that one consumer has under a lease."""

    run_id: str
    seq: int
    attempt: int
    message: RunMessage


class ClaimNext(Command[Claim | None]):
    """Claim the first message of a run that can be taken.

    :param lease: milliseconds until the claim runs out unless renewed
    :param claimant: a name for who claims, for people who look at it
    """

    must_survive_power_cut = False

    def __init__(self, run_id: str, claimant: str, lease: int) -> None:
        check_identifier(run_id, "run_id")
        self._run_id, self._claimant, self._lease = run_id, claimant, lease

    def decide(self, view: PoolView) -> Decision[Claim | None]:
        require_open(view)
        withdrawn: list[RowKey] = []
        for row in _in_order(view, self._run_id, due_by=view.now):
            stored = message_at(view, row.key.number)
            if _is_withdrawn(view, stored):
                withdrawn.append(row.key)
                continue
            attempt = value_of(row, InboxEntry).attempt + 1
            claim = Claim(self._run_id, row.key.number, attempt, stored.message)
            entry = put(row.key, InboxEntry(attempt, self._claimant), view.now + self._lease)
            return Decision(claim, puts=(entry,), deletes=tuple(withdrawn))
        return Decision(None, deletes=tuple(withdrawn))


class Acknowledge(Command[None]):
    """End a claim for good: the message is done."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim

    def decide(self, view: PoolView) -> Decision[None]:
        return Decision(None, deletes=(_current(view, self._claim).key,))


class ReturnMessage(Command[None]):
    """End a claim by giving the message back, to be taken again after a delay in milliseconds."""

    def __init__(self, claim: Claim, delay: int) -> None:
        self._claim, self._delay = claim, delay

    def decide(self, view: PoolView) -> Decision[None]:
        row = _current(view, self._claim)
        returned = InboxEntry(value_of(row, InboxEntry).attempt)
        entry = put(row.key, returned, view.now + self._delay)
        return Decision(None, puts=(entry,), announce=True)


class RenewClaims(Command[frozenset[Claim]]):
    """Renew claims; appends nothing. Gives those that are no longer current."""

    must_survive_power_cut = False

    def __init__(self, claims: Mapping[Claim, int]) -> None:
        self._claims = dict(claims)

    def decide(self, view: PoolView) -> Decision[frozenset[Claim]]:
        puts: list[Row] = []
        lost: set[Claim] = set()
        for claim, lease in self._claims.items():
            try:
                row = _current(view, claim)
            except ClaimLostError:
                lost.add(claim)
            else:
                puts.append(put(row.key, value_of(row, InboxEntry), view.now + lease))
        return Decision(frozenset(lost), puts=tuple(puts))


class RenewHolds(Command[None]):
    """Keep the answers to messages for those who wait for them; appends nothing."""

    must_survive_power_cut = False

    def __init__(self, message_ids: Sequence[str]) -> None:
        self._message_ids = message_ids

    def decide(self, view: PoolView) -> Decision[None]:
        held = [each for each in self._message_ids if view.row(deadline_key(HELD, each))]
        until = view.now + HOLD_MILLIS
        return Decision(None, puts=tuple(deadline(HELD, each, until) for each in held))


def hold_on(view: PoolView, message_id: str, receipt: MessageReceipt) -> Decision[MessageReceipt]:
    """Keep answers for an asker that has come back, if they are still kept."""
    if view.row(deadline_key(HELD, message_id)) is None:
        return Decision(receipt)
    return Decision(receipt, puts=(deadline(HELD, message_id, view.now + HOLD_MILLIS),))


class TakeAnswers(Command[tuple[RunMessage, ...] | None]):
    """Give the answers to a message, and keep them out of the inbox for good; ``None`` too early.

    They stay for an asker that asks again under the same key. Where this does not come to pass,
    it is as if the asker had been killed: the answers go to its inbox.
    """

    must_survive_power_cut = False

    def __init__(self, idempotency_key: str) -> None:
        self._key = idempotency_key
        self.looks_up = LookUps(message_keys=(idempotency_key,))

    def decide(self, view: PoolView) -> Decision[tuple[RunMessage, ...] | None]:
        known = view.message_by_key(self._key)
        if known is None or not is_answered(view, self._key):
            return Decision(None)
        message = known.stored.message
        return Decision(
            _answers_to(view, message.message_id),
            deletes=tuple(_kept_for(view, message.sender, message.message_id)),
        )


def is_answered(view: PoolView, idempotency_key: str) -> bool:
    """Say whether nothing more is waited for: all answers are there, or the time is up."""
    known = view.message_by_key(idempotency_key)
    return known is not None and known.stored.receipt.status not in _WAITING


def _kept_for(view: PoolView, asker: str, message_id: str) -> Iterator[RowKey]:
    """List what keeps the answers to a message for its asker, and those in its inbox."""
    yield deadline_key(HELD, message_id)
    for row in view.rows(ASKING, asker, limit=_ALL):
        if row.value == message_id:
            yield row.key
    for answer in view.rows(ANSWER, message_id, limit=_ALL):
        released = _unclaimed(view, answer)
        if released is not None:
            yield released.key


def _answers_to(view: PoolView, message_id: str) -> tuple[RunMessage, ...]:
    """List the answers that came in time, one of each run, in the order they came.

    Without those that went to the inbox, because the asker seemed to be gone, and are claimed.
    """
    answers: dict[str, RunMessage] = {}
    for row in view.rows(ANSWER, message_id, limit=_ALL):
        in_inbox = view.row(inbox_key(row.value, row.key.number))
        if in_inbox is None or _unclaimed(view, row):
            answer = message_at(view, row.key.number).message
            answers.setdefault(answer.sender, answer)
    return tuple(answers.values())


def _unclaimed(view: PoolView, answer: Row) -> Row | None:
    """Find the row of an answer that went to the inbox and that nobody has taken there."""
    row = view.row(inbox_key(answer.value, answer.key.number))
    return row if row is not None and value_of(row, InboxEntry).claimed_by is None else None


def release_answers(view: PoolView, message_id: str) -> Decision[None]:
    """Put answers that nobody comes to take into the inbox of the run that asked.

    What is still to come goes there too, once the hold is gone.
    """
    rows = view.rows(ANSWER, message_id, limit=_ALL)
    puts = [Row(inbox_key(row.value, row.key.number), UNREAD) for row in rows]
    return Decision(None, puts=tuple(puts), announce=bool(rows))


def on_asker_left(view: PoolView, run_id: str) -> Iterator[Decision[None]]:
    """Release the answers that a run which has left waited for."""
    for row in view.rows(ASKING, run_id, limit=_ALL):
        released = release_answers(view, row.value)
        held = deadline_key(HELD, row.value)
        yield released._replace(deletes=(*released.deletes, row.key, held))


def peek(view: PoolView, run_id: str, limit: int | None) -> tuple[RunMessage, ...]:
    """List the unacknowledged messages of a run, claimed ones too, in order of the log."""
    require_open(view)
    found = (message_at(view, row.key.number) for row in _in_order(view, run_id))
    return tuple(islice((each.message for each in found if not _is_withdrawn(view, each)), limit))


def next_available(view: PoolView, run_id: str) -> int | None:
    """Say when the next message of a run can be taken; not after now: there is one now."""
    return view.next_due(run_id)


def message_at(view: PoolView, seq: int) -> AgentPoolStoredMessage:
    """Read the message that a record holds."""
    for found, payload in view.records(seq - 1, 1):
        if found == seq and isinstance(payload, RunMessageRecorded):
            return payload.stored
    msg = "an inbox names this record, but it is no message"
    raise CorruptRecordError(msg, pool_id=view.pool_id, seq=seq)


def _in_order(view: PoolView, run_id: str, due_by: int | None = None) -> Iterator[Row]:
    after, limit = 0, 1  # a claim takes the first, as a rule
    while rows := view.rows(INBOX, run_id, after=after, limit=limit, due_by=due_by):
        yield from rows
        after, limit = rows[-1].key.number, _SCAN


def _is_withdrawn(view: PoolView, stored: AgentPoolStoredMessage) -> bool:
    """Say whether a message is to be handed out no more: expired, cancelled or failed."""
    expires_at = stored.message.expires_at_millis
    if expires_at is not None and expires_at <= view.now:
        return True
    known = view.message_by_key(stored.message.idempotency_key)
    return known is not None and known.stored.receipt.status in WITHDRAWN


def _current(view: PoolView, claim: Claim) -> Row:
    row = view.row(inbox_key(claim.run_id, claim.seq))
    if row is not None:
        entry = value_of(row, InboxEntry)
        if entry.attempt == claim.attempt and entry.claimed_by and row.due_at > view.now:
            return row
    msg = f"the claim of run {claim.run_id!r}, attempt {claim.attempt}, is no longer current"
    raise ClaimLostError(msg, pool_id=view.pool_id, seq=claim.seq)
