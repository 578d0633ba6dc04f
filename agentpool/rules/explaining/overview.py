"""A pool at a glance: who is in it, what lies in the inboxes, what nobody has taken care of."""

from heapq import nsmallest
from typing import Final, NamedTuple

from agentpool.rules.backlog import Backlog
from agentpool.rules.command import PoolView
from agentpool.rules.explaining.inboxes import at_least, inbox_counted, rows_of
from agentpool.rules.explaining.parts import InboxSeen
from agentpool.rules.explaining.presence import Held, held
from agentpool.rules.queues import is_queue
from agentpool.rules.requirements import require_open
from agentpool.wire.records import AgentPoolMember

__all__ = (
    "MEMBERS_AT_ONCE",
    "MemberSeen",
    "Overview",
    "members_after",
    "overview",
    "without_members",
)

MEMBERS_AT_ONCE: Final = 250
"""How many members one look goes through, so that others get their turn."""


class MemberSeen(NamedTuple):
    """A member, or a queue, and its inbox.

    :ivar held: whether it is here, and who holds it
    :ivar oldest_at: when the first of what is in its inbox was delivered, as far as that is known
    """

    member: AgentPoolMember
    is_queue: bool
    held: Held
    inbox: InboxSeen
    oldest_at: int | None


class Overview(NamedTuple):
    """A pool as it is; times are in milliseconds of the store's clock, as ``now``.

    :ivar members: with their inboxes, in ascending order of their runs
    :ivar records: how many records its log has
    :ivar behind: how many of them are still to be worked into the inboxes
    :ivar waits: how many wakes wait
    :ivar next_deadline: when something is due; before ``now`` where nobody has carried it out
    :ivar last_change: when the last record was appended, as far as that is known
    :ivar backlog: all that is in the inboxes; ``None``: of each the first were counted
    """

    pool_id: str
    now: int
    records: int
    behind: int
    members: tuple[MemberSeen, ...]
    waits: int
    next_deadline: int | None
    last_change: int | None
    backlog: Backlog | None = None

    @property
    def counted(self) -> Backlog:
        """What is in the inboxes, queues too, as far as it was counted."""
        if self.backlog is not None:
            return self.backlog
        inboxes = [each.inbox for each in self.members]
        times = [each.oldest_at for each in self.members if each.oldest_at is not None]
        return Backlog(
            unread=sum(each.unread for each in inboxes),
            claimed=sum(each.claimed for each in inboxes),
            oldest_at=min(times, default=None),
            dead=sum(each.dead for each in inboxes),
        )

    @property
    def at_least(self) -> list[str]:
        """Name the numbers that are not counted to the end."""
        return [] if self.backlog is not None else at_least(each.inbox for each in self.members)

    @property
    def oldest_age(self) -> int | None:
        """For how many milliseconds the oldest of the unread has been there, if that is known."""
        oldest_at = self.counted.oldest_at
        return None if oldest_at is None else max(self.now - oldest_at, 0)

    @property
    def overdue(self) -> int:
        """For how many milliseconds something has been due that nobody has carried out."""
        return 0 if self.next_deadline is None else max(self.now - self.next_deadline, 0)


def overview(view: PoolView) -> Overview:
    """Look over a pool, and its first members; `members_after` shows the others."""
    require_open(view)
    return without_members(view)._replace(members=members_after(view, ""))


def without_members(view: PoolView) -> Overview:
    """Look over a pool as `overview` does, but for its members: by a few look-ups."""
    projected = view.projected
    return Overview(
        pool_id=view.pool_id,
        now=view.now,
        records=view.head,
        behind=0 if projected is None else max(view.head - projected, 0),
        members=(),
        waits=len(view.state.open_wakes),
        next_deadline=view.next_deadline(),
        last_change=view.time_of(view.head),
    )


def members_after(view: PoolView, run_id: str) -> tuple[MemberSeen, ...]:
    """Look at the next members behind one, at most `MEMBERS_AT_ONCE`; some look-ups for each."""
    members = view.state.members
    following = nsmallest(MEMBERS_AT_ONCE, (each for each in members if each > run_id))
    return tuple(_seen(view, members[each]) for each in following)


def _seen(view: PoolView, member: AgentPoolMember) -> MemberSeen:
    run_id = member.run_id
    rows = rows_of(view, run_id)
    return MemberSeen(
        member,
        is_queue(member),
        held(view, run_id),
        inbox_counted(view, run_id, rows),
        view.time_of(rows[0].key.number) if rows else None,
    )
