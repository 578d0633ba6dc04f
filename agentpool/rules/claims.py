"""Claims: a message is with one consumer under a lease, and is acknowledged or comes back.

Acknowledging deletes the row. Fencing: a claim is current while the row has its numbers and its
lease has not run out; whatever is no longer current changes nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from agentpool.errors import ClaimLostError
from agentpool.rules.command import Command, Decision, LookUps, PoolView, Row, RowKey
from agentpool.rules.rows import InboxEntry, inbox_key, put, value_of
from agentpool.wire.records import RunMessage

__all__ = (
    "Acknowledge",
    "Claim",
    "ClaimId",
    "ClaimTerms",
    "RenewClaims",
    "claimed_row",
    "is_current",
    "require_current",
    "rows_of",
)


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


class Acknowledge(Command[None]):
    """End claims for good: the messages are done.

    :ivar claims: which
    :raises ClaimLostError: one of them is no longer current; then none is ended
    """

    def __init__(self, *claims: Claim | ClaimId) -> None:
        self.claims: Final = claims
        self.looks_up: LookUps = LookUps(rows=rows_of(claims))

    def decide(self, view: PoolView) -> Decision[None]:
        rows = [require_current(view, each) for each in self.claims]
        return Decision(None, deletes=tuple(row.key for row in rows))


class RenewClaims(Command[frozenset[Claim]]):
    """Renew claims; appends nothing. Gives those that are no longer current."""

    must_survive_power_cut = False

    def __init__(self, claims: Mapping[Claim, int]) -> None:
        self._claims = dict(claims)
        self.looks_up: LookUps = LookUps(rows=rows_of(tuple(claims)))

    def decide(self, view: PoolView) -> Decision[frozenset[Claim]]:
        puts: list[Row] = []
        lost: set[Claim] = set()
        for claim, lease in self._claims.items():
            row = claimed_row(view, claim)
            if row is None:
                lost.add(claim)
            else:
                puts.append(put(row.key, value_of(row, InboxEntry), view.now + lease))
        return Decision(frozenset(lost), puts=tuple(puts))


def rows_of(claims: Sequence[Claim | ClaimId]) -> tuple[RowKey, ...]:
    """List the rows of claims."""
    return tuple(inbox_key(claim.run_id, claim.seq) for claim in claims)


def claimed_row(view: PoolView, claim: Claim | ClaimId) -> Row | None:
    """Give the row of a claim; ``None``: it is no longer current."""
    row = view.row(inbox_key(claim.run_id, claim.seq))
    if row is None or row.due_at <= view.now:
        return None
    entry = value_of(row, InboxEntry)
    is_it = (entry.attempt, entry.undone) == (claim.attempt, claim.undone)
    return row if is_it and entry.claimed_by else None


def is_current(view: PoolView, claim: Claim | ClaimId) -> bool:
    """Say whether a claim has neither run out nor ended."""
    return claimed_row(view, claim) is not None


def require_current(view: PoolView, claim: Claim | ClaimId) -> Row:
    """Give the row of a claim.

    :raises ClaimLostError: it is no longer current
    """
    row = claimed_row(view, claim)
    if row is None:
        msg = f"the claim of run {claim.run_id!r}, attempt {claim.attempt}, is no longer current"
        raise ClaimLostError(msg, pool_id=view.pool_id, seq=claim.seq)
    return row
