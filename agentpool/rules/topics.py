"""What a transaction concerns, named: so that only those are woken who wait for it.

A topic stands for one thing in one pool that somebody may wait for. Whoever waits names it, looks,
and waits until it is touched; whoever commits says what was touched. With a topic goes a number,
which spares those who are told a look.
"""

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from agentpool.rules.command import DEADLINE, INBOX, Decision, PoolView
from agentpool.rules.rows import ANSWER, ASKED
from agentpool.wire.payload import SealedPayload
from agentpool.wire.records import (
    AgentPoolStoreRecordPayload,
    MemberJoined,
    MemberLeft,
    MessageStatus,
    RunMessageRecorded,
    WakeRecorded,
)

__all__ = (
    "ANY",
    "DEADLINES",
    "LOG",
    "LOOK_NOW",
    "MEMBERS",
    "SOME",
    "AllTouched",
    "Touched",
    "answers_topic",
    "inbox_topic",
    "is_inbox",
    "member_topic",
    "merge",
    "message_topic",
    "touch",
    "touch_by_foreign",
    "touch_if_behind",
    "wake_topic",
)

Touched: TypeAlias = dict[str, int]
"""Topics of a pool, and the number that goes with each."""

AllTouched: TypeAlias = dict[str, Touched]
"""What was touched, by pool."""

ANY: Final = "any"
"""Anything may have changed, it is not known what."""

LOG: Final = "log"
"""Records or events were added."""

MEMBERS: Final = "members"
"""A run has joined or left, whichever."""

DEADLINES: Final = "deadlines"
"""Something falls due at a time, which goes with it, or upkeep is to look at once."""

LOOK_NOW: Final = 0
"""What goes with `DEADLINES` where there is more to do than to wait for a time."""

SOME: Final = 0
"""What goes with an inbox where it is not known how many messages can be taken."""

_INBOX: Final = "inbox "
_SILENT: Final = frozenset({MessageStatus.ACCEPTED, MessageStatus.DELIVERED})


def inbox_topic(run_id: str) -> str:
    """Name what can be taken from the inbox of a run; with it goes how many messages came."""
    return f"{_INBOX}{run_id}"


def is_inbox(topic: str) -> bool:
    """Say whether a topic is an inbox: what comes is for one of those who wait for it."""
    return topic.startswith(_INBOX)


def member_topic(run_id: str) -> str:
    """Name who holds a run, and whether it is a member."""
    return f"member {run_id}"


def message_topic(idempotency_key: str) -> str:
    """Name the status of a message, once it is more than delivered."""
    return f"message {idempotency_key}"


def answers_topic(message_id: str) -> str:
    """Name the answers to a question, as they come."""
    return f"answers {message_id}"


def wake_topic(condition_id: str) -> str:
    """Name the status of a wake."""
    return f"wake {condition_id}"


def touch(touched: Touched, decision: Decision[Any]) -> None:
    """Add what a decision touches, when it is applied."""
    _touch_by_records(touched, decision.records)
    if decision.event_sequence is not None:
        touched[LOG] = 1
    elif decision.announce:
        _touch_by_announcement(touched, decision)
    for row in decision.puts:
        if row.key.kind == DEADLINE:
            touched[DEADLINES] = min(touched.get(DEADLINES, row.due_at), row.due_at)
        elif row.key.kind in {ASKED, ANSWER}:
            touched[answers_topic(row.key.name)] = 1


def _touch_by_records(touched: Touched, records: Iterable[SealedPayload]) -> None:
    for record in records:
        _touch_by_record(touched, record.payload)


def _touch_by_record(touched: Touched, payload: AgentPoolStoreRecordPayload) -> None:
    touched[LOG] = 1
    match payload:
        case RunMessageRecorded(stored):
            # Whom it was delivered to is told when it is put into their inboxes.
            if stored.receipt.status not in _SILENT:
                touched[message_topic(stored.message.idempotency_key)] = 1
        case MemberJoined(member) | MemberLeft(member):
            touched[MEMBERS] = touched[member_topic(member.run_id)] = 1
        case WakeRecorded(stored_wake):
            touched[wake_topic(stored_wake.condition.condition_id)] = 1


def _touch_by_announcement(touched: Touched, decision: Decision[Any]) -> None:
    inboxes = [row.key.name for row in decision.puts if row.key.kind == INBOX]
    for run_id in inboxes:
        topic = inbox_topic(run_id)
        touched[topic] = touched.get(topic, 0) + 1
    if not inboxes and not decision.records:
        touched[ANY] = 1


def merge(touched: Touched, more: Touched) -> None:
    """Add what another transaction touched."""
    for topic, number in more.items():
        if topic == DEADLINES:
            touched[topic] = min(touched.get(topic, number), number)
        elif is_inbox(topic):
            touched[topic] = touched.get(topic, 0) + number
        else:
            touched[topic] = number


def touch_by_foreign(touched: Touched, payload: AgentPoolStoreRecordPayload) -> None:
    """Add what a record of another implementation touches, though it is not worked in yet."""
    _touch_by_record(touched, payload)
    touched[DEADLINES] = LOOK_NOW
    if isinstance(payload, RunMessageRecorded):
        receipt = payload.stored.receipt
        if receipt.status is MessageStatus.DELIVERED:
            touched.update((inbox_topic(run_id), SOME) for run_id in receipt.delivered_to)


def touch_if_behind(touched: Touched, view: PoolView) -> None:
    """Have upkeep look at a pool that a transaction has left with records to be worked in."""
    if view.projected is not None and view.projected < view.head:
        touched[DEADLINES] = LOOK_NOW
