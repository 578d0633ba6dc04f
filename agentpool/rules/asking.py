"""Asking: a message whose answers are kept for its sender, and what comes of it."""

from collections.abc import Sequence
from typing import Final, NamedTuple, Self

from msgspec.structs import replace

from agentpool.errors import AskOutcome
from agentpool.rules.command import Command, Decision, LookUps, PoolView, Row
from agentpool.rules.inboxes import UNREADABLE, message_at
from agentpool.rules.messages import can_become, record_status
from agentpool.rules.requirements import checked_sequence, require_type
from agentpool.rules.rows import ANSWER, LATE, Asked, asked_key, load, put
from agentpool.rules.transitions import MESSAGE_STEPS
from agentpool.wire.ids import U64_MAX
from agentpool.wire.records import AgentPoolStoredMessage, MessageStatus, RunMessage

__all__ = (
    "Answers",
    "Asking",
    "Withdraw",
    "answers_so_far",
    "answers_to",
    "as_asked",
    "in_time",
    "kept",
    "too_few",
)

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
    :ivar unreadable: the records of answers that came in time, but were damaged since; they count
        for the outcome, and their runs, which only they name, are among the missing
    :ivar expected: how many were expected; ``None``: not known
    """

    outcome: AskOutcome
    missing: tuple[str, ...]
    late: tuple[RunMessage, ...]
    unreadable: tuple[int, ...]
    expected: int | None

    def __new__(
        cls,
        answers: tuple[RunMessage, ...],
        outcome: AskOutcome,
        missing: tuple[str, ...] = (),
        late: tuple[RunMessage, ...] = (),
        unreadable: tuple[int, ...] = (),
        *,
        expected: int | None = None,
    ) -> Self:
        made = super().__new__(cls, checked_sequence(answers, "answers", RunMessage))
        require_type(outcome, AskOutcome, "outcome")
        made.outcome = outcome
        made.missing = checked_sequence(missing, "missing", str)
        made.late = checked_sequence(late, "late", RunMessage)
        made.unreadable = checked_sequence(unreadable, "unreadable", int)
        made.expected = expected
        return made

    def __getnewargs__(self) -> tuple[object, ...]:
        return tuple(self), self.outcome, self.missing, self.late, self.unreadable

    def __repr__(self) -> str:
        why = too_few(self)
        why = f"; {why}" if why else ""
        return f"<Answers {self.outcome}: {len(self)}, missing {len(self.missing)}{why}>"


def too_few(answers: Answers) -> str:
    """Say that more answers were expected than there are recipients; if not so, nothing."""
    expected, received = answers.expected, len(answers) + len(answers.missing)
    if expected is None or expected <= received:
        return ""
    return f"expected {expected}, {received} received it"


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
) -> tuple[tuple[RunMessage, ...], int, bool]:
    """List the answers that have come in time, and say whether there will be no more.

    :param after: without those up to this record
    :return: the answers; the record of the last; whether there will be no more
    """
    known = view.message_by_key(idempotency_key)
    if known is None:
        return (), after, False
    numbers = in_time(view, known.stored, after)
    answers, _ = _read(view, numbers)
    ended = known.stored.receipt.status not in MESSAGE_STEPS
    return answers, numbers[-1] if numbers else after, ended


def answers_to(view: PoolView, idempotency_key: str) -> Answers | None:
    """Give what has come of a question; ``None``: that is not certain yet."""
    known = view.message_by_key(idempotency_key)
    if known is None or known.stored.receipt.status in MESSAGE_STEPS:
        return None
    stored = known.stored
    answers, unreadable = _read(view, in_time(view, stored))
    late, _ = _read(view, _numbers(view.rows(LATE, stored.message.message_id, limit=_ALL)))
    # What came while the asker was away may have been sent again, to reach it.
    counted = {each.message_id for each in answers}
    late = tuple(each for each in late if each.message_id not in counted)
    answered = {each.sender for each in answers}
    missing = tuple(each for each in stored.receipt.delivered_to if each not in answered)
    contract = stored.message.response_contract
    expected = None if contract is None else contract.expected_responses
    return Answers(answers, _outcome(stored), missing, late, unreadable, expected=expected)


def _read(view: PoolView, numbers: Sequence[int]) -> tuple[tuple[RunMessage, ...], tuple[int, ...]]:
    """Read the answers that records hold, and list the records that cannot be read."""
    answers: list[RunMessage] = []
    unreadable: list[int] = []
    for number in numbers:
        try:
            answers.append(message_at(view, number).message)
        except UNREADABLE:
            unreadable.append(number)
    return tuple(answers), tuple(unreadable)


def _numbers(rows: Sequence[Row]) -> list[int]:
    return [row.key.number for row in rows]


def in_time(view: PoolView, stored: AgentPoolStoredMessage, after: int = 0) -> list[int]:
    """List the records of the answers that came in time, in their order."""
    message_id = stored.message.message_id
    asked = load(view, asked_key(message_id), Asked)
    if asked is None:
        return []
    more = view.rows(ANSWER, message_id, after=after, limit=_ALL)
    return [*(each for each in asked.answers if each > after), *_numbers(more)]


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
