"""Dead letters: messages that failed too often and were put aside, out of the inbox."""

from contextlib import suppress
from typing import NamedTuple

from msgspec.structs import replace

from agentpool.errors import InvalidTransitionError
from agentpool.rules.command import Command, Decision, LookUps, PoolView, Row, RowKey
from agentpool.rules.inboxes import (
    MESSAGES_AT_ONCE,
    UNREADABLE,
    is_withdrawn,
    message_at,
    rows_after,
)
from agentpool.rules.requirements import require_open
from agentpool.rules.rows import DEAD, InboxEntry, inbox_key, put, value_of
from agentpool.wire.records import RunMessage

__all__ = ("DeadLetter", "Discard", "Retry", "dead_page", "is_spent", "put_aside")


class DeadLetter(NamedTuple):
    """A message that was put aside: it is handed out no more until somebody decides.

    :ivar run_id: the run in whose inbox it was
    :ivar seq: the record that delivered it
    :ivar attempts: how often it was claimed
    :ivar message: the message
    """

    run_id: str
    seq: int
    attempts: int
    message: RunMessage


def is_spent(entry: InboxEntry, max_attempts: int | None) -> bool:
    """Say whether a message was attempted as often as it may be."""
    return max_attempts is not None and entry.tries >= max_attempts


def put_aside(row: Row, entry: InboxEntry) -> Row:
    """Make the row that a dead letter has in place of its row in the inbox."""
    return put(_dead_key(row.key.name, row.key.number), replace(entry, claimed_by=None))


def dead_page(
    view: PoolView, run_id: str, after: int, limit: int
) -> tuple[list[DeadLetter], int | None]:
    """List dead letters of a run, in order of the log, without those that cannot be read.

    :return: some of them, and after which number to go on; ``None``: that was all
    """
    require_open(view)
    found: list[DeadLetter] = []
    for count, row in enumerate(rows_after(view, DEAD, run_id, after, limit), 1):
        seq = row.key.number
        with suppress(*UNREADABLE):
            attempts = value_of(row, InboxEntry).attempt
            found.append(DeadLetter(run_id, seq, attempts, message_at(view, seq).message))
        if len(found) == limit:
            break
        if count == MESSAGES_AT_ONCE:
            return found, seq
    return found, None


class Retry(Command[None]):
    """Put a dead letter back into the inbox; the limit of its attempts, and the delay, start anew.

    :raises InvalidTransitionError: it is dead no more, has expired, or was cancelled
    """

    def __init__(self, run_id: str, seq: int, idempotency_key: str) -> None:
        self._key = _dead_key(run_id, seq)
        self.looks_up: LookUps = LookUps((idempotency_key,), rows=(self._key,))

    def decide(self, view: PoolView) -> Decision[None]:
        entry = value_of(_dead_row(view, self._key), InboxEntry)
        if is_withdrawn(view, message_at(view, self._key.number)):
            msg = f"the dead letter of run {self._key.name!r} has expired or was cancelled; discard"
            raise InvalidTransitionError(msg, pool_id=view.pool_id, seq=self._key.number)
        # Its number goes on: whoever still holds an old claim has a smaller one.
        again = put(
            inbox_key(self._key.name, self._key.number), replace(entry, forgiven=entry.attempt)
        )
        return Decision(None, puts=(again,), deletes=(self._key,), announce=True)


class Discard(Command[None]):
    """Throw a dead letter away: it is as if it had been acknowledged.

    :raises InvalidTransitionError: it is dead no more
    """

    def __init__(self, run_id: str, seq: int) -> None:
        self._key = _dead_key(run_id, seq)
        self.looks_up: LookUps = LookUps(rows=(self._key,))

    def decide(self, view: PoolView) -> Decision[None]:
        return Decision(None, deletes=(_dead_row(view, self._key).key,))


def _dead_key(run_id: str, seq: int) -> RowKey:
    return RowKey(DEAD, run_id, seq)


def _dead_row(view: PoolView, key: RowKey) -> Row:
    row = view.row(key)
    if row is None:
        msg = f"the message is no dead letter of run {key.name!r}: retried or discarded already"
        raise InvalidTransitionError(msg, pool_id=view.pool_id, seq=key.number)
    return row
