"""What waits in a pool, in numbers, counted a piece at a time: however much it is."""

from collections.abc import Sequence
from heapq import nsmallest
from itertools import product
from typing import Final, NamedTuple, Self

from agentpool.rules.command import INBOX, PoolView, Row
from agentpool.rules.explaining.inboxes import entry_of, state_of
from agentpool.rules.explaining.parts import RecipientState
from agentpool.rules.requirements import require_open
from agentpool.rules.rows import DEAD, NEVER

__all__ = ("Backlog", "Place", "backlog_after")

_MEMBERS_AT_ONCE: Final = 250
_ROWS_AT_ONCE: Final = 1000


class Backlog(NamedTuple):
    """What is in the inboxes of members, and of queues.

    :ivar unread: messages that are not done
    :ivar claimed: those of them that somebody has
    :ivar redelivered: those that were handed out before, and came back
    :ivar oldest_at: when the oldest of them was delivered, as far as that is known
    :ivar dead: those that were put aside
    """

    unread: int = 0
    claimed: int = 0
    redelivered: int = 0
    oldest_at: int | None = None
    dead: int = 0

    def plus(self, more: Self) -> "Backlog":
        """Add another one."""
        times = [each for each in (self.oldest_at, more.oldest_at) if each is not None]
        return Backlog(
            self.unread + more.unread,
            self.claimed + more.claimed,
            self.redelivered + more.redelivered,
            min(times, default=None),
            self.dead + more.dead,
        )


class Place(NamedTuple):
    """How far it was counted: up to a message of a run, in its inbox or put aside."""

    run_id: str = ""
    kind: str = ""
    number: int = 0


def backlog_after(view: PoolView, place: Place) -> tuple[Backlog, Place | None]:
    """Count the next piece; say how far that came, ``None``: to the end."""
    require_open(view)
    found, room = Backlog(), _ROWS_AT_ONCE
    following = (each for each in view.state.members if each >= place.run_id)
    runs = nsmallest(_MEMBERS_AT_ONCE, following)
    for run_id, kind in product(runs, _KINDS):
        if (run_id, kind) < (place.run_id, place.kind):
            continue
        after = place.number if (run_id, kind) == (place.run_id, place.kind) else 0
        rows = view.rows(kind, run_id, after=after, limit=room)
        if rows:
            found = found.plus(_COUNTED[kind](view, rows))
        if len(rows) == room:
            return found, Place(run_id, kind, rows[-1].key.number)
        room -= len(rows)
    return found, Place(runs[-1], _KINDS[-1], NEVER) if len(runs) == _MEMBERS_AT_ONCE else None


def _dead(_: PoolView, rows: Sequence[Row]) -> Backlog:
    return Backlog(dead=len(rows))


def _unread(view: PoolView, rows: Sequence[Row]) -> Backlog:
    claimed = redelivered = 0
    for row in rows:
        entry = entry_of(row)
        is_claimed = state_of(view, row, entry) is RecipientState.CLAIMED
        claimed += is_claimed
        redelivered += entry is not None and entry.attempt > is_claimed
    return Backlog(len(rows), claimed, redelivered, view.time_of(rows[0].key.number))


_COUNTED: Final = {DEAD: _dead, INBOX: _unread}
_KINDS: Final = sorted(_COUNTED)  # a place is compared with them
