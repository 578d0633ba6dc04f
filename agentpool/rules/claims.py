"""Inboxes: a message waits, is claimed under a lease, and is acknowledged or comes back.

Acknowledging deletes the row. Fencing: a claim is current while the row has its attempt number
and its lease has not run out; whatever is no longer current changes nothing.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final, NamedTuple

from agentpool.errors import AgentPoolError, ClaimLostError, CorruptRecordError
from agentpool.rules.command import INBOX, Command, Decision, LookUps, PoolView, Row, RowKey
from agentpool.rules.requirements import require_open
from agentpool.rules.rows import InboxEntry, inbox_key, put, value_of
from agentpool.wire.ids import check_identifier
from agentpool.wire.records import (
    AgentPoolStoredMessage,
    MessageStatus,
    RunMessage,
    RunMessageRecorded,
)

__all__ = (
    "Acknowledge",
    "Claim",
    "ClaimNext",
    "RenewClaims",
    "ReturnMessage",
    "message_at",
    "next_available",
    "peek",
)

WITHDRAWN: Final = frozenset({MessageStatus.EXPIRED, MessageStatus.CANCELLED, MessageStatus.FAILED})

_SCAN: Final = 64


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
        self.looks_up: LookUps = LookUps(inboxes=(run_id,))

    def decide(self, view: PoolView) -> Decision[Claim | None]:
        require_open(view)
        withdrawn: list[RowKey] = []
        for row in _in_order(view, self._run_id, due_by=view.now):
            # A claimed message is due when its lease ends: one whose consumer died simply comes.
            stored = message_at(view, row.key.number)
            if _is_withdrawn(view, stored):
                withdrawn.append(row.key)
                continue
            # The number fences: a consumer that slept through its lease holds an older one, and
            # can neither acknowledge nor renew what somebody else handles by now.
            attempt = value_of(row, InboxEntry).attempt + 1
            claim = Claim(self._run_id, row.key.number, attempt, stored.message)
            entry = put(row.key, InboxEntry(attempt, self._claimant), view.now + self._lease)
            return Decision(claim, puts=(entry,), deletes=tuple(withdrawn))
        return Decision(None, deletes=tuple(withdrawn))


class Acknowledge(Command[None]):
    """End a claim for good: the message is done."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self.looks_up: LookUps = LookUps(rows=(inbox_key(claim.run_id, claim.seq),))

    def decide(self, view: PoolView) -> Decision[None]:
        return Decision(None, deletes=(_current(view, self._claim).key,))


class ReturnMessage(Command[None]):
    """End a claim by giving the message back, to be taken again after a delay in milliseconds."""

    def __init__(self, claim: Claim, delay: int) -> None:
        self._claim, self._delay = claim, delay
        self.looks_up: LookUps = LookUps(rows=(inbox_key(claim.run_id, claim.seq),))

    def decide(self, view: PoolView) -> Decision[None]:
        row = _current(view, self._claim)
        # It keeps its number, without a claimant: the claim that is given back is no longer valid.
        returned = InboxEntry(value_of(row, InboxEntry).attempt)
        entry = put(row.key, returned, view.now + self._delay)
        # No record says so, and those who wait for a message would sleep on.
        return Decision(None, puts=(entry,), announce=True)


class RenewClaims(Command[frozenset[Claim]]):
    """Renew claims; appends nothing. Gives those that are no longer current."""

    must_survive_power_cut = False

    def __init__(self, claims: Mapping[Claim, int]) -> None:
        self._claims = dict(claims)
        self.looks_up: LookUps = LookUps(
            rows=tuple(inbox_key(each.run_id, each.seq) for each in claims)
        )

    def decide(self, view: PoolView) -> Decision[frozenset[Claim]]:
        puts: list[Row] = []
        lost: set[Claim] = set()
        for claim, lease in self._claims.items():
            try:
                row = _current(view, claim)
            except ClaimLostError:
                lost.add(claim)  # the others are renewed all the same
            else:
                puts.append(put(row.key, value_of(row, InboxEntry), view.now + lease))
        return Decision(frozenset(lost), puts=tuple(puts))


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
        if isinstance(payload, AgentPoolError):
            raise payload
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
