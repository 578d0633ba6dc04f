"""Explanations of messages in words."""

from collections.abc import Iterator
from typing import Final

from msgspec.structs import astuple

from agentpool.rules.explaining.explanations import MessageExplanation
from agentpool.rules.explaining.parts import AnswersSeen, Missed, Recipient, RecipientState
from agentpool.rules.explaining.phrases import (
    ago,
    alike_words,
    counted,
    grouped,
    listed,
    named,
    policies,
    span,
    until_words,
)
from agentpool.rules.recipients import WhyNot
from agentpool.wire.records import MessageStatus, RunAddressTarget

__all__ = ("message_words",)

_MOST_LINES: Final = 10

_STATES: Final = {
    RecipientState.WAITING: "waiting to be taken",
    RecipientState.DELAYED: "delayed: not in the inbox yet",
    RecipientState.BACKING_OFF: "backing off: it was given back, and comes again later",
    RecipientState.CLAIMED: "claimed",
    RecipientState.ACKED: "acked: done",
    RecipientState.DEAD: "dead: put aside after too many attempts",
    RecipientState.WITHDRAWN: "acked, or withdrawn: it is handed out no more",
    RecipientState.EXPIRING: "expired, which is still to be recorded",
    RecipientState.KEPT: "an answer, kept with its question and not in the inbox",
    RecipientState.COMING: "recorded, and not in the inbox yet",
}

_REASONS: Final = {
    WhyNot.NOT_A_MEMBER: "not a member then",
    WhyNot.OTHER_RUN: "it is to another run",
    WhyNot.OTHER_AGENT: "it is to another agent",
    WhyNot.OTHER_POOL: "it is to another pool",
    WhyNot.LACKS_TOPIC: "joined without the topic",
    WhyNot.IS_SENDER: "the sender, whom the pool leaves out",
    WhyNot.IS_QUEUE: "a queue, which what goes to the pool passes by",
    WhyNot.LACKS_POLICIES: "does not carry",
    WhyNot.MESSAGE_LACKS_POLICIES: "the message does not carry what the pool requires,",
}


def message_words(found: MessageExplanation) -> Iterator[str]:
    """Explain a message, line by line."""
    key = found.idempotency_key
    with_key = "" if key == found.message_id else f" (key {named(key)})"
    yield (
        f"message {named(found.message_id)}{with_key} from run {named(found.sender)} to"
        f" {_target(found.to)} is {found.status}"
    )
    yield f"statuses: {', '.join(_statuses(found))}"
    if found.expires_at is not None:
        yield f"it expires: {_expiry(found.now, found.expires_at)}"
    yield from _reached(found)
    yield from _not_reached(found)
    if found.answers is not None:
        yield from _answers(found, found.answers)
    yield from alike_words(found.alike)


def _target(to: RunAddressTarget) -> str:
    return f"{to.__struct_config__.tag} {named(*astuple(to))}"


def _statuses(found: MessageExplanation) -> Iterator[str]:
    for each in found.statuses:
        yield f"{each.status} by record {each.seq}, {ago(found.now, each.at)}"


def _expiry(now: int, at: int) -> str:
    return f"in {span(at - now)}" if at > now else ago(now, at)


def _reached(found: MessageExplanation) -> Iterator[str]:
    if found.recipients_in_all == 0:
        yield "it reached nobody"
        if found.status is MessageStatus.FAILED:
            yield "sent again under its key, it goes to whoever is there then"
    groups = grouped((_stands(found.now, each), each.run_id) for each in found.recipients)
    told = list(groups.items())[:_MOST_LINES]
    yield from (f"reached {listed(run_ids)}: {words}" for words, run_ids in told)
    more = found.recipients_in_all - sum(len(run_ids) for _, run_ids in told)
    if more:
        yield f"reached {counted(more, 'more run')}"


def _stands(now: int, each: Recipient) -> str:
    words = _STATES[each.state]
    if each.state is RecipientState.CLAIMED:
        words += (
            f" by process {each.process}, attempt {each.attempts}, {until_words(now, each.until)}"
        )
    elif each.until is not None:
        words += f", {until_words(now, each.until)}"
    elif each.attempts:
        words += f", after {counted(each.attempts, 'attempt')}"
    if each.answered is not None:
        words += "; has answered" if each.answered else "; has not answered"
    if each.answer is not None:
        words += f" by {named(each.answer)}"
    return words if each.is_member else f"{words}; it has left the pool"


def _not_reached(found: MessageExplanation) -> Iterator[str]:
    def reason(each: Missed) -> str:
        words = _REASONS[each.why]
        if each.policy_refs:
            words = f"{words} {policies(each.policy_refs)}"
        return words if each.alike is None else f"{words}, but has {named(each.alike)}, alike"

    groups = grouped((reason(each), each.run_id) for each in found.missed)
    yield from (f"not {listed(run_ids)}: {words}" for words, run_ids in groups.items())
    more = found.missed_in_all - len(found.missed)
    if more:
        yield f"not {counted(more, 'more run')}"
    if found.left_until is not None:
        yield f"who has left since was looked for up to record {found.left_until}"


def _answers(found: MessageExplanation, answers: AnswersSeen) -> Iterator[str]:
    wants = f"it asks for {counted(answers.expected, 'answer')}"
    if answers.is_open:
        yield f"{wants} and waits {until_words(found.now, answers.deadline)}"
    else:
        how = "it was withdrawn" if found.status is MessageStatus.CANCELLED else str(found.status)
        yield f"{wants} and waits no more: {how}"
    if answers.answered:
        yield f"answered by {listed(answers.answered, in_all=answers.answered_in_all)}"
    if answers.missing:
        yield f"not answered by {listed(answers.missing, in_all=answers.missing_in_all)}"
    if answers.left:
        yield f"not answered by {listed(answers.left, in_all=answers.left_in_all)}, who left"
    if answers.late:
        yield f"{counted(answers.late, 'answer')} came too late, or beyond what was expected"
