"""What happens when something becomes due. Whoever comes first carries it out."""

from itertools import islice
from typing import Any, Final

from agentpool.errors import CorruptRecordError, UnknownRecordError
from agentpool.rules.command import Command, Decision, LookUps, PoolView, Row, RowKey
from agentpool.rules.expiring_messages import expire, time_out
from agentpool.rules.holding import judge_lease
from agentpool.rules.rows import (
    ACCEPTED,
    AWAY,
    EVENT,
    EXPIRY,
    LEASE,
    PUBLISHED,
    RESPONSE,
    WAKE,
    HostEvent,
    load,
    number_in,
)
from agentpool.rules.sending import complete
from agentpool.rules.waits import TRIGGERED_AT_ONCE, trigger, waits_ended
from agentpool.rules.wakes import end_wake
from agentpool.wire.records import MessageStatus, WakeRegistrationStatus

__all__ = ("CarryOutDue", "carry_out_due")

_NOTHING: Final[Decision[Any]] = Decision(None)


class CarryOutDue(Command[bool]):
    """Carry out one deadline, if it has passed, before all others that have.

    For who waits for it: whoever carries out what is due goes from the earliest on, and may have
    much to do. What others have appended comes first, as it may have come before: the result says
    whether that was done.

    :ivar key: its row
    """

    def __init__(self, key: RowKey) -> None:
        self.key: Final = key
        self.looks_up: LookUps = LookUps(rows=(key,), deadlines=(key,))

    def decide(self, view: PoolView) -> Decision[bool]:
        if view.projected != view.head:
            return Decision(False)  # its result
        row = view.row(self.key)
        if row is None or row.due_at > view.now:
            return Decision(True)
        return carry_out_due(view, row)._replace(result=True)


def carry_out_due(view: PoolView, row: Row) -> Decision[Any]:
    """Decide what a deadline that has passed means now.

    The deadline itself goes away; it stays where there is more to do than fits in one piece.

    :raises CorruptRecordError: it is none, or what it is about is damaged
    :raises UnknownRecordError: it is of a newer version, or of another program
    """
    # A deadline says what to look at, not what to do: if it came to something else meanwhile, or
    # another process was first, nothing is left to do.
    what, _, subject = row.key.name.partition(" ")
    if row.key.number:
        msg = f"deadline {row.key.name!r} has number {row.key.number}, and none has one"
        raise CorruptRecordError(msg)
    if what == LEASE:
        return judge_lease(view, row)
    decision: Decision[Any]
    if what == PUBLISHED:
        return _end_more_waits(view, subject, row)
    if what == WAKE:
        decision = _end_wait(view, subject)
    elif what == RESPONSE:
        decision = time_out(view, subject)
    elif what == EXPIRY:
        decision = expire(view, subject, row)
    elif what == ACCEPTED:
        decision = _complete(view, subject)
    elif what == AWAY:  # who held the run has not come back for so long
        decision = _NOTHING
    else:
        msg = f"deadline {row.key.name!r} is of a kind that this version does not know"
        raise UnknownRecordError(msg)
    return decision._replace(deletes=tuple(dict.fromkeys((*decision.deletes, row.key))))


def _end_wait(view: PoolView, condition_id: str) -> Decision[Any]:
    stored = view.state.open_wakes.get(condition_id)
    if stored is None:
        return _NOTHING
    return end_wake(stored, WakeRegistrationStatus.TIMED_OUT)


def _end_more_waits(view: PoolView, subject: str, row: Row) -> Decision[Any]:
    """End the next of the waits that a host event matches; there were too many for `Publish`."""
    number = number_in(subject)
    if number is None:
        msg = f"deadline {row.key.name!r} names no event"
        raise CorruptRecordError(msg)
    host = load(view, RowKey(EVENT, "", number), HostEvent)
    if host is None:
        return Decision(None, deletes=(row.key,))
    event = host.envelope
    found = trigger(
        view, event.run_id, event.event_kind, lambda: event, after=host.after, at=row.due_at
    )
    ended = waits_ended(islice(found, TRIGGERED_AT_ONCE))
    if len(ended.records) < TRIGGERED_AT_ONCE:
        ended = ended._replace(deletes=(*ended.deletes, row.key))
    return ended


def _complete(view: PoolView, key: str) -> Decision[Any]:
    """Deliver what another implementation accepted and then did not live to deliver."""
    known = view.message_by_key(key)
    if known is None or known.stored.receipt.status is not MessageStatus.ACCEPTED:
        return _NOTHING
    return complete(view, known)
