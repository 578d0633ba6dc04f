"""Claims: a message is with one consumer under a lease, and is acknowledged or comes back.

Acknowledging deletes the row. Fencing: a claim is current while the row has its numbers and its
lease has not run out; whatever is no longer current changes nothing.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple, TypeVar

from msgspec.structs import replace

from agentpool.errors import ClaimLostError, CorruptRecordError
from agentpool.rules.command import Command, Decision, LookUps, PoolView, Row, RowKey
from agentpool.rules.dead import is_spent, put_aside
from agentpool.rules.inboxes import (
    MESSAGES_AT_ONCE,
    ROWS_AT_ONCE,
    UNREADABLE,
    awaits_expiry,
    in_turn,
    is_withdrawn,
    message_at,
    seen_to_expire,
)
from agentpool.rules.requirements import require_open
from agentpool.rules.rows import NEVER, InboxEntry, inbox_key, put, value_of
from agentpool.wire.ids import check_identifier
from agentpool.wire.records import RunMessage

__all__ = (
    "CLAIMS_AT_ONCE",
    "Acknowledge",
    "Claim",
    "ClaimId",
    "ClaimMany",
    "ClaimNext",
    "ClaimTerms",
    "Claiming",
    "RenewClaims",
    "ReturnMessage",
    "Unclaim",
    "growing_delay",
    "is_current",
    "require_current",
)

R = TypeVar("R")

CLAIMS_AT_ONCE: Final = 100
"""The most claims that one transaction makes, so that others get their turn."""

_FIRST_DELAY_MILLIS: Final = 1000
_LONGEST_DELAY_MILLIS: Final = 300_000
_DOUBLINGS: Final = 9  # more than it takes to the longest


class ClaimId(NamedTuple):
    """Which claim.

    :ivar undone: how many claims of the message were undone before; their attempts come again
    """

    run_id: str
    seq: int
    attempt: int
    undone: int = 0


class Claim(NamedTuple):
    """A message that one consumer has under a lease."""

    run_id: str
    seq: int
    attempt: int
    message: RunMessage
    undone: int = 0

    @property
    def id(self) -> ClaimId:
        """What tells this claim from all others."""
        return ClaimId(self.run_id, self.seq, self.attempt, self.undone)


class ClaimTerms(NamedTuple):
    """How the messages of an inbox are claimed, in milliseconds.

    :ivar lease: how long a claim lasts unless it is renewed
    :ivar limit: for how long it is renewed; ``None``: for as long as somebody holds the message
    :ivar max_attempts: after so many a message is put aside; ``None``: never
    """

    lease: int
    limit: int | None = None
    max_attempts: int | None = None


class Claiming(Command[R]):
    """Claim the first messages of a run that can be taken, as many as are asked for.

    What has expired, was cancelled or has failed too often is moved out of the way. Others get
    their turn: there may be more to move, and more to claim, than one transaction does. What cannot
    be read comes again later, after a growing delay: it may be restored, and meanwhile nobody waits
    behind it.

    :param lease: milliseconds until the claims run out unless renewed
    :param claimant: a name for who claims, for people who look at it
    :param max_attempts: after so many attempts a message is put aside; ``None``: never
    """

    must_survive_power_cut = False

    def __init__(
        self, run_id: str, claimant: str, lease: int, max_attempts: int | None = None
    ) -> None:
        check_identifier(run_id, "run_id")
        self._run_id, self._claimant, self._lease = run_id, claimant, lease
        self._max_attempts = max_attempts
        self._deciding = self._withdrawn = False
        self.looks_up: LookUps = LookUps(inboxes=(run_id,))

    @staticmethod
    @abstractmethod
    def claims(result: R) -> Sequence[Claim]:
        """List the claims that were made, by what the command gave."""

    def withdraw(self) -> bool:
        """Claim nothing from now on; say whether that comes in time.

        For the event loop, while a store may decide in another thread.
        """
        # Here and in `_claim` each first says what it does, and only then looks at the other: one
        # of the two sees it.
        self._withdrawn = True
        return not self._deciding

    def _claim(self, view: PoolView, limit: int) -> Decision[list[Claim]]:
        self._deciding = True
        if self._withdrawn:
            return Decision([])
        require_open(view)
        passed = _PassedBy(view, self._max_attempts)
        claims: list[Claim] = []
        puts: list[Row] = []
        for row in islice(in_turn(view, self._run_id, limit), ROWS_AT_ONCE):
            entry = passed.entry_of(row)
            if entry is None or passed.by_its_row(row, entry):
                continue
            if passed.read == max(limit, MESSAGES_AT_ONCE):
                break
            message = passed.message_of(row, entry)
            if message is not None:
                claim, claimed = self._claimed(row, entry, message, view.now)
                claims.append(claim)
                puts.append(claimed)
                if len(claims) == limit:
                    break
        return passed.decision(claims, puts)

    def _claimed(
        self, row: Row, entry: InboxEntry, message: RunMessage, now: int
    ) -> tuple[Claim, Row]:
        # The number fences: a consumer that slept through its lease holds an older one, and can
        # neither acknowledge nor renew what somebody else handles by now.
        attempt = entry.attempt + 1
        claim = Claim(self._run_id, row.key.number, attempt, message, entry.undone)
        claimed = replace(entry, attempt=attempt, claimed_by=self._claimant)
        # A claimed message is due when its lease ends: one whose consumer died simply comes.
        return claim, put(row.key, claimed, now + self._lease)


class ClaimNext(Claiming[Claim | None]):
    """Claim the first message of a run that can be taken; ``None``: there is none, or look again.

    See `Claiming`.
    """

    @staticmethod
    def claims(result: Claim | None) -> Sequence[Claim]:
        return () if result is None else (result,)

    def decide(self, view: PoolView) -> Decision[Claim | None]:
        decision = self._claim(view, 1)
        first = next(iter(decision.result), None)
        return Decision(first, puts=decision.puts, deletes=decision.deletes)


class ClaimMany(Claiming[tuple[Claim, ...] | None]):
    """Claim the first messages that can be taken; ``None``: there is none, or look again.

    See `Claiming`.

    :param limit: the most messages; of more than `CLAIMS_AT_ONCE` it claims so many
    """

    def __init__(
        self,
        run_id: str,
        claimant: str,
        lease: int,
        max_attempts: int | None = None,
        *,
        limit: int,
    ) -> None:
        super().__init__(run_id, claimant, lease, max_attempts)
        self._limit = min(limit, CLAIMS_AT_ONCE)
        self.looks_up: LookUps = LookUps(inboxes=(run_id,) * self._limit)

    @staticmethod
    def claims(result: tuple[Claim, ...] | None) -> Sequence[Claim]:
        return result or ()

    def decide(self, view: PoolView) -> Decision[tuple[Claim, ...] | None]:
        decision = self._claim(view, self._limit)
        claims = tuple(decision.result) or None
        return Decision(claims, puts=decision.puts, deletes=decision.deletes)


class _PassedBy:
    """What a claim finds in its way and moves out of it."""

    def __init__(self, view: PoolView, max_attempts: int | None) -> None:
        self.read = 0
        self._view, self._max_attempts = view, max_attempts
        self._puts: list[Row] = []
        self._deletes: list[RowKey] = []

    def entry_of(self, row: Row) -> InboxEntry | None:
        """Read a row; ``None``: it cannot be read."""
        try:
            return value_of(row, InboxEntry)
        except CorruptRecordError:
            self._puts.append(row._replace(due_at=self._view.now + _LONGEST_DELAY_MILLIS))
            return None

    def by_its_row(self, row: Row, entry: InboxEntry) -> bool:
        """Say whether the row alone tells that a message is not to be handed out."""
        if seen_to_expire(self._view, entry):
            self._puts.append(row._replace(due_at=NEVER))
            return True
        if is_spent(entry, self._max_attempts):
            self._puts.append(put_aside(row, entry))
            self._deletes.append(row.key)
            return True
        return False

    def message_of(self, row: Row, entry: InboxEntry) -> RunMessage | None:
        """Read a message; ``None``: it is not to be handed out, or cannot be read."""
        self.read += 1
        try:
            stored = message_at(self._view, row.key.number)
            if not is_withdrawn(self._view, stored):
                return stored.message
        except UNREADABLE:
            self._put_off(row, entry)
            return None
        if awaits_expiry(self._view, stored):
            self._puts.append(put(row.key, replace(entry, claimed_by=None), NEVER))
        else:
            self._deletes.append(row.key)
        return None

    def _put_off(self, row: Row, entry: InboxEntry) -> None:
        attempt = entry.attempt + 1
        later = replace(entry, attempt=attempt, forgiven=entry.forgiven + 1, claimed_by=None)
        self._puts.append(put(row.key, later, self._view.now + growing_delay(attempt)))

    def decision(self, claims: list[Claim], puts: list[Row]) -> Decision[list[Claim]]:
        """Decide to claim something, or nothing, and to move away what was passed by."""
        return Decision(claims, puts=(*self._puts, *puts), deletes=tuple(self._deletes))


class Unclaim(Command[None]):
    """Undo claims: the messages are there again, at the same attempts.

    Those that are no longer current stay as they are.

    :ivar claims: which
    """

    must_survive_power_cut = False

    def __init__(self, *claims: Claim | ClaimId) -> None:
        self.claims: Final = claims
        self.looks_up: LookUps = LookUps(rows=_rows_of(self.claims))

    def decide(self, view: PoolView) -> Decision[None]:
        rows = [row for row in (_if_current(view, claim) for claim in self.claims) if row]
        puts = tuple(_undone(view, row) for row in rows)
        return Decision(None, puts=puts, announce=bool(puts))


def _undone(view: PoolView, row: Row) -> Row:
    entry = replace(value_of(row, InboxEntry), claimed_by=None)
    if entry.expires_at is None or entry.expires_at > view.now:
        # Its number comes again, so another has to fence off the claim that is undone.
        entry = replace(entry, attempt=entry.attempt - 1, undone=entry.undone + 1)
    return put(row.key, entry)


class Acknowledge(Command[None]):
    """End claims for good: the messages are done.

    :ivar claims: which
    :raises ClaimLostError: one of them is no longer current; then none is ended
    """

    def __init__(self, *claims: Claim | ClaimId) -> None:
        self.claims: Final = claims
        self.looks_up: LookUps = LookUps(rows=_rows_of(claims))

    def decide(self, view: PoolView) -> Decision[None]:
        rows = [require_current(view, each) for each in self.claims]
        return Decision(None, deletes=tuple(row.key for row in rows))


class ReturnMessage(Command[None]):
    """End a claim by giving the message back, to be taken again after a delay.

    :ivar claim: which
    :param delay: milliseconds; ``None``: longer with each attempt
    :param max_attempts: after so many attempts the message is put aside; ``None``: never
    """

    def __init__(
        self, claim: Claim | ClaimId, delay: int | None, max_attempts: int | None = None
    ) -> None:
        self.claim: Final = claim
        self._delay, self._max_attempts = delay, max_attempts
        self.looks_up: LookUps = LookUps(rows=_rows_of([self.claim]))

    def decide(self, view: PoolView) -> Decision[None]:
        row = require_current(view, self.claim)
        # It keeps its number, without a claimant: the claim that is given back is no longer valid.
        entry = replace(value_of(row, InboxEntry), claimed_by=None)
        if is_spent(entry, self._max_attempts):
            return Decision(None, puts=(put_aside(row, entry),), deletes=(row.key,))
        delay = growing_delay(entry.tries) if self._delay is None else self._delay
        returned = put(row.key, entry, view.now + delay if delay else 0)
        # No record says so, and those who wait for a message would sleep on.
        return Decision(None, puts=(returned,), announce=True)


def growing_delay(tries: int) -> int:
    """Say for how many milliseconds a message stays away that has failed so many times."""
    return min(_FIRST_DELAY_MILLIS << min(max(tries - 1, 0), _DOUBLINGS), _LONGEST_DELAY_MILLIS)


class RenewClaims(Command[frozenset[Claim]]):
    """Renew claims; appends nothing. Gives those that are no longer current."""

    must_survive_power_cut = False

    def __init__(self, claims: Mapping[Claim, int]) -> None:
        self._claims = dict(claims)
        self.looks_up: LookUps = LookUps(rows=_rows_of(tuple(claims)))

    def decide(self, view: PoolView) -> Decision[frozenset[Claim]]:
        puts: list[Row] = []
        lost: set[Claim] = set()
        for claim, lease in self._claims.items():
            row = _if_current(view, claim)
            if row is None:
                lost.add(claim)
            else:
                puts.append(put(row.key, value_of(row, InboxEntry), view.now + lease))
        return Decision(frozenset(lost), puts=tuple(puts))


def _rows_of(claims: Sequence[Claim | ClaimId]) -> tuple[RowKey, ...]:
    return tuple(inbox_key(claim.run_id, claim.seq) for claim in claims)


def _if_current(view: PoolView, claim: Claim | ClaimId) -> Row | None:
    row = view.row(inbox_key(claim.run_id, claim.seq))
    if row is None or row.due_at <= view.now:
        return None
    entry = value_of(row, InboxEntry)
    is_it = (entry.attempt, entry.undone) == (claim.attempt, claim.undone)
    return row if is_it and entry.claimed_by else None


def is_current(view: PoolView, claim: Claim | ClaimId) -> bool:
    """Say whether a claim has neither run out nor ended."""
    return _if_current(view, claim) is not None


def require_current(view: PoolView, claim: Claim | ClaimId) -> Row:
    """Give the row of a claim.

    :raises ClaimLostError: it is no longer current
    """
    row = _if_current(view, claim)
    if row is None:
        msg = f"the claim of run {claim.run_id!r}, attempt {claim.attempt}, is no longer current"
        raise ClaimLostError(msg, pool_id=view.pool_id, seq=claim.seq)
    return row
