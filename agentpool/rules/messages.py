"""Recording messages: what is the same message, and how its status goes on."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final, cast

from agentpool.errors import IdempotencyConflictError, InvalidValueError
from agentpool.rules.command import Command, Decision, LookUps, Placed, PoolView, RowKey, cursor_at
from agentpool.rules.delayed_messages import DEFERRED_KEY
from agentpool.rules.inboxes import WITHDRAWN, unheld
from agentpool.rules.requirements import (
    checked_sequence,
    require_member,
    require_open,
    require_type,
)
from agentpool.rules.rows import (
    ACCEPTED,
    EXPIRY,
    OWING,
    RESPONSE,
    asked_key,
    contract_key,
    deadline_key,
)
from agentpool.rules.transitions import MESSAGE_STEPS, is_step, require_step
from agentpool.wire.payload import SealedPayload, readable, seal, seal_known
from agentpool.wire.records import (
    AgentPoolStoreCursor,
    AgentPoolStoredMessage,
    MessageReceipt,
    MessageStatus,
    RunMessage,
    RunMessageRecorded,
)
from agentpool.wire.struct import trusted

__all__ = (
    "RecordMessage",
    "RecordMessages",
    "RecordStatus",
    "can_become",
    "earlier_message",
    "ends_by_time",
    "look_ups_of",
    "reached_nobody",
    "record_status",
    "recorded",
    "require_same_matter",
)

_PAIR: Final = 2


def earlier_message(view: PoolView, message: RunMessage) -> Placed[AgentPoolStoredMessage] | None:
    """Find the message that this one's idempotency key already stands for.

    :raises IdempotencyConflictError: its key stands for another sender, target or content
    """
    known = view.message_by_key(message.idempotency_key)
    if known is None:
        return None
    require_same_matter(view, known.stored.message, message, known.seq)
    return known


def require_same_matter(
    view: PoolView, earlier: RunMessage, message: RunMessage, seq: int | None = None
) -> None:
    """Refuse a message that is another than the one that has its idempotency key.

    :param seq: the record of the earlier one, if it has one
    :raises IdempotencyConflictError: the key stands for another sender, target or content
    """
    # The matter of a message, and not its id or its times, which a caller that tries again after a
    # crash makes anew.
    if (earlier.sender, earlier.to.target, earlier.content_ref) != (
        message.sender,
        message.to.target,
        message.content_ref,
    ):
        msg = (
            f"the idempotency key of message {message.message_id!r} was used by message"
            f" {earlier.message_id!r} with another sender, target or content"
        )
        raise IdempotencyConflictError(msg, pool_id=view.pool_id, seq=seq)


def reached_nobody(receipt: MessageReceipt) -> bool:
    """Say whether a message has failed for want of a recipient: then it can be sent again."""
    return receipt.status is MessageStatus.FAILED and not receipt.delivered_to


def look_ups_of(message: RunMessage, status: MessageStatus = MessageStatus.DELIVERED) -> LookUps:
    """Say what is looked up to record a message with a status, and to work that in."""
    key = message.idempotency_key
    rows: tuple[RowKey, ...] = ()
    deadlines: tuple[RowKey, ...] = ()
    if status is MessageStatus.DELIVERED:
        rows = (DEFERRED_KEY,)
        if message.expires_at_millis is not None:
            deadlines = (deadline_key(EXPIRY, key),)
    else:
        ends = (ACCEPTED,) if status is MessageStatus.ACCEPTED else (RESPONSE, EXPIRY)
        deadlines = tuple(deadline_key(each, key) for each in ends)
    if message.response_contract is not None:
        due = deadline_key(RESPONSE, key)
        rows += (asked_key(message.message_id), contract_key(message.message_id), due)
        deadlines += (due,)
    found = LookUps((key,), rows=rows, deadlines=deadlines)
    if message.reply_to is None:
        return found
    return LookUps.together([found, _look_ups_of_answer(message.reply_to, message.sender)])


def _look_ups_of_answer(question: str, run_id: str) -> LookUps:
    # The key of most messages is their id; what another one has is looked up when it is known.
    due = (deadline_key(RESPONSE, question), deadline_key(EXPIRY, question))
    return LookUps(
        rows=(contract_key(question), asked_key(question), *due),
        likely_keys=(question,),
        listings=(RowKey(OWING, run_id),),
        deadlines=due,
    )


def ends_by_time(view: PoolView, key: str) -> tuple[RowKey, ...]:
    """List the deadlines that can end a message, if it is there."""
    if view.message_by_key(key) is None:
        return ()
    return deadline_key(RESPONSE, key), deadline_key(EXPIRY, key)


class RecordMessage(Command[AgentPoolStoreCursor]):
    """Record a message with a status.

    A retry gets the place of the record that is there: the same record again, or the same sender,
    target and content under the same key with a new message id.
    """

    def __init__(self, message: RunMessage, receipt: MessageReceipt) -> None:
        require_type(message, RunMessage, "message")
        require_type(receipt, MessageReceipt, "receipt")
        stored = trusted(AgentPoolStoredMessage, message, receipt)
        self._record = seal(trusted(RunMessageRecorded, stored))
        if receipt.message_id != message.message_id:
            msg = f"the receipt is for another message than {message.message_id!r}"
            raise InvalidValueError(msg)
        self.stored: Final = cast("RunMessageRecorded", self._record.payload).stored
        self.looks_up: LookUps = look_ups_of(message, receipt.status)

    def touches(self, view: PoolView) -> Iterable[RowKey]:
        return ends_by_time(view, self.stored.message.idempotency_key)

    def decide(self, view: PoolView) -> Decision[AgentPoolStoreCursor]:
        require_open(view)
        return self.decide_after(view, earlier_message(view, self.stored.message), view.head)

    def decide_after(
        self, view: PoolView, known: Placed[AgentPoolStoredMessage] | None, head: int
    ) -> Decision[AgentPoolStoreCursor]:
        """Decide what to append to a log that ends at a record, with the message as it is there."""
        if known is not None:
            receipt = known.stored.receipt
            is_retry = known.stored.message.message_id != self.stored.message.message_id
            # A retry has not seen how the first one went on; it cannot set it back.
            if is_retry or receipt == self.stored.receipt:
                return Decision(cursor_at(known.seq))
            _require_status(view, known, self.stored.receipt.status)
        return Decision(cursor_at(head + 1), (self._record,))


class RecordMessages(Command[list[AgentPoolStoreCursor]]):
    """Record messages with their statuses, in their order, all of them or none."""

    def __init__(self, messages: Sequence[tuple[RunMessage, MessageReceipt]]) -> None:
        self._each = [_recording(each) for each in checked_sequence(messages, "messages", tuple)]
        self.looks_up: LookUps = LookUps.together([each.looks_up for each in self._each])

    def touches(self, view: PoolView) -> Iterable[RowKey]:
        return chain(*(each.touches(view) for each in self._each))

    def decide(self, view: PoolView) -> Decision[list[AgentPoolStoreCursor]]:
        require_open(view)
        cursors: list[AgentPoolStoreCursor] = []
        records: list[SealedPayload] = []
        latest: dict[str, Placed[AgentPoolStoredMessage]] = {}
        for each in self._each:
            message = each.stored.message
            known = latest.get(message.idempotency_key)
            if known is None:
                known = earlier_message(view, message)
            else:
                require_same_matter(view, known.stored.message, message)
            decision = each.decide_after(view, known, view.head + len(records))
            cursors.append(decision.result)
            if decision.records:
                records += decision.records
                placed = Placed(decision.result.sequence, each.stored)
                latest[message.idempotency_key] = placed
        return Decision(cursors, tuple(records))


def _recording(each: tuple[RunMessage, MessageReceipt]) -> RecordMessage:
    if len(each) != _PAIR:
        msg = f"messages: expected pairs of a message and its receipt, got {len(each)} values"
        raise InvalidValueError(msg)
    return RecordMessage(*each)


class RecordStatus(Command[MessageReceipt]):
    """Record what became of a message; the same status again appends nothing."""

    def __init__(
        self, message: RunMessage, status: MessageStatus, delivered_to: tuple[str, ...]
    ) -> None:
        require_type(message, RunMessage, "message")
        self._message = readable(message, RunMessage)
        self._receipt = MessageReceipt(message.message_id, status, delivered_to)
        self.looks_up: LookUps = look_ups_of(message, self._receipt.status)

    def touches(self, view: PoolView) -> Iterable[RowKey]:
        return ends_by_time(view, self._message.idempotency_key)

    def decide(self, view: PoolView) -> Decision[MessageReceipt]:
        require_open(view)
        known = earlier_message(view, self._message)
        if known is None:
            require_member(view, self._message.sender)
            return recorded(self._message, self._receipt.status, self._receipt.delivered_to)
        return record_status(view, known, self._receipt.status, self._receipt.delivered_to or None)


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
        return Decision(receipt)  # two processes may carry out the same deadline
    _require_status(view, known, status)
    decision = recorded(
        message, status, receipt.delivered_to if delivered_to is None else delivered_to
    )
    if status in WITHDRAWN and receipt.status is MessageStatus.DELIVERED:
        return decision._replace(deletes=tuple(unheld(view, known.stored, known.seq)))
    return decision


def can_become(stored: AgentPoolStoredMessage, status: MessageStatus) -> bool:
    """Say whether a message may still get this status."""
    return is_step(MESSAGE_STEPS, stored.receipt.status, status)


def _require_status(
    view: PoolView, known: Placed[AgentPoolStoredMessage], status: MessageStatus
) -> None:
    what = f"message {known.stored.message.message_id!r}"
    seq = known.seq if known.seq <= view.head else None  # of the same transaction, it is not there
    require_step(view, what, MESSAGE_STEPS, known.stored.receipt.status, status, seq=seq)


def recorded(
    message: RunMessage,
    status: MessageStatus,
    delivered_to: tuple[str, ...] = (),
    before: tuple[SealedPayload, ...] = (),
) -> Decision[MessageReceipt]:
    """Record a message, which came out of a log or of `readable`, and give its receipt.

    :param before: records to append before this one
    """
    receipt = trusted(MessageReceipt, message.message_id, status, delivered_to)
    stored = trusted(AgentPoolStoredMessage, message, receipt)
    return Decision(receipt, (*before, seal_known(trusted(RunMessageRecorded, stored))))
