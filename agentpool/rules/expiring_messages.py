"""How messages end by time: what a question or an expiring message comes to when it is late.

By time means by the time at which something was recorded, not by whether somebody has carried out
the deadline before it.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from agentpool.rules.command import Decision, PoolView, Row, RowKey
from agentpool.rules.inboxes import UNREADABLE, WITHDRAWN, message_at, unheld
from agentpool.rules.messages import can_become, record_status
from agentpool.rules.rows import (
    EXPIRY,
    OWING_LEFT,
    RESPONSE,
    Contract,
    contract_key,
    deadline_key,
    inbox_key,
    load,
    number_in,
)
from agentpool.wire.records import AgentPoolStoredMessage, MessageStatus, RunMessage

__all__ = ("closing", "end_if_late", "expire", "time_out")


def closing(
    view: PoolView, stored: AgentPoolStoredMessage, status: MessageStatus
) -> tuple[RowKey, ...]:
    """List the rows that keep open what a message waits for, which gets its final status.

    Its expiry stays for those who have not taken it, unless nobody is to get it any more.
    """
    message = stored.message
    expiry = deadline_key(EXPIRY, message.idempotency_key)
    answers = tuple(_what_keeps_open(view, message))
    row = None if message.expires_at_millis is None else view.row(expiry)
    delivered_at = None if row is None else number_in(row.value)
    left = () if delivered_at is None else tuple(unheld(view, stored, delivered_at))
    if status in WITHDRAWN:
        return (*answers, expiry, *left)
    return answers if left else (*answers, expiry)


def _what_keeps_open(view: PoolView, message: RunMessage) -> Iterator[RowKey]:
    key = contract_key(message.message_id)
    yield key
    yield deadline_key(RESPONSE, message.idempotency_key)
    contract = load(view, key, Contract) if message.response_contract is not None else None
    if contract is not None and contract.unanswered:
        yield from _owing(view, contract)


def _owing(view: PoolView, contract: Contract) -> Iterator[RowKey]:
    """List the rows of those that have not answered, and of others, which have none."""
    with suppress(*UNREADABLE):  # then they end when their run leaves, or joins again
        to = message_at(view, contract.number).receipt.delivered_to
        if contract.left:
            yield from (contract.owed_by(each, OWING_LEFT) for each in to)
        if contract.unanswered > contract.left:
            yield from (contract.owed_by(each) for each in to)


def time_out(view: PoolView, key: str) -> Decision[Any]:
    """Let a question time out, unless it has ended before."""
    return _end(view, key, MessageStatus.TIMED_OUT)


def expire(view: PoolView, key: str, row: Row) -> Decision[Any]:
    """Expire a message, unless all who received it have acknowledged it.

    One that still has time for answers only goes to nobody else: its status is what comes of them.

    :param row: its deadline
    """
    known, delivered_at = view.message_by_key(key), number_in(row.value)
    if known is None or delivered_at is None:
        return Decision(None)  # who takes the message sees that it is over
    # A claimed row counts: its consumer may still fail, and then nobody is to get it again.
    to = known.stored.receipt.delivered_to
    if not any(view.row(inbox_key(run_id, delivered_at)) for run_id in to):
        return Decision(None)
    has_time = view.row(deadline_key(RESPONSE, key)) is not None
    if can_become(known.stored, MessageStatus.EXPIRED) and not has_time:
        return _end(view, key, MessageStatus.EXPIRED)
    # Or it was answered, say, but some have never taken it.
    return Decision(None, deletes=tuple(unheld(view, known.stored, delivered_at)))


def end_if_late(view: PoolView, message_id: str, at: int) -> Iterator[Decision[Any]]:
    """End a question whose time was up when something was recorded, at ``at``."""
    contract = load(view, contract_key(message_id), Contract)
    if contract is None:
        return
    key = contract.idempotency_key
    found = (view.row(deadline_key(what, key)) for what in (RESPONSE, EXPIRY))
    late = [row for row in found if row is not None and row.due_at <= at]
    for row in sorted(late, key=lambda each: each.due_at):
        if row.key == deadline_key(RESPONSE, key):
            yield time_out(view, key)
        else:
            yield expire(view, key, row)


def _end(view: PoolView, key: str, status: MessageStatus) -> Decision[Any]:
    known = view.message_by_key(key)
    if known is None or not can_become(known.stored, status):
        return Decision(None)
    ended = record_status(view, known, status)
    closed = closing(view, known.stored, status)
    return ended._replace(deletes=tuple(dict.fromkeys((*ended.deletes, *closed))))
