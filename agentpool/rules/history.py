"""The events of a pool in their order: of its records, and of hosts between them."""

from collections.abc import Callable
from typing import Final

from agentpool.errors import AgentPoolError, StoreError
from agentpool.rules.command import PoolView, Row
from agentpool.rules.membership import carries_policies
from agentpool.rules.record_events import event_of, is_of_record, kind_of, run_of
from agentpool.rules.requirements import require_type
from agentpool.rules.rows import EVENT, HostEvent, value_of
from agentpool.wire.event_kinds import EventKind
from agentpool.wire.events import EventEnvelope
from agentpool.wire.ids import I64_MAX, U64, check_identifier
from agentpool.wire.records import AgentPoolStoreCursor, PoolCreated

__all__ = (
    "EventCursor",
    "end_of_events",
    "is_member",
    "is_visible",
    "joined_by",
    "locate",
    "page_of_events",
    "record_before",
)

_PAGE: Final = 500


class EventCursor(AgentPoolStoreCursor):
    """A place between two events: after a record, and after a host event that followed it.

    An `AgentPoolStoreCursor` says the first only; read as a place between events it stands before
    the host events that follow its record, so that none is missed.
    """

    events: U64

    def past(self, pool_id: str, event: EventEnvelope) -> "EventCursor":
        """Move on past an event that the pool's subscription yielded, to go on there later."""
        check_identifier(pool_id, "pool_id")
        require_type(event, EventEnvelope, "event")
        if is_of_record(pool_id, event):
            return EventCursor(max(self.sequence, event.event_seq), self.events)
        return EventCursor(self.sequence, max(self.events, event.event_seq))


def end_of_events(view: PoolView) -> EventCursor:
    """Give the place behind all that there is."""
    return EventCursor(view.head, view.event_sequence)


def record_before(view: PoolView, moment: int) -> int:
    """Find the last record that was appended before a moment, by some look-ups."""
    low, high = 0, view.head
    while low < high:
        middle = (low + high + 1) // 2
        at = view.time_of(middle)
        low, high = (middle, high) if at is None or at < moment else (low, middle - 1)
    return low


def page_of_events(
    view: PoolView,
    cursor: AgentPoolStoreCursor | None,
    worth: Callable[[EventKind, str], bool] = lambda _kind, _run_id: True,
    *,
    keep_out_unreadable: bool = False,
) -> tuple[list[tuple[EventCursor, EventEnvelope]], EventCursor, bool]:
    """Read the next events that a pool may see, each with the cursor after it.

    :param worth: says of an event's kind and run whether to make it at all, which costs more than
        to read its record
    :param keep_out_unreadable: pass by records that cannot be read; else the page ends before the
        first of them, and raises its error where it would begin with it
    :return: the events, the cursor after all that was looked at, and whether there may be more
    """
    start = place = locate(view, cursor)
    records = view.records(place.sequence, _PAGE)
    hosts = view.rows(EVENT, "", after=place.events, limit=_PAGE)
    # Beyond the end of a full page of one sort, nothing of the other may be told yet: what is not
    # read of the first may come before it.
    record_end = records[-1][0] if len(records) == _PAGE else None
    host_end = value_of(hosts[-1], HostEvent).after if len(hosts) == _PAGE else None
    # Host events have numbers of their own. Each says ``after`` which record it came, so that all
    # processes merge the two sorts into one order; a place in it takes both numbers.
    events: list[tuple[EventCursor, EventEnvelope]] = []
    pending = list(map(_read, hosts))
    for seq, payload in (*records, (None, None)):
        while pending and (seq is None or pending[0][1].after < seq):
            number, host = pending[0]
            if record_end is not None and host.after >= record_end:
                break  # the next record may come before it
            place = EventCursor(max(place.sequence, host.after), number)
            if host.visible:
                events.append((place, host.envelope))
            pending.pop(0)
        if seq is None or payload is None or (host_end is not None and seq > host_end):
            break
        if isinstance(payload, PoolCreated) and seq == view.head:
            return events, place, False  # whose event it is, the next record says
        if isinstance(payload, AgentPoolError) and not keep_out_unreadable:
            if place == start:
                raise payload
            return events, place, True
        place = EventCursor(seq, place.events)
        if isinstance(payload, AgentPoolError):
            continue
        kind = kind_of(payload)
        # The place has moved on: what is left out here is not looked at again.
        if kind is None or not worth(kind, run_of(view, seq, payload)):
            continue
        event = event_of(view, seq, payload)
        if event is not None and is_visible(view, event, seq):
            events.append((place, event))
    return events, place, record_end is not None or host_end is not None


def joined_by(event: EventEnvelope, seq: int) -> int:
    """Say by which record the run of an event has joined, if ever.

    :param seq: the record that the event is, or came after
    """
    # The run that a pool came to life for joins right behind that.
    return seq + 1 if event.event_kind is EventKind.AGENT_POOL_CREATED else seq


def is_visible(view: PoolView, event: EventEnvelope, seq: int) -> bool:
    """Say whether a pool may see the event of a record, or one published after it.

    Those of runs that are members then and carry the pool's policies; what a run did before it
    left still counts.
    """
    # At the record, not now: otherwise what a subscriber sees would depend on when it reads.
    member = view.member_at(event.run_id, joined_by(event, seq) + 1)
    if member is not None:
        return carries_policies(view.config, member.stored)
    return view.config is not None and not view.config.policy_refs


def is_member(view: PoolView, event: EventEnvelope) -> bool:
    """Say whether a pool may see an event that is published now."""
    member = view.state.members.get(event.run_id)
    return member is not None and carries_policies(view.config, member)


def locate(view: PoolView, cursor: AgentPoolStoreCursor | None) -> EventCursor:
    """Find the place between events that a cursor means.

    :raises StoreError: host events that were seen are lost
    """
    if cursor is None:
        return EventCursor(0, 0)
    if isinstance(cursor, EventCursor):
        # Numbers that were seen and are not there: a power cut or a restored copy took them. They
        # will be given again, to other events, which a reader that goes on would never see.
        if cursor.events > view.event_sequence:
            msg = f"the last event has number {view.event_sequence}, but {cursor.events} was seen"
            raise StoreError(msg, pool_id=view.pool_id)
        return EventCursor(min(cursor.sequence, I64_MAX), min(cursor.events, I64_MAX))
    sequence = min(cursor.sequence, I64_MAX)
    return EventCursor(sequence, _host_events_before(view, sequence))


def _host_events_before(view: PoolView, seq: int) -> int:
    """Find the last host event that came before a record, by bisection over their numbers."""
    low, high = 0, view.event_sequence
    while low < high:
        middle = (low + high) // 2
        found = view.rows(EVENT, "", after=middle, limit=1)
        if found and value_of(found[0], HostEvent).after < seq:
            low = found[0].key.number
        else:
            high = middle
    return low


def _read(row: Row) -> tuple[int, HostEvent]:
    return row.key.number, value_of(row, HostEvent)
