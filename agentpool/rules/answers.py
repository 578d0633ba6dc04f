"""Questions and their answers: counted, and kept for the run that asked and waits for them."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from msgspec.structs import replace

from agentpool.errors import IdempotencyConflictError
from agentpool.rules.command import Command, Decision, LookUps, PoolView, Row, RowKey
from agentpool.rules.inboxes import message_at
from agentpool.rules.messages import can_become, record_status
from agentpool.rules.rows import (
    ANSWER,
    ASKING,
    HELD,
    UNREAD,
    Contract,
    InboxEntry,
    contract_key,
    deadline,
    deadline_key,
    inbox_key,
    load,
    put,
    value_of,
)
from agentpool.rules.transitions import MESSAGE_STEPS
from agentpool.wire.records import (
    MessageReceipt,
    MessageResponseContract,
    MessageStatus,
    RunMessage,
)

__all__ = (
    "HOLD_MILLIS",
    "RenewHolds",
    "TakeAnswers",
    "asker_of",
    "count_answer",
    "hold",
    "hold_on",
    "is_answered",
    "on_asker_left",
    "refuse_used_id",
    "release_answers",
    "respond",
)

HOLD_MILLIS: Final = 30_000
"""How long answers are kept for an asker that gives no sign of life."""

_ALL: Final = 2**31


# --- asking


def refuse_used_id(view: PoolView, message: RunMessage) -> None:
    """Refuse a question whose id another one still waits under: answers name the id only.

    :raises IdempotencyConflictError: that is so
    """
    other = load(view, contract_key(message.message_id), Contract)
    if other is not None and other.idempotency_key != message.idempotency_key:
        msg = f"message id {message.message_id!r} waits for answers under another key"
        raise IdempotencyConflictError(msg, pool_id=view.pool_id)


def hold(
    view: PoolView,
    message: RunMessage,
    contract: MessageResponseContract,
    found: tuple[str, ...],
) -> Iterator[Row]:
    """Set what keeps the answers to a message for the run that asks."""
    # An answer goes to one of two places. Held, it is for the task that asked, which would get it
    # twice if it stood in the inbox too; with the hold gone, nobody comes and it goes to the inbox.
    expected = contract.expected_responses
    asked = Contract(message.idempotency_key, expected, found, asker=message.sender)
    yield put(contract_key(message.message_id), asked)
    # What a run waits for, listed by run: when it leaves, its answers are released.
    yield Row(RowKey(ASKING, message.sender, view.head + 1), message.message_id)
    yield deadline(HELD, message.message_id, view.now + HOLD_MILLIS)


def hold_on(view: PoolView, message_id: str, receipt: MessageReceipt) -> Decision[MessageReceipt]:
    """Keep answers for an asker that has come back, if they are still kept."""
    if view.row(deadline_key(HELD, message_id)) is None:
        return Decision(receipt)
    return Decision(receipt, puts=(deadline(HELD, message_id, view.now + HOLD_MILLIS),))


class RenewHolds(Command[None]):
    """Keep the answers to messages for those who wait for them; appends nothing."""

    must_survive_power_cut = False

    def __init__(self, message_ids: Sequence[str]) -> None:
        self._message_ids = message_ids
        self.looks_up: LookUps = LookUps(
            rows=tuple(deadline_key(HELD, each) for each in message_ids)
        )

    def decide(self, view: PoolView) -> Decision[None]:
        # A hold that ran out is not set again: its answers are in the inbox, maybe handled already.
        held = [each for each in self._message_ids if view.row(deadline_key(HELD, each))]
        until = view.now + HOLD_MILLIS
        return Decision(None, puts=tuple(deadline(HELD, each, until) for each in held))


# --- answering


def asker_of(view: PoolView, message_id: str, sender: str) -> str | None:
    """Say which run waits itself for the answer that a run has given to its message."""
    contract = load(view, contract_key(message_id), Contract)
    if contract is None or sender not in contract.recipients:
        return None
    return contract.asker


def count_answer(view: PoolView, message_id: str, sender: str) -> Decision[Any]:
    """Count an answer; with the last one expected, the message asked has its response."""
    contract = load(view, contract_key(message_id), Contract)
    if contract is None or sender not in contract.recipients:
        return Decision(None)
    # Runs are counted, not messages: one that answers again does not stand in for another.
    answered = tuple(sorted({*contract.answered, sender}))
    if len(answered) >= contract.expected:
        return respond(view, contract.idempotency_key)
    counted = replace(contract, answered=answered)
    return Decision(None, puts=(put(contract_key(message_id), counted),))


def respond(view: PoolView, key: str) -> Decision[Any]:
    """Give a message its response, unless its time is up or it has one."""
    known = view.message_by_key(key)
    # Answer and timeout race; the first in the log decides, and the other is no error.
    if known is None or not can_become(known.stored, MessageStatus.RESPONDED):
        return Decision(None)
    return record_status(view, known, MessageStatus.RESPONDED)


# --- taking the answers


class TakeAnswers(Command[tuple[RunMessage, ...] | None]):
    """Give the answers to a message, and keep them out of the inbox for good; ``None`` too early.

    They stay for an asker that asks again under the same key. Where this does not come to pass,
    it is as if the asker had been killed: the answers go to its inbox.
    """

    must_survive_power_cut = False

    def __init__(self, idempotency_key: str) -> None:
        self._key = idempotency_key
        self.looks_up: LookUps = LookUps(message_keys=(idempotency_key,))

    def decide(self, view: PoolView) -> Decision[tuple[RunMessage, ...] | None]:
        known = view.message_by_key(self._key)
        if known is None or not is_answered(view, self._key):
            return Decision(None)
        message = known.stored.message
        return Decision(
            _answers_to(view, message.message_id),
            deletes=tuple(_kept_for(view, message.sender, message.message_id)),
        )


def is_answered(view: PoolView, idempotency_key: str) -> bool:
    """Say whether nothing more is waited for: all answers are there, or the time is up."""
    known = view.message_by_key(idempotency_key)
    return known is not None and known.stored.receipt.status not in MESSAGE_STEPS


def _kept_for(view: PoolView, asker: str, message_id: str) -> Iterator[RowKey]:
    """List what keeps the answers to a message for its asker, and those in its inbox."""
    # Not the answers themselves: asked again under the same key, they are the same.
    yield deadline_key(HELD, message_id)
    for row in view.rows(ASKING, asker, limit=_ALL):
        if row.value == message_id:
            yield row.key
    for answer in view.rows(ANSWER, message_id, limit=_ALL):
        released = _unclaimed(view, answer)
        if released is not None:
            yield released.key


def _answers_to(view: PoolView, message_id: str) -> tuple[RunMessage, ...]:
    """List the answers that came in time, one of each run, in the order they came.

    Without those that went to the inbox, because the asker seemed to be gone, and are claimed.
    """
    answers: dict[str, RunMessage] = {}
    for row in view.rows(ANSWER, message_id, limit=_ALL):
        # One that a consumer of the inbox has claimed is theirs, so nobody handles it twice.
        in_inbox = view.row(inbox_key(row.value, row.key.number))
        if in_inbox is None or _unclaimed(view, row):
            answer = message_at(view, row.key.number).message
            answers.setdefault(answer.sender, answer)
    return tuple(answers.values())


def _unclaimed(view: PoolView, answer: Row) -> Row | None:
    """Find the row of an answer that went to the inbox and that nobody has taken there."""
    row = view.row(inbox_key(answer.value, answer.key.number))
    return row if row is not None and value_of(row, InboxEntry).claimed_by is None else None


def release_answers(view: PoolView, message_id: str) -> Decision[None]:
    """Put answers that nobody comes to take into the inbox of the run that asked.

    What is still to come goes there too, once the hold is gone.
    """
    rows = view.rows(ANSWER, message_id, limit=_ALL)
    puts = [Row(inbox_key(row.value, row.key.number), UNREAD) for row in rows]
    return Decision(None, puts=tuple(puts), announce=bool(rows))


def on_asker_left(view: PoolView, run_id: str, seq: int) -> Iterator[Decision[None]]:
    """Release the answers that a run waited for when it left, by the record ``seq``.

    Each decision has to be applied before the next is asked for.
    """
    while rows := view.rows(ASKING, run_id, limit=1):
        [row] = rows
        if row.key.number > seq:
            return  # it joined again since, and asks anew
        released = release_answers(view, row.value)
        held = deadline_key(HELD, row.value)
        yield released._replace(deletes=(*released.deletes, row.key, held))
