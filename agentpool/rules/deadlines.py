"""What happens when something becomes due. Whoever comes first carries it out."""

from typing import Any, Final

from agentpool.rules.answers import release_answers
from agentpool.rules.command import Decision, PoolView, Row
from agentpool.rules.holding import judge_lease
from agentpool.rules.inboxes import unheld
from agentpool.rules.messages import can_become, record_status
from agentpool.rules.rows import EXPIRY, HELD, LEASE, RESPONSE, WAKE, inbox_key
from agentpool.rules.wakes import end_wake
from agentpool.wire.records import MessageStatus, WakeRegistrationStatus

__all__ = ("carry_out_due",)


def carry_out_due(view: PoolView, row: Row) -> Decision[Any]:
    """Decide what a deadline that has passed means now. The deadline itself goes away."""
    # A deadline says what to look at, not what to do: if it came to something else meanwhile, or
    # another process was first, nothing is left to do.
    what, _, subject = row.key.name.partition(" ")
    if what == LEASE:
        return judge_lease(view, row)
    decision: Decision[Any]
    if what == WAKE:
        decision = _end_wait(view, subject)
    elif what == RESPONSE:
        decision = _end_message(view, subject, MessageStatus.TIMED_OUT)
    elif what == EXPIRY:
        decision = _expire(view, subject, row.value)
    elif what == HELD:
        decision = release_answers(view, subject)
    else:
        decision = Decision(None)  # nothing more is to be done, or a newer version knows what
    return decision._replace(deletes=(*decision.deletes, row.key))


def _end_wait(view: PoolView, condition_id: str) -> Decision[Any]:
    stored = view.state.open_wakes.get(condition_id)
    if stored is None:
        return Decision(None)
    return end_wake(stored, WakeRegistrationStatus.TIMED_OUT)


def _end_message(view: PoolView, key: str, status: MessageStatus) -> Decision[Any]:
    known = view.message_by_key(key)
    if known is None or not can_become(known.stored, status):
        return Decision(None)
    return record_status(view, known, status)


_MOST_DIGITS: Final = 18


def _expire(view: PoolView, key: str, number: str) -> Decision[Any]:
    """Expire a message, unless all who received it have acknowledged it."""
    known = view.message_by_key(key)
    if not (number.isascii() and number.isdigit() and len(number) <= _MOST_DIGITS):
        return Decision(
            None
        )  # another program wrote it; who takes the message sees that it is over
    delivered_at = int(number)
    # A claimed row counts: its consumer may still fail, and then nobody is to get it again.
    if known is None or not any(
        view.row(inbox_key(run_id, delivered_at)) for run_id in known.stored.receipt.delivered_to
    ):
        return Decision(None)
    ended = _end_message(view, key, MessageStatus.EXPIRED)
    if ended.records:
        return ended
    # It was answered, say, but some have never taken it.
    return Decision(None, deletes=tuple(unheld(view, known.stored, delivered_at)))
