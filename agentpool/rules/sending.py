"""Sending: what is recorded, and what a delivery means for inboxes and deadlines."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from msgspec.structs import replace

from agentpool.errors import IdempotencyConflictError
from agentpool.rules.answers import (
    end_if_certain,
    is_for_absent_asker,
    opened,
    refuse_used_id,
    take_in,
)
from agentpool.rules.asking import Asking, as_asked, kept
from agentpool.rules.command import INBOX, Command, Decision, LookUps, Placed, PoolView, Row, RowKey
from agentpool.rules.delayed_messages import defer, noted
from agentpool.rules.expiring_messages import closing, end_if_late
from agentpool.rules.messages import (
    earlier_message,
    ends_by_time,
    look_ups_of,
    reached_nobody,
    recorded,
)
from agentpool.rules.recipients import recipients
from agentpool.rules.requirements import require_member, require_open, require_type
from agentpool.rules.rows import (
    ACCEPTED,
    EXPIRY,
    RESPONSE,
    deadline,
    deadline_key,
    unread,
)
from agentpool.wire.content import Content
from agentpool.wire.payload import SealedPayload, readable
from agentpool.wire.records import (
    AgentPoolStoredMessage,
    MessageReceipt,
    MessageStatus,
    RunMessage,
)
from agentpool.wire.refs import EventCorrelation

__all__ = ("Send", "complete", "on_message")

_COMPLETED_AFTER_MILLIS: Final = 5000


class Send(Command[MessageReceipt]):
    """Send a message: resolve, decide and record in one; what reached nobody is resolved anew.

    :ivar message: the message
    :ivar bodies: what is kept with it, also where the message is known already
    :param deliver_in: milliseconds until it is in the inboxes
    :param asking: keep the answers with it, out of the sender's inbox
    """

    def __init__(
        self,
        message: RunMessage,
        bodies: tuple[Content, ...] = (),
        *,
        deliver_in: int = 0,
        asking: Asking | None = None,
    ) -> None:
        require_type(message, RunMessage, "message")
        self.message: Final = readable(message, RunMessage)
        self.bodies: Final = bodies
        self._deliver_in = deliver_in
        self._asking = asking
        self.looks_up: LookUps = look_ups_of(self.message)

    def carrying(self, correlation: EventCorrelation) -> "Send":
        """Give the same with another correlation, which none of its retries is compared by."""
        message = replace(self.message, correlation=correlation)
        return Send(message, self.bodies, deliver_in=self._deliver_in, asking=self._asking)

    def touches(self, view: PoolView) -> Iterable[RowKey]:
        return ends_by_time(view, self.message.idempotency_key)

    def decide(self, view: PoolView) -> Decision[MessageReceipt]:
        decision = self.decide_alone(view)
        deferred = self.deferred(view, decision, view.head + len(decision.records))
        if deferred:
            return decision._replace(puts=(*decision.puts, defer(view, deferred)))
        return decision

    def deferred(
        self, view: PoolView, decision: Decision[MessageReceipt], seq: int
    ) -> list[tuple[int, int]]:
        """Say from when on the message is in the inboxes, if that is later.

        :param seq: the number of the record that delivers it, as it was decided
        """
        was_delivered = decision.records and decision.result.status is MessageStatus.DELIVERED
        return [(seq, view.now + self._deliver_in)] if self._deliver_in and was_delivered else []

    def decide_alone(self, view: PoolView) -> Decision[MessageReceipt]:
        """Decide what is to be done, but for what concerns other messages too."""
        decision = self._decide(view)
        return decision._replace(bodies=self.bodies) if self.bodies else decision

    def _decide(self, view: PoolView) -> Decision[MessageReceipt]:
        require_open(view)
        known = earlier_message(view, self.message)
        if known is None or reached_nobody(known.stored.receipt):
            require_member(view, self.message.sender)
            return self._anew(view, None if known is None else known.stored.receipt)
        if self._asking is not None and known.stored.message.response_contract is None:
            msg = f"key {self.message.idempotency_key!r} was sent, not asked; ask under another"
            raise IdempotencyConflictError(msg, pool_id=view.pool_id)
        # What is recorded stays, though members have come and gone since: a retry tells no news.
        if known.stored.receipt.status is MessageStatus.ACCEPTED:
            return complete(view, known, self._asking)
        return Decision(known.stored.receipt)

    def _anew(self, view: PoolView, failed: MessageReceipt | None) -> Decision[MessageReceipt]:
        """Resolve who is there now.

        :param failed: what an earlier try was told, when there was nobody
        """
        message = self.message
        if _is_expired(view, message):
            return recorded(message, MessageStatus.EXPIRED)
        if message.response_contract is not None:
            refuse_used_id(view, message)
        found = recipients(view, message)
        if self._asking is not None:
            message = as_asked(view, message, self._asking, found)
        if not found:
            return Decision(failed) if failed else recorded(message, MessageStatus.FAILED)
        # Two records where one would do: other implementations look for both steps in the log.
        accepted = recorded(message, MessageStatus.ACCEPTED, found)
        return _delivered(view, message, found, self._asking, before=accepted.records)


def complete(
    view: PoolView, known: Placed[AgentPoolStoredMessage], asking: Asking | None = None
) -> Decision[MessageReceipt]:
    """Deliver what another implementation accepted and then did not live to deliver."""
    message = known.stored.message
    if _is_expired(view, message):
        return recorded(message, MessageStatus.EXPIRED)
    # Whom it was accepted for stays fixed, where that was recorded.
    found = known.stored.receipt.delivered_to or recipients(view, message)
    if not found:
        return recorded(message, MessageStatus.FAILED)
    return _delivered(view, message, found, asking)


def _delivered(
    view: PoolView,
    message: RunMessage,
    found: tuple[str, ...],
    asking: Asking | None,
    before: tuple[SealedPayload, ...] = (),
) -> Decision[MessageReceipt]:
    decision = recorded(message, MessageStatus.DELIVERED, found, before)
    contract = message.response_contract
    if contract is None:
        return decision
    # In the decision itself: `_open` may work the record in later, and finds them there.
    puts: list[Row] = []
    if contract.timeout_millis is not None:
        puts.append(_response_due(view, message, contract.timeout_millis))
    if asking is not None:
        puts.append(kept(message, asking))
    return decision._replace(puts=tuple(puts))


def _response_due(view: PoolView, message: RunMessage, timeout: int) -> Row:
    return deadline(RESPONSE, message.idempotency_key, view.now + timeout)


def _is_expired(view: PoolView, message: RunMessage) -> bool:
    return message.expires_at_millis is not None and message.expires_at_millis <= view.now


# --- what a message record means for the rows


def on_message(view: PoolView, seq: int, stored: AgentPoolStoredMessage) -> Iterator[Decision[Any]]:
    """Work a record of a message into the rows: inboxes, deadlines, contracts and answers.

    Each decision has to be applied before the next is asked for.
    """
    message, status = stored.message, stored.receipt.status
    if status is MessageStatus.DELIVERED:
        if message.reply_to is not None:
            yield from end_if_late(view, message.reply_to, view.time_of(seq) or 0)
        # A record that is worked in late may have been ended meanwhile; then nothing is opened
        # that nobody would close.
        if _waits(message) and _is_latest(view, seq, message):
            yield _open(view, seq, stored)
        if message.reply_to is None:
            yield _hand_out(view, seq, stored)
        else:
            asker, taken_in = take_in(view, seq, message)
            yield _hand_out(view, seq, stored, but=asker)
            yield taken_in
        if message.response_contract is not None:
            yield end_if_certain(view, message.message_id)
    elif status is not MessageStatus.ACCEPTED:
        yield Decision(None, deletes=closing(view, stored, status))
        if message.reply_to is not None and is_for_absent_asker(view, seq, stored):
            yield from end_if_late(view, message.reply_to, view.time_of(seq) or 0)
            yield take_in(view, seq, message)[1]
    elif _is_latest(view, seq, message):
        # Another implementation delivers in a transaction of its own; should it not come to that,
        # somebody has to.
        until = view.now + _COMPLETED_AFTER_MILLIS
        yield Decision(None, puts=(deadline(ACCEPTED, message.idempotency_key, until),))


def _waits(message: RunMessage) -> bool:
    return message.response_contract is not None or message.expires_at_millis is not None


def _is_latest(view: PoolView, seq: int, message: RunMessage) -> bool:
    known = view.message_by_key(message.idempotency_key)
    return known is None or known.seq == seq


def _open(view: PoolView, seq: int, stored: AgentPoolStoredMessage) -> Decision[Any]:
    """Set what a delivered message has to wait for: its answers, its deadlines."""
    message, contract = stored.message, stored.message.response_contract
    puts: list[Row] = []
    if message.expires_at_millis is not None:
        due = deadline(EXPIRY, message.idempotency_key, message.expires_at_millis)
        puts.append(due._replace(value=str(seq)))
    if contract is not None:
        puts += opened(view, seq, stored)
        until = deadline_key(RESPONSE, message.idempotency_key)
        if contract.timeout_millis is not None and view.row(until) is None:
            puts.append(_response_due(view, message, contract.timeout_millis))
    return Decision(None, puts=tuple(puts))


def _hand_out(
    view: PoolView, seq: int, stored: AgentPoolStoredMessage, *, but: str | None = None
) -> Decision[Any]:
    """Put a message into the inboxes.

    :param but: whose inbox it is kept out of
    """
    value = unread(stored.message.expires_at_millis)
    due_at, done = noted(view, seq)
    to = (run_id for run_id in stored.receipt.delivered_to if run_id != but)
    # Announced, because a foreign record was told of before it was worked in here: whoever waits
    # for this inbox has looked, found nothing and gone to sleep again.
    puts = tuple(Row(RowKey(INBOX, run_id, seq), value, due_at) for run_id in to)
    return Decision(None, puts=puts, deletes=done, announce=bool(puts))
