"""What the log of the program is told of a pool, by the logger ``agentpool``.

Each line has a field ``action``, which stays the same in all versions, and the fields beside it. It
comes once what it tells of is durable, in the process that did it.

| ``action`` | level | when | fields beside ``pool_id`` |
|---|---|---|---|
| ``joined`` | info | a run has become a member | ``run_id``, ``agent_id`` |
| ``left`` | info | a run is no member any more | ``run_id``, ``agent_id``, ``deadline`` |
| ``taken_over`` | info | a block has taken a run from another one | ``run_id``, ``former`` |
| ``dead`` | info | a message was put aside | ``run_id``, ``seq``, ``attempt`` |
| ``deadline_carried_out`` | info | something has ended by its time | ``deadline``, ``subject`` |
| ``busy`` | info | a call has waited for more than a second | ``command``, ``seconds`` |
| ``sent`` | debug | a message was sent | ``run_id``, ``message_id``, ``status`` |
| ``claimed`` | debug | a message was taken | ``run_id``, ``message_id``, ``seq``, ``attempt`` |
| ``done`` | debug | a message was acknowledged | ``run_id``, ``seq``, ``attempt`` |
| ``returned`` | debug | a message was given back | ``run_id``, ``seq``, ``attempt`` |

``deadline`` is ``lease``, ``wake``, ``response``, ``expiry``, ``accepted`` or ``published``; of who
has left by itself it is ``None``. ``former`` names the process that had the run.

Warnings have an ``action`` too: ``membership_lost``, ``leaving_failed``, ``heartbeat_failed``,
``upkeep_failed``, ``serving_failed``, ``passed_by``, ``bell_unavailable``, ``not_listening``,
``another_past``, ``sampling_failed``; those of one pool name it.
"""

import logging
from collections.abc import Awaitable, Iterator
from logging import DEBUG, INFO
from time import monotonic
from typing import Any, Final, NamedTuple, TypeVar

from agentpool.rules.claiming import Claiming
from agentpool.rules.claims import Acknowledge, Claim, ClaimId
from agentpool.rules.command import Command, Decision
from agentpool.rules.deadlines import CarryOutDue
from agentpool.rules.membership import HoldRun
from agentpool.rules.redelivery import ReturnMessage, Unclaim
from agentpool.rules.rows import DEAD, LEASE, InboxEntry, value_of
from agentpool.rules.sending import Send
from agentpool.rules.sending_many import SendMany
from agentpool.stores.base import AgentPoolStore
from agentpool.wire.records import AgentPoolMember, MemberJoined, MemberLeft, MessageReceipt

__all__ = ("told",)

R = TypeVar("R")

_LOG: Final = logging.getLogger("agentpool")
_LONG_SECONDS: Final = 1.0


class _Line(NamedTuple):
    """What there is to tell: the words are made of the fields."""

    level: int
    action: str
    words: str
    fields: dict[str, object]


def told(
    store: AgentPoolStore, pool_id: str, command: Command[R], whole: Command[R] | None = None
) -> Awaitable[R]:
    """Carry out a command, and tell of it where somebody listens.

    :param whole: what is carried out in its place, and decides it
    """
    whole = command if whole is None else whole
    if not _LOG.isEnabledFor(INFO):
        return store.execute(pool_id, whole)
    return _told(store, pool_id, command, whole)


async def _told(store: AgentPoolStore, pool_id: str, command: Command[R], whole: Command[R]) -> R:
    began = monotonic()
    try:
        result = await store.execute(pool_id, whole)
    finally:
        seconds = monotonic() - began
        if seconds > _LONG_SECONDS:
            _tell(pool_id, _busy(command, seconds))
    for line in _lines(command, whole, result):
        _tell(pool_id, line)
    return result


def _tell(pool_id: str, line: _Line) -> None:
    if _LOG.isEnabledFor(line.level):
        fields = {"pool_id": pool_id, **line.fields}
        words = f"pool %(pool_id)r: {line.words}"
        _LOG.log(line.level, words, fields, extra={"action": line.action, **fields})


def _lines(command: Command[Any], whole: Command[Any], result: Any) -> Iterator[_Line]:
    own = command.key.name if isinstance(command, CarryOutDue) else None
    for decision, deadline in whole.carried_out:
        yield from _of_decision(decision, deadline or own)
    yield from _of_command(command, result)


def _line(level: int, action: str, words: str, **fields: object) -> _Line:
    return _Line(level, action, words, fields)


# --- by what was decided


def _of_decision(decision: Decision[Any], deadline: str | None) -> Iterator[_Line]:
    what, _, subject = (deadline or "").partition(" ")
    if what and what != LEASE and decision.records:  # else it had come to something before
        words = "deadline %(deadline)s of %(subject)r was carried out"
        yield _line(INFO, "deadline_carried_out", words, deadline=what, subject=subject)
    for record in decision.records:
        yield from _of_record(record.payload, what or None)
    for row in decision.puts:
        if row.key.kind == DEAD:
            run_id, seq = row.key.name, row.key.number
            attempt = value_of(row, InboxEntry).attempt
            words = "message %(seq)s of run %(run_id)r was put aside after attempt %(attempt)s"
            yield _line(INFO, "dead", words, run_id=run_id, seq=seq, attempt=attempt)


def _of_record(payload: object, deadline: str | None) -> Iterator[_Line]:
    match payload:
        case MemberJoined(AgentPoolMember(run_id, agent_id)):
            yield _line(INFO, "joined", "run %(run_id)r joined", run_id=run_id, agent_id=agent_id)
        case MemberLeft(AgentPoolMember(run_id, agent_id)):
            words = "run %(run_id)r left" + (", its lease ran out" if deadline else "")
            fields = {"run_id": run_id, "agent_id": agent_id, "deadline": deadline}
            yield _line(INFO, "left", words, **fields)
        case _:
            pass


# --- by what was asked for


def _of_command(command: Command[Any], result: Any) -> Iterator[_Line]:
    match command:
        case HoldRun() if result is not None:
            words = "run %(run_id)r was taken over from process %(former)s"
            yield _line(INFO, "taken_over", words, run_id=command.run_id, former=result)
        case Send():
            yield _sent(command, result)
        case SendMany():
            yield from (_sent(*each) for each in zip(command.sends, result, strict=True))
        case Claiming():
            yield from (_claimed(each) for each in command.claims(result))
        case Acknowledge():
            yield from (_settled("done", each) for each in command.claims)
        case Unclaim():
            yield from (_settled("returned", each) for each in command.claims)
        case ReturnMessage():
            yield _settled("returned", command.claim)
        case _:
            pass


def _sent(send: Send, receipt: MessageReceipt) -> _Line:
    return _line(
        DEBUG,
        "sent",
        "run %(run_id)r has sent message %(message_id)r: %(status)s",
        run_id=send.message.sender,
        message_id=send.message.message_id,
        status=str(receipt.status),
    )


def _claimed(claim: Claim) -> _Line:
    words = "run %(run_id)r has message %(message_id)r, attempt %(attempt)s"
    return _line(DEBUG, "claimed", words, message_id=claim.message.message_id, **_numbers(claim))


def _settled(action: str, claim: Claim | ClaimId) -> _Line:
    words = f"message %(seq)s of run %(run_id)r, attempt %(attempt)s, was {action}"
    return _line(DEBUG, action, words, **_numbers(claim))


def _numbers(claim: Claim | ClaimId) -> dict[str, object]:
    return {"run_id": claim.run_id, "seq": claim.seq, "attempt": claim.attempt}


def _busy(command: Command[Any], seconds: float) -> _Line:
    name = type(command).__name__
    words = "%(command)s has taken %(seconds)s s"
    return _line(INFO, "busy", words, command=name, seconds=round(seconds, 3))
