"""How messages end by time: what a question or an expiring message comes to when it is late.

By time means by the time at which something was recorded, not by whether somebody has carried out
the deadline before it.
"""

from collections.abc import Iterator
from typing import Any

from agentpool.rules.command import Decision, PoolView, RowKey
from agentpool.rules.messages import can_become, record_status
from agentpool.rules.rows import (
    EXPIRY,
    RESPONSE,
    Contract,
    contract_key,
    deadline_key,
    inbox_key,
    load,
)
from agentpool.wire.records import MessageStatus, RunMessage

__all__ = ("closing", "end_if_late", "expire", "time_out")


def closing(message: RunMessage) -> tuple[RowKey, ...]:
    """List the rows that keep open what a message waits for."""
    key = message.idempotency_key
    return contract_key(message.message_id), deadline_key(RESPONSE, key), deadline_key(EXPIRY, key)


def time_out(view: PoolView, key: str) -> Decision[Any]:
    """Let a question time out, unless it has ended before."""
    return _end(view, key, MessageStatus.TIMED_OUT)


def expire(view: PoolView, key: str, delivered_at: int) -> Decision[Any]:
    """Expire a message, unless all who received it have acknowledged it."""
    known = view.message_by_key(key)
    # A claimed row counts: its consumer may still fail, and then nobody is to get it again.
    if known is None or not any(
        view.row(inbox_key(run_id, delivered_at)) for run_id in known.stored.receipt.delivered_to
    ):
        return Decision(None)
    return _end(view, key, MessageStatus.EXPIRED)


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
            yield expire(view, key, int(row.value))


def _end(view: PoolView, key: str, status: MessageStatus) -> Decision[Any]:
    known = view.message_by_key(key)
    if known is None or not can_become(known.stored, status):
        return Decision(None)
    ended = record_status(view, known, status)
    return ended._replace(deletes=closing(known.stored.message))
