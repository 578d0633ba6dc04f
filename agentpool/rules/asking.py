"""Asking: a message whose answers are kept for its sender, and what comes of it."""

from typing import Final, NamedTuple, Self

from msgspec.structs import replace

from agentpool.errors import AskOutcome
from agentpool.rules.command import Command, Decision, LookUps, PoolView, Row
from agentpool.rules.inboxes import message_at
from agentpool.rules.messages import can_become, record_status
from agentpool.rules.rows import LATE, Asked, asked_key, load, put
from agentpool.rules.transitions import MESSAGE_STEPS
from agentpool.wire.ids import U64_MAX
from agentpool.wire.records import AgentPoolStoredMessage, MessageStatus, RunMessage

__all__ = ("Answers", "Asking", "Withdraw", "answers_so_far", "answers_to", "as_asked", "kept")

_ALL: Final = 2**31


class Asking(NamedTuple):
    """How a message is asked, and not just sent.

    :ivar of_all: as many answers are expected as there are recipients
    :ivar expires: it is handed out no more when its time is up
    :ivar late_to_inbox: what comes too late, or beyond what was expected, goes to the inbox
    """

    of_all: bool = False
    expires: bool = False
    late_to_inbox: bool = False


class Answers(tuple[RunMessage, ...]):  # noqa: SLOT001  # a tuple can have none
    """The answers that came in time, one of each run, in the order they came; and how it ended.

    :ivar outcome: how it ended
    :ivar missing: the recipients without an answer in time, in ascending order
    :ivar late: what came too late, or beyond what was expected, up to now; with ``late="inbox"``
        that is in the inbox
    """

    outcome: AskOutcome
    missing: tuple[str, ...]
    late: tuple[RunMessage, ...]

    def __new__(
        cls,
        answers: tuple[RunMessage, ...],
        outcome: AskOutcome,
        missing: tuple[str, ...] = (),
        late: tuple[RunMessage, ...] = (),
    ) -> Self:
        made = super().__new__(cls, answers)
        made.outcome, made.missing, made.late = outcome, missing, late
        return made

    def __getnewargs__(self) -> tuple[object, ...]:
        return tuple(self), self.outcome, self.missing, self.late

    def __repr__(self) -> str:
        return f"<Answers {self.outcome}: {len(self)}, missing {len(self.missing)}>"


# --- the question


def as_asked(
    view: PoolView, message: RunMessage, asking: Asking, found: tuple[str, ...]
) -> RunMessage:
    """Give a question what is known only now: how many answers it expects, and when it expires.

    :param found: its recipients
    """
    contract = message.response_contract
    if contract is None:
        return message
    if asking.of_all:
        contract = replace(contract, expected_responses=len(found))
    expires_at = message.expires_at_millis
    if asking.expires and contract.timeout_millis is not None:
        expires_at = min(view.now + contract.timeout_millis, U64_MAX)
    return replace(message, response_contract=contract, expires_at_millis=expires_at)


def kept(message: RunMessage, asking: Asking) -> Row:
    """Make the row that keeps the answers to a message, for as long as the log lasts."""
    message_id, key = message.message_id, message.idempotency_key
    asked = Asked(None if key == message_id else key, late_to_inbox=asking.late_to_inbox)
    return put(asked_key(message_id), asked)


class Withdraw(Command[None]):
    """Take back a question that nobody waits for any more, and nobody will ask again."""

    must_survive_power_cut = False

    def __init__(self, idempotency_key: str) -> None:
        self._key = idempotency_key
        self.looks_up: LookUps = LookUps(message_keys=(idempotency_key,))

    def decide(self, view: PoolView) -> Decision[None]:
        known = view.message_by_key(self._key)
        if known is None or not can_become(known.stored, MessageStatus.CANCELLED):
            return Decision(None)
        cancelled = record_status(view, known, MessageStatus.CANCELLED)
        return Decision(None, cancelled.records, deletes=cancelled.deletes)


# --- what comes of it


def answers_so_far(
    view: PoolView, idempotency_key: str, after: int = 0
) -> tuple[tuple[RunMessage, ...], bool]:
    """List the answers that have come in time, and say whether there will be no more.

    :param after: without so many of the first
    """
    known = view.message_by_key(idempotency_key)
    if known is None:
        return (), False
    return _in_time(view, known.stored, after), known.stored.receipt.status not in MESSAGE_STEPS


def answers_to(view: PoolView, idempotency_key: str) -> Answers | None:
    """Give what has come of a question; ``None``: that is not certain yet."""
    known = view.message_by_key(idempotency_key)
    if known is None or known.stored.receipt.status in MESSAGE_STEPS:
        return None
    stored = known.stored
    answers = _in_time(view, stored)
    answered = {each.sender for each in answers}
    late = view.rows(LATE, stored.message.message_id, limit=_ALL)
    return Answers(
        answers,
        _outcome(stored),
        tuple(each for each in stored.receipt.delivered_to if each not in answered),
        tuple(message_at(view, row.key.number).message for row in late),
    )


def _in_time(
    view: PoolView, stored: AgentPoolStoredMessage, after: int = 0
) -> tuple[RunMessage, ...]:
    asked = load(view, asked_key(stored.message.message_id), Asked)
    numbers = () if asked is None else asked.answers[after:]
    return tuple(message_at(view, number).message for number in numbers)


def _outcome(stored: AgentPoolStoredMessage) -> AskOutcome:
    match stored.receipt.status:
        case MessageStatus.RESPONDED:
            return AskOutcome.COMPLETE
        case MessageStatus.TIMED_OUT | MessageStatus.EXPIRED:
            return AskOutcome.TIMED_OUT
        case MessageStatus.FAILED if not stored.receipt.delivered_to:
            return AskOutcome.NOBODY
        case _:
            return AskOutcome.INCOMPLETE
