"""Claiming what can be taken from an inbox, and moving out of its way what can not."""

from abc import abstractmethod
from collections.abc import Sequence
from itertools import islice
from typing import Final, TypeVar

from msgspec.structs import replace

from agentpool.errors import CorruptRecordError
from agentpool.rules.claims import Claim
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
from agentpool.rules.redelivery import LONGEST_DELAY_MILLIS, growing_delay
from agentpool.rules.requirements import require_open
from agentpool.rules.rows import NEVER, InboxEntry, put, value_of
from agentpool.wire.ids import check_identifier
from agentpool.wire.records import RunMessage

__all__ = ("CLAIMS_AT_ONCE", "ClaimMany", "ClaimNext", "Claiming")

R = TypeVar("R")

CLAIMS_AT_ONCE: Final = 100
"""The most claims that one transaction makes, so that others get their turn."""


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
            self._puts.append(row._replace(due_at=self._view.now + LONGEST_DELAY_MILLIS))
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
