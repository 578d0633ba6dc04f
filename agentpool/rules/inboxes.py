"""What is in an inbox, in which order it is handed out, and what is handed out no more.

A row whose ``due_at`` is 0 is there to be taken. One that is due later is claimed until then, or
was sent or returned with a delay. One that is never due has expired, which is still to be recorded.
So what cannot be taken stands in nobody's way, however much of it there is.
"""

from collections.abc import Iterator
from contextlib import suppress
from heapq import merge
from typing import Final

from agentpool.errors import AgentPoolError, CorruptRecordError, UnknownRecordError
from agentpool.rules.command import INBOX, PoolView, Row, RowKey
from agentpool.rules.delayed_messages import is_deferred
from agentpool.rules.requirements import require_open
from agentpool.rules.rows import EXPIRY, NEVER, InboxEntry, deadline_key, inbox_key, value_of
from agentpool.wire.records import (
    AgentPoolStoredMessage,
    MessageStatus,
    RunMessage,
    RunMessageRecorded,
)

__all__ = (
    "MESSAGES_AT_ONCE",
    "ROWS_AT_ONCE",
    "UNREADABLE",
    "WITHDRAWN",
    "awaits_expiry",
    "in_turn",
    "is_withdrawn",
    "message_at",
    "next_available",
    "peek_page",
    "rows_after",
    "seen_to_expire",
    "unheld",
)

WITHDRAWN: Final = frozenset({MessageStatus.EXPIRED, MessageStatus.CANCELLED, MessageStatus.FAILED})

ROWS_AT_ONCE: Final = 256
"""The most rows that one transaction goes through, so that others get their turn."""

MESSAGES_AT_ONCE: Final = 32
"""The most messages that it reads for that, which cost more."""

UNREADABLE: Final = (CorruptRecordError, UnknownRecordError)
"""What is raised for a message, or a row, that cannot be read: it stops none of the others."""

_BACK_AT_ONCE: Final = 64


def in_turn(view: PoolView, run_id: str, expected: int) -> Iterator[Row]:
    """List what can be taken, in order of the log, but for very much that comes back at once.

    :param expected: how much is likely to be enough
    """
    # What comes back is few, as a rule; of more than a few, those that came back first.
    back = view.due(run_id, after=0, due_by=view.now, limit=_BACK_AT_ONCE)
    there = _there(view, run_id, expected)
    return merge(sorted(back, key=_number), there, key=_number) if back else there


def _there(view: PoolView, run_id: str, expected: int) -> Iterator[Row]:
    first = view.due(run_id, due_by=0, limit=expected)  # which are taken, as a rule
    yield from first
    if len(first) == expected:
        yield from view.due(run_id, due_by=0, limit=ROWS_AT_ONCE)[expected:]


def next_available(view: PoolView, run_id: str) -> int | None:
    """Say when the next message of a run can be taken; not after now: there is one now."""
    due = view.next_due(run_id)
    return None if due == NEVER else due


def peek_page(
    view: PoolView, run_id: str, after: int, limit: int
) -> tuple[list[RunMessage], int | None]:
    """List unacknowledged messages of a run, claimed ones too, in order of the log.

    Without those that cannot be read.

    :return: some of them, and after which number to go on; ``None``: that was all
    """
    require_open(view)
    found: list[RunMessage] = []
    read = 0
    rows = rows_after(view, INBOX, run_id, after, limit)
    for count, row in enumerate(rows, 1):
        with suppress(*UNREADABLE):
            if not (seen_to_expire(view, value_of(row, InboxEntry)) or is_deferred(view, row)):
                read += 1
                stored = message_at(view, row.key.number)
                if not is_withdrawn(view, stored):
                    found.append(stored.message)
        if len(found) == limit:
            break
        if count == ROWS_AT_ONCE or read == MESSAGES_AT_ONCE:
            return found, row.key.number
    return found, None


def rows_after(view: PoolView, kind: str, run_id: str, after: int, expected: int) -> Iterator[Row]:
    """Go through rows of a run, in order of the log.

    :param expected: how many are likely to be enough
    """
    size = min(expected, MESSAGES_AT_ONCE)
    while rows := view.rows(kind, run_id, after=after, limit=size):
        yield from rows
        after, size = rows[-1].key.number, ROWS_AT_ONCE


def message_at(view: PoolView, seq: int) -> AgentPoolStoredMessage:
    """Read the message that a record holds."""
    for found, payload in view.records(seq - 1, 1):
        if isinstance(payload, AgentPoolError):
            raise payload
        if found == seq and isinstance(payload, RunMessageRecorded):
            return payload.stored
    msg = "an inbox names this record, but it is no message"
    raise CorruptRecordError(msg, pool_id=view.pool_id, seq=seq)


# --- what is handed out no more


def is_withdrawn(view: PoolView, stored: AgentPoolStoredMessage) -> bool:
    """Say whether a message is to be handed out no more: expired, cancelled or failed."""
    expires_at = stored.message.expires_at_millis
    if expires_at is not None and expires_at <= view.now:
        return True
    known = view.message_by_key(stored.message.idempotency_key)
    return known is not None and known.stored.receipt.status in WITHDRAWN


def seen_to_expire(view: PoolView, entry: InboxEntry) -> bool:
    """Say whether its row alone tells that a message has expired, and nobody ever had it."""
    return entry.expires_at is not None and entry.expires_at <= view.now and entry.attempt == 0


def awaits_expiry(view: PoolView, stored: AgentPoolStoredMessage) -> bool:
    """Say whether the expiry of a message is still to be carried out."""
    return view.row(deadline_key(EXPIRY, stored.message.idempotency_key)) is not None


def unheld(view: PoolView, stored: AgentPoolStoredMessage, seq: int) -> Iterator[RowKey]:
    """List the rows of a message, delivered by a record, that nobody has under a claim.

    Whoever has one may still acknowledge it.
    """
    for run_id in stored.receipt.delivered_to:
        row = view.row(inbox_key(run_id, seq))
        if row is None:
            continue
        is_held = row.due_at > view.now and value_of(row, InboxEntry).claimed_by is not None
        if not is_held:
            yield row.key


def _number(row: Row) -> int:
    return row.key.number
