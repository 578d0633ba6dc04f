"""What nobody has taken care of: claims that ran out, dead letters, deadlines that are overdue.

A process that has a pool open carries out what is due within a fraction of a second. What is
much older shows that nobody has.
"""

from collections.abc import Iterator
from typing import Final

from agentpool.doctor.reader import Part, Reader, pools
from agentpool.doctor.report import Finding, Places, note, ok
from agentpool.errors import AgentPoolError
from agentpool.rules.command import DEADLINE, INBOX, Row
from agentpool.rules.rows import DEAD, LEASE, InboxEntry, value_of

__all__ = ("check_claims", "check_dead", "check_overdue")

GRACE_MILLIS: Final = 10_000

_UNITS: Final = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000))


class _Late:
    """Counts what is late by where it is, and since when."""

    def __init__(self, now: int) -> None:
        self._now = now
        self._found: dict[str, tuple[int, int]] = {}

    def add(self, place: str, due_at: int) -> None:
        count, since = self._found.get(place, (0, due_at))
        self._found[place] = count + 1, min(since, due_at)

    def places(self) -> Places:
        places = Places()
        for place, (count, since) in self._found.items():
            places.add(f"{place}: {count}, for {_age(self._now - since)}")
        return places


def _rows(reader: Reader, kind: str) -> Iterator[tuple[str, Row]]:
    """List the rows of a kind that have the types of one, with their pools."""
    for pool_id in pools(reader, Part.ROWS):
        for row in reader.rows(pool_id, kind):
            if isinstance(row.key.name, str) and isinstance(row.due_at, int):
                yield pool_id, row


def check_claims(reader: Reader, now: int) -> Iterator[Finding]:
    """Look for claims that ran out and that nobody took over."""
    late = _Late(now)
    for pool_id, row in _rows(reader, INBOX):
        if 0 < row.due_at < now - GRACE_MILLIS and _is_claimed(row):
            late.add(f"pool {pool_id!r}, run {row.key.name!r}", row.due_at)
    if found := late.places():
        what = f"messages whose claim ran out and that nobody took again: {found}"
        yield note("claims", what, "start a consumer of these inboxes")
    else:
        yield ok("claims", "none ran out and was left lying")


def _is_claimed(row: Row) -> bool:
    try:
        return value_of(row, InboxEntry).claimed_by is not None
    except (AgentPoolError, TypeError):  # damaged, and told of elsewhere
        return False


def check_dead(reader: Reader) -> Iterator[Finding]:
    """Look for messages that failed too often and were put aside."""
    counts: dict[str, int] = {}
    for pool_id, row in _rows(reader, DEAD):
        place = f"pool {pool_id!r}, run {row.key.name!r}"
        counts[place] = counts.get(place, 0) + 1
    found = Places()
    for place, count in counts.items():
        found.add(f"{place}: {count}")
    if found:
        what = f"messages that failed too often and were put aside: {found}"
        yield note("dead letters", what, "see Inbox.dead(); retry() or discard() them")
    else:
        yield ok("dead letters", "no message was put aside")


def check_overdue(reader: Reader, now: int) -> Iterator[Finding]:
    """Look for leases of members and for deadlines that nobody carried out."""
    dead, late = _Late(now), _Late(now)
    for pool_id, row in _rows(reader, DEADLINE):
        if row.due_at < now - GRACE_MILLIS:
            is_lease = row.key.name.startswith(f"{LEASE} ")
            (dead if is_lease else late).add(f"pool {pool_id!r}", row.due_at)
    remedy = "nobody keeps these pools: AgentPool.open() in any process does"
    if gone := dead.places():
        yield note("dead members", f"members whose lease ran out: {gone}", remedy)
    else:
        yield ok("dead members", "no member has outlived its lease")
    if overdue := late.places():
        yield note("overdue", f"deadlines that nobody carried out: {overdue}", remedy)
    else:
        yield ok("overdue", "no deadline is overdue")


def _age(millis: int) -> str:
    for unit, length in _UNITS:
        if millis >= length:
            return f"{millis // length} {unit}"
    return f"{millis} ms"
