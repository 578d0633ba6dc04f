"""Redelivery: how a claimed message becomes one that can be taken again, and when."""

from typing import Final

from msgspec.structs import replace

from agentpool.rules.claims import Claim, ClaimId, claimed_row, require_current, rows_of
from agentpool.rules.command import Command, Decision, LookUps, PoolView, Row
from agentpool.rules.dead import is_spent, put_aside
from agentpool.rules.rows import InboxEntry, put, value_of

__all__ = ("LONGEST_DELAY_MILLIS", "ReturnMessage", "Unclaim", "growing_delay")

_FIRST_DELAY_MILLIS: Final = 1000
LONGEST_DELAY_MILLIS: Final = 300_000
"""How long a message stays away at most that fails again and again."""
_DOUBLINGS: Final = 9  # more than it takes to the longest


class Unclaim(Command[None]):
    """Undo claims: the messages are there again, at the same attempts.

    Those that are no longer current stay as they are.

    :ivar claims: which
    """

    must_survive_power_cut = False

    def __init__(self, *claims: Claim | ClaimId) -> None:
        self.claims: Final = claims
        self.looks_up: LookUps = LookUps(rows=rows_of(self.claims))

    def decide(self, view: PoolView) -> Decision[None]:
        rows = [row for row in (claimed_row(view, claim) for claim in self.claims) if row]
        puts = tuple(_undone(view, row) for row in rows)
        return Decision(None, puts=puts, announce=bool(puts))


def _undone(view: PoolView, row: Row) -> Row:
    entry = replace(value_of(row, InboxEntry), claimed_by=None)
    if entry.expires_at is None or entry.expires_at > view.now:
        # Its number comes again, so another has to fence off the claim that is undone.
        entry = replace(entry, attempt=entry.attempt - 1, undone=entry.undone + 1)
    return put(row.key, entry)


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
        self.looks_up: LookUps = LookUps(rows=rows_of([self.claim]))

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
    return min(_FIRST_DELAY_MILLIS << min(max(tries - 1, 0), _DOUBLINGS), LONGEST_DELAY_MILLIS)
