"""What is looked at anew for each page *Now*: little of each, however much there is."""

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Final, NamedTuple

from agentpool.rules.command import PoolView, Row
from agentpool.rules.dead import DeadLetter, dead_page
from agentpool.rules.explaining.awaiting import awaited_by_wake, due_of
from agentpool.rules.explaining.inboxes import claims_among
from agentpool.rules.explaining.parts import Awaited, ClaimSeen, WaitSeen
from agentpool.rules.explaining.phrases import filter_words
from agentpool.rules.rows import NEVER, WAKE
from agentpool.web.entries import Entry, Filters, page_before

__all__ = ("MOST", "Claimed", "Glance", "Waiting", "glance")

MOST: Final = 50
_MOST_WAKES: Final = 200
_IN_AN_INBOX: Final = 10
_LAST: Final = 12


class Waiting(NamedTuple):
    """A wake that waits, and the runs whose events it names."""

    run_id: str
    wait: WaitSeen
    since: int | None
    awaited: tuple[Awaited, ...]


class Claimed(NamedTuple):
    """A message under a claim, and when it was delivered."""

    claim: ClaimSeen
    delivered_at: int | None


class Glance(NamedTuple):
    """A pool as it is; times are in milliseconds of the store's clock, as ``now``.

    :ivar behind: how many records are still to be worked into the inboxes
    :ivar overdue: what is due and nobody has carried out, the earliest first
    :ivar waits: the first wakes that wait; ``waits_in_all``: how many there are
    """

    now: int
    head: int
    behind: int
    last_change: int | None
    members_in_all: int
    overdue: Sequence[Row]
    waits: tuple[Waiting, ...]
    waits_in_all: int
    claims: tuple[Claimed, ...]
    dead: tuple[DeadLetter, ...]
    last: list[Entry]


def glance(view: PoolView, claimed: Sequence[str], dead: Sequence[str]) -> Glance:
    """Look at a pool.

    :param claimed: the runs in whose inboxes claims are looked for
    :param dead: the runs whose dead letters are listed
    """
    projected = view.projected
    return Glance(
        now=view.now,
        head=view.head,
        behind=0 if projected is None else max(view.head - projected, 0),
        last_change=view.time_of(view.head),
        members_in_all=len(view.state.members),
        overdue=view.deadlines(view.now, MOST),
        waits=tuple(_waits(view)),
        waits_in_all=len(view.state.open_wakes),
        claims=tuple(islice(chain.from_iterable(_claims(view, each) for each in claimed), MOST)),
        dead=tuple(islice(chain.from_iterable(_dead(view, each) for each in dead), MOST)),
        last=page_before(view, None, _LAST, Filters()).entries,
    )


def _waits(view: PoolView) -> Iterator[Waiting]:
    for stored in islice(view.state.open_wakes, _MOST_WAKES):
        condition = stored.condition
        first = view.first_of_wake(condition.condition_id)
        wait = WaitSeen(
            condition_id=condition.condition_id,
            waits_for=filter_words(condition.filter),
            until=due_of(view, WAKE, condition.condition_id),
        )
        awaited = tuple(islice(awaited_by_wake(view, stored), _IN_AN_INBOX))
        yield Waiting(condition.run_id, wait, view.time_of(first.seq) if first else None, awaited)


def _claims(view: PoolView, run_id: str) -> Iterator[Claimed]:
    # What is claimed is due when its claim ends: it is found without what waits before it.
    rows = view.due(run_id, after=view.now, due_by=NEVER - 1, limit=MOST)
    for claim in islice(claims_among(view, rows), _IN_AN_INBOX):
        yield Claimed(claim, view.time_of(claim.seq))


def _dead(view: PoolView, run_id: str) -> Iterator[DeadLetter]:
    letters, _ = dead_page(view, run_id, 0, _IN_AN_INBOX)
    yield from letters
