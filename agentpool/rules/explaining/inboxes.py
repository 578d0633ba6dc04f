"""What is in an inbox, and who has what of it under a claim."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final

from msgspec.structs import replace

from agentpool.errors import CorruptRecordError
from agentpool.rules.command import INBOX, PoolView, Row
from agentpool.rules.explaining.explanations import MOST_LISTED
from agentpool.rules.explaining.parts import ClaimSeen, InboxSeen, MessageSeen, RecipientState
from agentpool.rules.inboxes import UNREADABLE, message_at
from agentpool.rules.rows import DEAD, NEVER, InboxEntry, value_of
from agentpool.wire.records import RunMessage

__all__ = (
    "at_least",
    "claims_among",
    "claims_by",
    "entry_of",
    "inbox_counted",
    "inbox_seen",
    "rows_of",
    "state_of",
)

_MOST_COUNTED: Final = 1000


def rows_of(view: PoolView, run_id: str) -> Sequence[Row]:
    """List what is in an inbox, as far as it is counted."""
    return view.rows(INBOX, run_id, limit=_MOST_COUNTED)


def entry_of(row: Row) -> InboxEntry | None:
    """Read a row of an inbox; ``None``: it cannot be read."""
    with suppress(CorruptRecordError):
        return value_of(row, InboxEntry)
    return None


def state_of(view: PoolView, row: Row, entry: InboxEntry | None) -> RecipientState:
    """Say how a message stands that is in an inbox."""
    if entry is None:
        return RecipientState.BACKING_OFF  # which it is, once somebody comes upon it
    is_due = row.due_at <= view.now
    if entry.claimed_by is not None and not is_due and row.due_at != NEVER:
        return RecipientState.CLAIMED
    has_expired = entry.expires_at is not None and entry.expires_at <= view.now
    if has_expired or row.due_at == NEVER:
        return RecipientState.EXPIRING
    if is_due:
        return RecipientState.WAITING
    return RecipientState.BACKING_OFF if entry.attempt else RecipientState.DELAYED


def inbox_seen(view: PoolView, run_id: str, rows: Sequence[Row]) -> InboxSeen:
    """Count what is in an inbox, and read the first.

    :param rows: those that `rows_of` has listed
    """
    counted = inbox_counted(view, run_id, rows)
    oldest = _message_seen(view, rows[0].key.number) if rows else None
    return replace(counted, oldest=oldest)


def inbox_counted(view: PoolView, run_id: str, rows: Sequence[Row]) -> InboxSeen:
    """Count what is in an inbox, and read none of it.

    :param rows: those that `rows_of` has listed
    """
    states = Counter(state_of(view, row, entry_of(row)) for row in rows)
    dead = len(view.rows(DEAD, run_id, limit=_MOST_COUNTED))
    return InboxSeen(
        waiting=states[RecipientState.WAITING],
        delayed=states[RecipientState.DELAYED],
        backing_off=states[RecipientState.BACKING_OFF],
        claimed=states[RecipientState.CLAIMED],
        expiring=states[RecipientState.EXPIRING],
        dead=dead,
        is_all=max(len(rows), dead) < _MOST_COUNTED,
    )


def at_least(inboxes: Iterable[InboxSeen]) -> list[str]:
    """Name the numbers of inboxes, or of one, that are of the first in it only."""
    some = list(inboxes)
    is_cut = any(each.unread >= _MOST_COUNTED for each in some)
    dead = any(each.dead >= _MOST_COUNTED for each in some)
    return [*(("unread", "claimed") if is_cut else ()), *(("dead",) if dead else ())]


def claims_among(view: PoolView, rows: Sequence[Row]) -> Iterator[ClaimSeen]:
    """Go through the claims of messages in an inbox."""
    for row in rows:
        entry = entry_of(row)
        if entry is None or state_of(view, row, entry) is not RecipientState.CLAIMED:
            continue
        message = _message(view, row.key.number)
        yield ClaimSeen(
            inbox=row.key.name,
            seq=row.key.number,
            message_id=message.message_id if message else None,
            idempotency_key=message.idempotency_key if message else None,
            process=str(entry.claimed_by),
            attempt=entry.attempt,
            until=row.due_at,
        )


def claims_by(view: PoolView, process: str, inbox: str) -> Iterator[ClaimSeen]:
    """Go through the claims that a process has in an inbox."""
    later = view.due(inbox, after=view.now, due_by=NEVER - 1, limit=MOST_LISTED)
    its = [row for row in later if (entry := entry_of(row)) and entry.claimed_by == process]
    return claims_among(view, its)


def _message_seen(view: PoolView, seq: int) -> MessageSeen:
    message = _message(view, seq)
    return MessageSeen(
        seq=seq,
        message_id=message.message_id if message else None,
        idempotency_key=message.idempotency_key if message else None,
        at=view.time_of(seq),
    )


def _message(view: PoolView, seq: int) -> RunMessage | None:
    with suppress(*UNREADABLE):
        return message_at(view, seq).message
    return None
