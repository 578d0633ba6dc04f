"""A pool at a glance: who is in it, what lies in the inboxes, what nobody has taken care of."""

from typing import NamedTuple

from agentpool.rules.command import PoolView
from agentpool.rules.explaining.inboxes import inbox_seen, rows_of
from agentpool.rules.explaining.parts import InboxSeen
from agentpool.rules.explaining.presence import Held, held
from agentpool.rules.queues import is_queue
from agentpool.rules.requirements import require_open
from agentpool.wire.records import AgentPoolMember

__all__ = ("MemberSeen", "Overview", "overview")


class MemberSeen(NamedTuple):
    """A member, or a queue, and its inbox.

    :ivar held: whether it is here, and who holds it
    """

    member: AgentPoolMember
    is_queue: bool
    held: Held
    inbox: InboxSeen


class Overview(NamedTuple):
    """A pool as it is; times are in milliseconds of the store's clock, as ``now``.

    :ivar records: how many records its log has
    :ivar behind: how many of them are still to be worked into the inboxes
    :ivar waits: how many wakes wait
    :ivar next_deadline: when something is due; before ``now`` where nobody has carried it out
    :ivar last_change: when the last record was appended, as far as that is known
    """

    pool_id: str
    now: int
    records: int
    behind: int
    members: tuple[MemberSeen, ...]
    waits: int
    next_deadline: int | None
    last_change: int | None

    @property
    def unread(self) -> int:
        """How many messages are not done, those in queues too."""
        return sum(each.inbox.unread for each in self.members)

    @property
    def claimed(self) -> int:
        """How many of them somebody has."""
        return sum(each.inbox.claimed for each in self.members)

    @property
    def dead(self) -> int:
        """How many were put aside."""
        return sum(each.inbox.dead for each in self.members)

    @property
    def oldest_age(self) -> int | None:
        """For how many milliseconds the oldest of the unread has been there, if that is known."""
        found = (each.inbox.oldest for each in self.members)
        times = [each.at for each in found if each is not None and each.at is not None]
        return max(self.now - min(times), 0) if times else None

    @property
    def overdue(self) -> int:
        """For how many milliseconds something has been due that nobody has carried out."""
        return 0 if self.next_deadline is None else max(self.now - self.next_deadline, 0)


def overview(view: PoolView) -> Overview:
    """Look over a pool. It costs some look-ups for each member."""
    require_open(view)
    members = [member for _, member in sorted(view.state.members.items())]
    projected = view.projected
    return Overview(
        pool_id=view.pool_id,
        now=view.now,
        records=view.head,
        behind=0 if projected is None else max(view.head - projected, 0),
        members=tuple(_seen(view, each) for each in members),
        waits=len(view.state.open_wakes),
        next_deadline=view.next_deadline(),
        last_change=view.time_of(view.head),
    )


def _seen(view: PoolView, member: AgentPoolMember) -> MemberSeen:
    run_id = member.run_id
    inbox = inbox_seen(view, run_id, rows_of(view, run_id))
    return MemberSeen(member, is_queue(member), held(view, run_id), inbox)
