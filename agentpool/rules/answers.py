"""Answers to messages: counted as they come, and kept with a question for the run that asks it.

What is kept stays when the question has ended, so that it can be asked again: one row, and one for
each answer but the first few, and for each that came too late or beyond what was expected. All else
ends with the question.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from msgspec.structs import replace

from agentpool.errors import IdempotencyConflictError
from agentpool.rules.command import Decision, PoolView, Row, RowKey
from agentpool.rules.messages import can_become, record_status
from agentpool.rules.recipients import Addressing
from agentpool.rules.requirements import require_open
from agentpool.rules.rows import (
    ANSWER,
    LATE,
    OWING,
    OWING_LEFT,
    Asked,
    Contract,
    asked_key,
    contract_key,
    load,
    put,
)
from agentpool.wire.records import AgentPoolStoredMessage, MessageStatus, RunMessage, RunTarget

__all__ = (
    "end_if_certain",
    "is_for_absent_asker",
    "on_recipient_back",
    "on_recipient_left",
    "opened",
    "owed",
    "refuse_used_id",
    "take_in",
)

_FEW: Final = 16
"""So many answers are kept in one row, which is written anew for each of them."""


# --- the question


def refuse_used_id(view: PoolView, message: RunMessage) -> None:
    """Refuse a question whose id another one has: answers name the id only.

    :raises IdempotencyConflictError: that is so
    """
    message_id, key = message.message_id, message.idempotency_key
    contract = load(view, contract_key(message_id), Contract)
    asked = load(view, asked_key(message_id), Asked)
    is_other = contract is not None and contract.idempotency_key != key
    if is_other or (asked is not None and asked.key(message_id) != key):
        msg = f"message id {message_id!r} waits for answers under another key, or has; take another"
        raise IdempotencyConflictError(msg, pool_id=view.pool_id)


def opened(view: PoolView, seq: int, stored: AgentPoolStoredMessage) -> Iterator[Row]:
    """Make the rows by which answers to a message are counted, which the record ``seq`` delivers.

    :param stored: a message with a response contract
    """
    message, contract = stored.message, stored.message.response_contract
    if contract is None or view.row(contract_key(message.message_id)) is not None:
        return
    key, to = message.idempotency_key, tuple(dict.fromkeys(stored.receipt.delivered_to))
    asked = load(view, asked_key(message.message_id), Asked)
    is_asked = asked is not None and asked.key(message.message_id) == key
    asker = message.sender if is_asked else None
    waits = Contract(key, contract.expected_responses, len(to), asker=asker, number=seq)
    yield put(contract_key(message.message_id), waits)
    for run_id in to:
        yield Row(waits.owed_by(run_id), message.message_id)


def end_if_certain(view: PoolView, message_id: str) -> Decision[Any]:
    """End a question that was just delivered where its outcome is certain already."""
    contract = load(view, contract_key(message_id), Contract)
    if contract is None:
        return Decision(None)
    if contract.expected == 0:
        return _end(view, contract, MessageStatus.RESPONDED)
    if contract.asker is not None and contract.expected > contract.recipients:
        return _end(view, contract, MessageStatus.FAILED)
    return Decision(None)


# --- answers


def take_in(view: PoolView, seq: int, answer: RunMessage) -> tuple[str | None, Decision[Any]]:
    """Count a delivered message that replies to another, or keep it, where it is an answer.

    :return: the run out of whose inbox it is kept, and what follows
    """
    question = str(answer.reply_to)
    contract = load(view, contract_key(question), Contract)
    # Runs are counted, not messages: one that answers again does not stand in for another.
    if contract is not None and contract.answered < contract.expected:
        owing = owed(view, contract, answer.sender)
        if owing is not None:
            return contract.asker, _counted(view, contract, seq, answer, owing)
    asker = _keeper_of_late(view, answer)
    if asker is None:
        return None, Decision(None)
    return asker, Decision(None, puts=(Row(RowKey(LATE, question, seq)),))


def is_for_absent_asker(view: PoolView, seq: int, stored: AgentPoolStoredMessage) -> bool:
    """Say whether a reply reached nobody only because the run that asked was away.

    It is an answer all the same: whoever comes back, or asks again, is to have it.
    """
    answer, receipt = stored.message, stored.receipt
    if receipt.status is not MessageStatus.FAILED or receipt.delivered_to:
        return False
    asker = _asker_of(view, str(answer.reply_to))
    joined = None if asker is None else view.member_at(asker, seq)
    if joined is None or answer.to.target != RunTarget(joined.stored.run_id):
        return False
    addressing = Addressing(require_open(view), view.pool_id, answer)
    return addressing.why_not(joined.stored) is None


def _asker_of(view: PoolView, question: str) -> str | None:
    """Say which run has asked what keeps its answers, if anything does."""
    asked = load(view, asked_key(question), Asked)
    known = None if asked is None else view.message_by_key(asked.key(question))
    return None if known is None else known.stored.message.sender


def owed(view: PoolView, contract: Contract, run_id: str) -> RowKey | None:
    """Name the row that says that a run has not answered, if there is one."""
    keys = (contract.owed_by(run_id, kind) for kind in (OWING, OWING_LEFT))
    return next((key for key in keys if view.row(key) is not None), None)


def _counted(
    view: PoolView, contract: Contract, seq: int, answer: RunMessage, owing: RowKey
) -> Decision[Any]:
    question = str(answer.reply_to)
    left = contract.left - (owing.kind == OWING_LEFT)
    counted = replace(contract, answered=contract.answered + 1, left=left)
    puts = [put(contract_key(question), counted)]
    asked = None if contract.asker is None else load(view, asked_key(question), Asked)
    if asked is not None:
        puts.append(_kept(question, asked, seq))
    return _and_end(view, counted, Decision(None, puts=tuple(puts), deletes=(owing,)))


def _kept(question: str, asked: Asked, seq: int) -> Row:
    if len(asked.answers) < _FEW:
        return put(asked_key(question), replace(asked, answers=(*asked.answers, seq)))
    return Row(RowKey(ANSWER, question, seq))


def _keeper_of_late(view: PoolView, answer: RunMessage) -> str | None:
    """Say for which run an answer that is not counted is kept, out of its inbox."""
    question = str(answer.reply_to)
    asked = load(view, asked_key(question), Asked)
    if asked is None or asked.late_to_inbox:
        return None
    known = view.message_by_key(asked.key(question))
    if known is None or answer.sender not in known.stored.receipt.delivered_to:
        return None
    return known.stored.message.sender


# --- recipients that come and go


def on_recipient_left(view: PoolView, run_id: str) -> Iterator[Decision[Any]]:
    """Note that a run has left, of whom answers are waited for.

    Each decision has to be applied before the next is asked for.
    """

    def note(row: Row, contract: Contract) -> Decision[Any]:
        left = replace(contract, left=contract.left + 1)
        return _and_end(view, left, _moved(row, OWING_LEFT, left))

    return _each_noted(view, OWING, run_id, note)


def on_recipient_back(view: PoolView, run_id: str) -> Iterator[Decision[Any]]:
    """Note that a run has joined again, of whom answers are waited for.

    Each decision has to be applied before the next is asked for.
    """

    def note(row: Row, contract: Contract) -> Decision[Any]:
        return _moved(row, OWING, replace(contract, left=contract.left - 1))

    return _each_noted(view, OWING_LEFT, run_id, note)


def _each_noted(
    view: PoolView, kind: str, run_id: str, note: Callable[[Row, Contract], Decision[Any]]
) -> Iterator[Decision[Any]]:
    """Note something of each message that a run owes an answer to, whose row then is another."""
    while rows := view.rows(kind, run_id, limit=1):
        contract = load(view, contract_key(rows[0].value), Contract)
        if contract is None:
            yield Decision(None, deletes=(rows[0].key,))
        else:
            yield note(rows[0], contract)


def _moved(row: Row, kind: str, contract: Contract) -> Decision[Any]:
    moved = row._replace(key=row.key._replace(kind=kind))
    return Decision(None, puts=(moved, put(contract_key(row.value), contract)), deletes=(row.key,))


# --- the end


def _and_end(view: PoolView, contract: Contract, noted: Decision[Any]) -> Decision[Any]:
    """Note something, and end the question where its outcome is certain with that."""
    if contract.answered >= contract.expected:
        ended = _end(view, contract, MessageStatus.RESPONDED)
    elif contract.left >= contract.unanswered:
        ended = _end(view, contract, MessageStatus.FAILED)
    else:
        return noted
    return ended._replace(puts=noted.puts, deletes=(*noted.deletes, *ended.deletes))


def _end(view: PoolView, contract: Contract, status: MessageStatus) -> Decision[Any]:
    known = view.message_by_key(contract.idempotency_key)
    # Answer, leaving and timeout race; the first in the log decides, and the others are no error.
    if known is None or not can_become(known.stored, status):
        return Decision(None)
    return record_status(view, known, status)
