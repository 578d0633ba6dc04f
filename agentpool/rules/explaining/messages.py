"""Messages: whom one reached, what has come of it with each, and its answers."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from agentpool.rules.answers import owed
from agentpool.rules.asking import in_time
from agentpool.rules.command import Placed, PoolView, RowKey
from agentpool.rules.explaining.awaiting import due_of
from agentpool.rules.explaining.explanations import MOST_LISTED, MessageExplanation
from agentpool.rules.explaining.inboxes import entry_of, state_of
from agentpool.rules.explaining.missed import alike_to_target, all_missed
from agentpool.rules.explaining.parts import (
    AnswersSeen,
    Recipient,
    RecipientState,
    StatusSeen,
)
from agentpool.rules.inboxes import UNREADABLE, WITHDRAWN, message_at
from agentpool.rules.rows import (
    ANSWER,
    DEAD,
    LATE,
    RESPONSE,
    Asked,
    Contract,
    InboxEntry,
    asked_key,
    contract_key,
    inbox_key,
    load,
)
from agentpool.rules.transitions import MESSAGE_STEPS
from agentpool.wire.records import AgentPoolStoredMessage, MessageStatus, RunMessage

__all__ = ("explain_message",)

_MOST_STATUSES: Final = 32


class _Told(NamedTuple):
    """The answers to a message, as far as it is known whose they are.

    :ivar owing: who has not answered, while it waits for answers
    :ivar by_run: the ids of the answers that are kept, by who gave them
    :ivar is_all: whether these are all that came in time
    """

    owing: frozenset[str] | None
    by_run: dict[str, str]
    is_all: bool

    def has_answered(self, run_id: str) -> bool | None:
        """Say whether a run has answered in time; ``None``: that is not known."""
        if self.owing is not None:
            return run_id not in self.owing
        if run_id in self.by_run:
            return True
        return False if self.is_all else None


def explain_message(view: PoolView, known: Placed[AgentPoolStoredMessage]) -> MessageExplanation:
    """Explain a message.

    :param known: its latest record
    """
    message, receipt = known.stored.message, known.stored.receipt
    records = view.records_of_message(message.idempotency_key, _MOST_STATUSES) or [known]
    delivered = _last_delivered(records)
    to = (delivered or known).stored.receipt.delivered_to
    # Who receives it was settled by the record that first names them.
    settled = next((each for each in records if each.stored.receipt.delivered_to), known)
    missed = all_missed(view, message, settled.seq, to)
    told = _told(view, known.stored, to)
    return MessageExplanation(
        pool_id=view.pool_id,
        now=view.now,
        alike=alike_to_target(view, message, close=not to),
        message_id=message.message_id,
        idempotency_key=message.idempotency_key,
        sender=message.sender,
        to=message.to.target,
        status=receipt.status,
        statuses=tuple(_status_seen(view, each) for each in records),
        recipients=tuple(
            _recipient(view, each, known.stored, delivered, told) for each in to[:MOST_LISTED]
        ),
        recipients_in_all=len(to),
        missed=missed.listed,
        missed_in_all=missed.in_all,
        left_until=missed.left_until,
        answers=_answers_seen(view, known.stored, to, told),
        expires_at=message.expires_at_millis,
    )


def _last_delivered(
    records: Sequence[Placed[AgentPoolStoredMessage]],
) -> Placed[AgentPoolStoredMessage] | None:
    for each in reversed(records):
        if each.stored.receipt.status is MessageStatus.DELIVERED:
            return each
    return None


def _status_seen(view: PoolView, placed: Placed[AgentPoolStoredMessage]) -> StatusSeen:
    return StatusSeen(placed.stored.receipt.status, placed.seq, view.time_of(placed.seq))


# --- recipients


def _recipient(
    view: PoolView,
    run_id: str,
    stored: AgentPoolStoredMessage,
    delivered: Placed[AgentPoolStoredMessage] | None,
    told: _Told,
) -> Recipient:
    state, entry, until = _stands(view, run_id, stored, delivered.seq if delivered else 0)
    answered = told.has_answered(run_id) if stored.message.response_contract else None
    if answered and state is RecipientState.WITHDRAWN:
        state = RecipientState.ACKED
    return Recipient(
        run_id=run_id,
        state=state,
        is_member=run_id in view.state.members,
        attempts=entry.attempt if entry else 0,
        process=entry.claimed_by if entry else None,
        until=until,
        answered=answered,
        answer=told.by_run.get(run_id),
    )


def _stands(
    view: PoolView, run_id: str, stored: AgentPoolStoredMessage, seq: int
) -> tuple[RecipientState, InboxEntry | None, int | None]:
    """Say how a message stands with a recipient, by the rows that it has there.

    :param seq: the record that delivered it, 0 for none
    """
    row = view.row(inbox_key(run_id, seq)) if seq else None
    if row is not None:
        entry = entry_of(row)
        state = state_of(view, row, entry)
        is_later = state in _LATER
        return state, entry, row.due_at if is_later else None
    dead = view.row(RowKey(DEAD, run_id, seq)) if seq else None
    if dead is not None:
        return RecipientState.DEAD, entry_of(dead), None
    return _stands_by_none(view, run_id, stored, seq), None, None


_LATER: Final = {RecipientState.CLAIMED, RecipientState.DELAYED, RecipientState.BACKING_OFF}


def _stands_by_none(
    view: PoolView, run_id: str, stored: AgentPoolStoredMessage, seq: int
) -> RecipientState:
    """Say how a message stands with a recipient in whose inbox it is not."""
    status, expires_at = stored.receipt.status, stored.message.expires_at_millis
    if status in MESSAGE_STEPS and (not seq or (view.projected or 0) < seq):
        return RecipientState.COMING
    if _is_kept(view, stored.message, run_id, seq):
        return RecipientState.KEPT
    if status in WITHDRAWN or (expires_at is not None and expires_at <= view.now):
        return RecipientState.WITHDRAWN
    return RecipientState.ACKED


def _is_kept(view: PoolView, answer: RunMessage, run_id: str, seq: int) -> bool:
    """Say whether a message is an answer that is kept with its question for a run."""
    question = answer.reply_to
    asked = None if question is None else load(view, asked_key(question), Asked)
    if question is None or asked is None:
        return False
    rows = (view.row(RowKey(kind, question, seq)) for kind in (ANSWER, LATE))
    if seq not in asked.answers and not any(rows):
        return False
    known = view.message_by_key(asked.key(question))
    return known is not None and known.stored.message.sender == run_id


# --- answers


def _told(view: PoolView, stored: AgentPoolStoredMessage, to: tuple[str, ...]) -> _Told:
    message = stored.message
    if message.response_contract is None:
        return _Told(None, {}, is_all=False)
    key, message_id = message.idempotency_key, message.message_id
    contract = load(view, contract_key(message_id), Contract)
    if contract is not None and contract.idempotency_key != key:
        contract = None  # of another message that has its id
    asked = load(view, asked_key(message_id), Asked)
    if asked is not None and asked.key(message_id) != key:
        asked = None
    owing = None
    if contract is not None:
        owing = frozenset(each for each in to if owed(view, contract, each))
    answers = in_time(view, stored) if asked else []
    by_run: dict[str, str] = {}
    for seq in answers[:MOST_LISTED]:
        with suppress(*UNREADABLE):
            answer = message_at(view, seq).message
            by_run[answer.sender] = answer.message_id
    return _Told(owing, by_run, asked is not None and len(by_run) == len(answers))


def _answers_seen(
    view: PoolView, stored: AgentPoolStoredMessage, to: tuple[str, ...], told: _Told
) -> AnswersSeen | None:
    message = stored.message
    if message.response_contract is None:
        return None
    answered = tuple(each for each in to if told.has_answered(each))
    without = [each for each in to if told.has_answered(each) is False]
    missing = tuple(each for each in without if each in view.state.members)
    left = tuple(each for each in without if each not in view.state.members)
    is_open = stored.receipt.status in MESSAGE_STEPS
    return AnswersSeen(
        expected=message.response_contract.expected_responses,
        answered=answered[:MOST_LISTED],
        missing=missing[:MOST_LISTED],
        left=left[:MOST_LISTED],
        answered_in_all=len(answered),
        missing_in_all=len(missing),
        left_in_all=len(left),
        late=len(view.rows(LATE, message.message_id, limit=MOST_LISTED)),
        is_open=is_open,
        deadline=due_of(view, RESPONSE, message.idempotency_key) if is_open else None,
    )
