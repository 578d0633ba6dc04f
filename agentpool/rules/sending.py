"""Sending: who receives a message, how its status goes on, and when it has been answered."""

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from agentpool.errors import IdempotencyConflictError, InvalidTransitionError
from agentpool.rules.claims import HOLD_MILLIS, hold_on
from agentpool.rules.command import Command, Decision, LookUps, Placed, PoolView, Row, RowKey
from agentpool.rules.log import (
    MESSAGE_STEPS,
    earlier_message,
    require_member,
    require_open,
    require_type,
)
from agentpool.rules.rows import (
    ANSWER,
    ASKING,
    EXPIRY,
    HELD,
    RESPONSE,
    UNREAD,
    Contract,
    contract_key,
    deadline,
    deadline_key,
    inbox_key,
    load,
    put,
)
from agentpool.wire.payload import SealedPayload, readable, seal_known
from agentpool.wire.records import (
    AgentPoolMember,
    AgentPoolStoredMessage,
    AgentTarget,
    MessageReceipt,
    MessageResponseContract,
    MessageStatus,
    PoolTarget,
    RunMessage,
    RunMessageRecorded,
    RunTarget,
    TopicTarget,
)
from agentpool.wire.struct import trusted

__all__ = ("RecordStatus", "Send", "can_become", "on_message", "recipients", "record_status")


def recipients(view: PoolView, message: RunMessage) -> tuple[str, ...]:
    """Resolve whom a message is for, in ascending order and each once."""
    config = require_open(view)
    if not set(config.message_policy.required_policy_refs) <= set(message.policy_refs):
        return ()
    needed = set(message.policy_refs)
    found = (each for each in _addressed(view, message) if needed <= set(each.policy_refs))
    return tuple(sorted(each.run_id for each in found))


def _addressed(view: PoolView, message: RunMessage) -> list[AgentPoolMember]:
    members = view.state.members
    match message.to.target:
        case RunTarget(run_id):
            return [members[run_id]] if run_id in members else []
        case AgentTarget(agent_id):
            return [each for each in members.values() if each.agent_id == agent_id]
        case TopicTarget(topic_id):
            return [each for each in members.values() if topic_id in each.topics]
        case PoolTarget(pool_id):
            if pool_id != view.pool_id:
                return []
            config = require_open(view)
            with_sender = config.message_policy.include_sender_in_pool_broadcast
            return [
                each for each in members.values() if with_sender or each.run_id != message.sender
            ]


class Send(Command[MessageReceipt]):
    """Send a message: resolve, decide and record in one.

    :param hold_answers: keep the answers for whoever waits for them, out of the sender's inbox,
        until they are all there or the time is up
    """

    def __init__(self, message: RunMessage, *, hold_answers: bool = False) -> None:
        require_type(message, RunMessage, "message")
        self._message = readable(message, RunMessage)
        self._hold_answers = hold_answers
        self.looks_up = LookUps(message_keys=(message.idempotency_key,))

    def decide(self, view: PoolView) -> Decision[MessageReceipt]:
        require_open(view)
        known = earlier_message(view, self._message)
        if known is None:
            require_member(view, self._message.sender)
            return self._first(view)
        if known.stored.receipt.status is MessageStatus.ACCEPTED:
            return self._complete(view, known)
        if self._hold_answers:
            return hold_on(view, known.stored.message.message_id, known.stored.receipt)
        return Decision(known.stored.receipt)

    def _first(self, view: PoolView) -> Decision[MessageReceipt]:
        message = self._message
        if _is_expired(view, message):
            return _recorded(message, MessageStatus.EXPIRED)
        self._refuse_used_id(view)
        found = recipients(view, message)
        if not found:
            return _recorded(message, MessageStatus.FAILED)
        accepted = _record(message, MessageStatus.ACCEPTED, found)
        return self._delivered(view, message, found, before=(accepted,))

    def _complete(
        self, view: PoolView, known: Placed[AgentPoolStoredMessage]
    ) -> Decision[MessageReceipt]:
        """Deliver what another implementation accepted and then did not live to deliver."""
        message = known.stored.message
        if _is_expired(view, message):
            return _recorded(message, MessageStatus.EXPIRED)
        found = known.stored.receipt.delivered_to or recipients(view, message)
        if not found:
            return _recorded(message, MessageStatus.FAILED)
        return self._delivered(view, message, found)

    def _delivered(
        self,
        view: PoolView,
        message: RunMessage,
        found: tuple[str, ...],
        before: tuple[SealedPayload, ...] = (),
    ) -> Decision[MessageReceipt]:
        decision = _recorded(message, MessageStatus.DELIVERED, found, before)
        contract = message.response_contract
        if not self._hold_answers or contract is None:
            return decision
        return decision._replace(puts=tuple(_hold(view, message, contract, found)))

    def _refuse_used_id(self, view: PoolView) -> None:
        """Refuse a question whose id another one still waits under: answers name the id only."""
        message = self._message
        if message.response_contract is None:
            return
        other = load(view, contract_key(message.message_id), Contract)
        if other is not None and other.idempotency_key != message.idempotency_key:
            msg = f"message id {message.message_id!r} waits for answers under another key"
            raise IdempotencyConflictError(msg, pool_id=view.pool_id)


def _is_expired(view: PoolView, message: RunMessage) -> bool:
    return message.expires_at_millis is not None and message.expires_at_millis <= view.now


def _hold(
    view: PoolView,
    message: RunMessage,
    contract: MessageResponseContract,
    found: tuple[str, ...],
) -> Iterator[Row]:
    """Set what keeps the answers to a message for the run that asks."""
    expected = contract.expected_responses
    asked = Contract(message.idempotency_key, expected, found, asker=message.sender)
    yield put(contract_key(message.message_id), asked)
    yield Row(RowKey(ASKING, message.sender, view.head + 1), message.message_id)
    yield deadline(HELD, message.message_id, view.now + HOLD_MILLIS)


class RecordStatus(Command[MessageReceipt]):
    """Record what became of a message; the same status again appends nothing."""

    def __init__(
        self, message: RunMessage, status: MessageStatus, delivered_to: tuple[str, ...]
    ) -> None:
        require_type(message, RunMessage, "message")
        self._message = readable(message, RunMessage)
        self._receipt = MessageReceipt(message.message_id, status, delivered_to)
        self.looks_up = LookUps(message_keys=(message.idempotency_key,))

    def decide(self, view: PoolView) -> Decision[MessageReceipt]:
        require_open(view)
        known = earlier_message(view, self._message)
        if known is None:
            require_member(view, self._message.sender)
            return _recorded(self._message, self._receipt.status, self._receipt.delivered_to)
        return record_status(view, known, self._receipt.status, self._receipt.delivered_to or None)


def can_become(stored: AgentPoolStoredMessage, status: MessageStatus) -> bool:
    """Say whether a message may still get this status."""
    return status in MESSAGE_STEPS.get(stored.receipt.status, ())


def record_status(
    view: PoolView,
    known: Placed[AgentPoolStoredMessage],
    status: MessageStatus,
    delivered_to: tuple[str, ...] | None = None,
) -> Decision[MessageReceipt]:
    """Take a stored message to another status.

    :raises InvalidTransitionError: it is already past that status
    """
    message, receipt = known.stored.message, known.stored.receipt
    if receipt.status is status:
        return Decision(receipt)
    if not can_become(known.stored, status):
        msg = f"message {message.message_id!r} is {receipt.status}, it cannot become {status}"
        raise InvalidTransitionError(msg, pool_id=view.pool_id, seq=known.seq)
    return _recorded(
        message, status, receipt.delivered_to if delivered_to is None else delivered_to
    )


def _recorded(
    message: RunMessage,
    status: MessageStatus,
    delivered_to: tuple[str, ...] = (),
    before: tuple[SealedPayload, ...] = (),
) -> Decision[MessageReceipt]:
    record = _record(message, status, delivered_to)
    return Decision(record.payload.stored.receipt, (*before, record))  # type: ignore[union-attr]


def _record(
    message: RunMessage, status: MessageStatus, delivered_to: tuple[str, ...]
) -> SealedPayload:
    receipt = trusted(MessageReceipt, message.message_id, status, delivered_to)
    stored = trusted(AgentPoolStoredMessage, message, receipt)
    return seal_known(trusted(RunMessageRecorded, stored))


# --- what a message record means for the rows


def on_message(view: PoolView, seq: int, stored: AgentPoolStoredMessage) -> Iterator[Decision[Any]]:
    """Work a record of a message into the rows: inboxes, deadlines, contracts and answers.

    Each decision has to be applied before the next is asked for.
    """
    message, status = stored.message, stored.receipt.status
    if status is MessageStatus.DELIVERED:
        known = view.message_by_key(message.idempotency_key)
        waits = message.response_contract or message.expires_at_millis is not None
        if waits and (known is None or known.seq == seq):
            yield _open(view, seq, stored)
        yield _hand_out(view, seq, stored)
        if message.reply_to is not None:
            yield _count_answer(view, message.reply_to, message.sender)
        if message.response_contract and message.response_contract.expected_responses == 0:
            yield _respond(view, message.idempotency_key)
    elif status is not MessageStatus.ACCEPTED:
        yield _close(message)


def _open(view: PoolView, seq: int, stored: AgentPoolStoredMessage) -> Decision[Any]:
    """Set what a delivered message has to wait for: its answers, its deadlines."""
    message, contract = stored.message, stored.message.response_contract
    puts: list[Row] = []
    if message.expires_at_millis is not None:
        due = deadline(EXPIRY, message.idempotency_key, message.expires_at_millis)
        puts.append(due._replace(value=str(seq)))
    if contract is not None:
        key = contract_key(message.message_id)
        if view.row(key) is None:
            to = stored.receipt.delivered_to
            puts.append(
                put(key, Contract(message.idempotency_key, contract.expected_responses, to))
            )
        if contract.timeout_millis is not None:
            due_at = view.now + contract.timeout_millis
            puts.append(deadline(RESPONSE, message.idempotency_key, due_at))
    return Decision(None, puts=tuple(puts))


def _hand_out(view: PoolView, seq: int, stored: AgentPoolStoredMessage) -> Decision[Any]:
    """Put a message into the inboxes; an answer that somebody waits for is kept for them."""
    question = stored.message.reply_to
    asker = _asker_of(view, stored.message)
    puts: list[Row] = []
    for run_id in stored.receipt.delivered_to:
        is_answer = question is not None and run_id == asker
        if is_answer:
            puts.append(Row(RowKey(ANSWER, str(question), seq), run_id))
        if not (is_answer and view.row(deadline_key(HELD, str(question)))):
            puts.append(Row(inbox_key(run_id, seq), UNREAD))
    # Announced, because a foreign record was told of before it was worked in here.
    return Decision(None, puts=tuple(puts), announce=True)


def _asker_of(view: PoolView, message: RunMessage) -> str | None:
    """Say which run waits itself for this message, as one of the answers to its question."""
    if message.reply_to is None:
        return None
    contract = load(view, contract_key(message.reply_to), Contract)
    if contract is None or message.sender not in contract.recipients:
        return None
    return contract.asker


def _count_answer(view: PoolView, message_id: str, sender: str) -> Decision[Any]:
    """Count an answer; with the last one expected, the message asked has its response."""
    contract = load(view, contract_key(message_id), Contract)
    if contract is None or sender not in contract.recipients:
        return Decision(None)
    answered = tuple(sorted({*contract.answered, sender}))
    if len(answered) >= contract.expected:
        return _respond(view, contract.idempotency_key)
    counted = replace(contract, answered=answered)
    return Decision(None, puts=(put(contract_key(message_id), counted),))


def _respond(view: PoolView, key: str) -> Decision[Any]:
    known = view.message_by_key(key)
    if known is None or not can_become(known.stored, MessageStatus.RESPONDED):
        return Decision(None)
    return record_status(view, known, MessageStatus.RESPONDED)


def _close(message: RunMessage) -> Decision[Any]:
    return Decision(
        None,
        deletes=(
            contract_key(message.message_id),
            deadline_key(RESPONSE, message.idempotency_key),
            deadline_key(EXPIRY, message.idempotency_key),
        ),
    )
