"""Messages that are recorded now and come into the inboxes later.

Their records are worked into the inboxes as all others are, often in the same transaction. What the
record does not say, from when on a message can be taken, is noted until then.
"""

from collections.abc import Iterable
from typing import Final

from agentpool.rules.command import PoolView, Row, RowKey
from agentpool.rules.rows import InboxEntry, load, put, value_of
from agentpool.wire.ids import I64_MAX
from agentpool.wire.struct import Wire

__all__ = ("DEFERRED", "DEFERRED_KEY", "Deferral", "Deferred", "defer", "is_deferred", "noted")

DEFERRED: Final = "deferred"
DEFERRED_KEY: Final = RowKey(DEFERRED, "")


class Deferral(Wire):
    """From when on the message that a record delivers is in the inboxes, in milliseconds."""

    seq: int
    due_at: int


class Deferred(Wire):
    """Deferred messages whose records are not worked in yet, in order of the log."""

    messages: tuple[Deferral, ...]


def defer(view: PoolView, more: Iterable[tuple[int, int]]) -> Row:
    """Note what is deferred: records to come, and from when on their messages are there."""
    known = load(view, DEFERRED_KEY, Deferred)
    added = (Deferral(seq, min(due_at, I64_MAX - 1)) for seq, due_at in more)
    return put(DEFERRED_KEY, Deferred((*(known.messages if known else ()), *added)))


def noted(view: PoolView, seq: int) -> tuple[int, tuple[RowKey, ...]]:
    """Say from when on a message is in the inboxes, and what need not be noted after that.

    :return: a time, 0 for at once; and rows
    """
    known = load(view, DEFERRED_KEY, Deferred)
    if known is None:
        return 0, ()
    due_at = next((each.due_at for each in known.messages if each.seq == seq), 0)
    return due_at, (DEFERRED_KEY,) if known.messages[-1].seq <= seq else ()


def is_deferred(view: PoolView, row: Row) -> bool:
    """Say whether a message is not in the inbox yet: nobody ever had it, and it is due later."""
    return view.now < row.due_at < I64_MAX and value_of(row, InboxEntry).attempt == 0
