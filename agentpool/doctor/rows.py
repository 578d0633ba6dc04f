"""What each kind of row has to agree with. A complaint is a text; no complaint is ``None``."""

from collections.abc import Callable
from typing import Final, TypeAlias

from agentpool.doctor.look import Look
from agentpool.errors import AgentPoolError
from agentpool.rules.command import DEADLINE, INBOX, Row, RowKey
from agentpool.rules.delayed_messages import DEFERRED, Deferred
from agentpool.rules.inboxes import WITHDRAWN
from agentpool.rules.rows import (
    ACCEPTED,
    ANSWER,
    ASKED,
    AWAY,
    CAUSE,
    CONTRACT,
    DEAD,
    EVENT,
    EVENT_ID,
    EXPIRY,
    LATE,
    LEASE,
    OWING,
    OWING_LEFT,
    PUBLISHED,
    RESPONSE,
    WAKE,
    Asked,
    Contract,
    HostEvent,
    InboxEntry,
    WakeCause,
    contract_key,
    value_of,
)
from agentpool.wire.records import WakeRegistrationStatus

__all__ = ("CHECKS", "FOLLOWING", "check_of", "complaint")

_Check: TypeAlias = Callable[[Look, Row], str | None]


def complaint(look: Look, row: Row) -> str | None:
    """Say what is wrong with a row of a known kind."""
    try:
        return _COMPLAINTS[row.key.kind](look, row)
    except AgentPoolError:
        return "its value, or the record that it names, cannot be read"
    except ValueError:
        return "its value is no number"


def _inbox(look: Look, row: Row) -> str | None:
    value_of(row, InboxEntry)
    stored = look.delivered_at(row.key.number)
    if stored is None:
        return "names no record that delivers a message"
    if row.key.name not in stored.receipt.delivered_to:
        return "the message was not delivered to this run"
    return None


def _deferred(look: Look, row: Row) -> str | None:
    messages = value_of(row, Deferred).messages
    if any(look.delivered_at(each.seq) is None for each in messages):
        return "names no record that delivers a message"
    return None


def _asked(look: Look, row: Row) -> str | None:
    asked = value_of(row, Asked)
    found = look.message(asked.key(row.key.name))
    if found is None or found.stored.message.message_id != row.key.name:
        return "there is no such message"
    if not all(_is_answer(look, number, row.key.name) for number in asked.answers):
        return "names a record that delivers no answer to this message"
    return None


def _answer(look: Look, row: Row) -> str | None:
    if not _is_answer(look, row.key.number, row.key.name):
        return "names no record that delivers an answer to this message"
    return None


def _is_answer(look: Look, number: int, message_id: str) -> bool:
    stored = look.delivered_at(number)
    return stored is not None and stored.message.reply_to == message_id


def _owing(look: Look, row: Row) -> str | None:
    waits = look.row(contract_key(row.value))
    if waits is None or value_of(waits, Contract).number != row.key.number:
        return "says that a run has not answered of whom nobody waits for an answer"
    return None


def _contract(look: Look, row: Row) -> str | None:
    contract = value_of(row, Contract)
    found = look.message(contract.idempotency_key)
    if found is None:
        return "there is no such message"
    is_latest = found.stored.message.message_id == row.key.name
    if is_latest and not look.is_open_message(contract.idempotency_key):
        return "waits for answers to a message that has its final status"
    if contract.answered + contract.left > contract.recipients:
        return "counts more runs than received the message"
    if contract.answered >= contract.expected > 0:
        return "has all its answers, but the message has not its response"
    return None


def _cause(look: Look, row: Row) -> str | None:
    value_of(row, WakeCause)
    found = look.wake(row.key.name)
    if found is None or found.stored.registration.status is WakeRegistrationStatus.REGISTERED:
        return "says what triggered a wake that was not triggered"
    return None


def _event(look: Look, row: Row) -> str | None:
    event = value_of(row, HostEvent)
    if event.envelope.event_seq != row.key.number:
        return "has another number than its event"
    if row.key.number > look.event_sequence():
        return "has a number that was not given out yet"
    if event.after > look.state.sequence:
        return "was published after a record that is not there"
    named = look.row(RowKey(EVENT_ID, event.envelope.event_id))
    if named is None or int(named.value) != row.key.number:
        return "cannot be found by its id"
    return None


def _event_id(look: Look, row: Row) -> str | None:
    if look.row(RowKey(EVENT, "", int(row.value))) is None:
        return "names an event that is not there"
    return None


def _deadline(look: Look, row: Row) -> str | None:
    what, _, subject = row.key.name.partition(" ")
    return None if _DEADLINES[what](look, subject) else f"there is no {_ENDS[what]} that it ends"


def _is_member(look: Look, run_id: str) -> bool:
    return run_id in look.state.members


def _is_open_wake(look: Look, condition_id: str) -> bool:
    return look.state.open_wakes.get(condition_id) is not None


def _may_expire(look: Look, key: str) -> bool:
    # An answered message, say, still expires for those who have not taken it.
    found = look.message(key)
    return found is not None and found.stored.receipt.status not in WITHDRAWN


def _is_message(look: Look, key: str) -> bool:
    return look.message(key) is not None


def _is_event(look: Look, number: str) -> bool:
    return look.row(RowKey(EVENT, "", int(number))) is not None


_DEADLINES: Final[dict[str, Callable[[Look, str], bool]]] = {
    WAKE: _is_open_wake,
    RESPONSE: Look.is_open_message,
    EXPIRY: _may_expire,
    LEASE: _is_member,
    AWAY: lambda _look, _run_id: True,
    ACCEPTED: _is_message,
    PUBLISHED: _is_event,
}
_ENDS: Final = {
    WAKE: "wake",
    RESPONSE: "open message",
    EXPIRY: "message",
    LEASE: "member",
    AWAY: "run",
    ACCEPTED: "message",
    PUBLISHED: "event",
}

_COMPLAINTS: Final[dict[str, _Check]] = {
    INBOX: _inbox,
    DEAD: _inbox,
    DEFERRED: _deferred,
    ASKED: _asked,
    ANSWER: _answer,
    LATE: _answer,
    OWING: _owing,
    OWING_LEFT: _owing,
    CONTRACT: _contract,
    CAUSE: _cause,
    EVENT: _event,
    EVENT_ID: _event_id,
    DEADLINE: _deadline,
}

_CHECKS: Final = {
    INBOX: "inboxes",
    DEAD: "inboxes",
    DEFERRED: "inboxes",
    ASKED: "answers",
    ANSWER: "answers",
    LATE: "answers",
    OWING: "contracts",
    OWING_LEFT: "contracts",
    CONTRACT: "contracts",
    CAUSE: "causes",
    EVENT: "events",
    EVENT_ID: "events",
    DEADLINE: "deadlines",
}
CHECKS: Final = (*dict.fromkeys(_CHECKS.values()), "leases")
"""The names under which complaints are reported."""

FOLLOWING: Final = frozenset({CONTRACT, DEADLINE, OWING, OWING_LEFT})
"""The kinds that are true only once every record has been worked in."""


def check_of(row: Row) -> str | None:
    """Say under which name complaints of a row are reported; ``None``: it is not known here."""
    if row.key.kind != DEADLINE:
        return _CHECKS.get(row.key.kind)
    what, _, _ = row.key.name.partition(" ")
    if what not in _DEADLINES:
        return None
    return "leases" if what == LEASE else "deadlines"
