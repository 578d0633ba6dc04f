"""Messages as their senders think of them, and how they become what is sent."""

import re
from collections.abc import Sequence
from functools import partial
from secrets import token_hex
from typing import Final, NamedTuple, cast

from agentpool.errors import InvalidValueError
from agentpool.rules.explaining.nobody import why_nobody
from agentpool.rules.messages import reached_nobody
from agentpool.rules.queues import Queue
from agentpool.rules.requirements import checked_sequence, require_type
from agentpool.rules.sending import Send
from agentpool.rules.sending_many import SendMany
from agentpool.runtime import tracing
from agentpool.runtime.bodies import NO_BODY, KeptBody, ref_and_content, to_keep_with
from agentpool.runtime.opened import OpenedPool
from agentpool.support.clock import Clock, millis
from agentpool.wire.content import PIECE, Content
from agentpool.wire.ids import check_identifier
from agentpool.wire.records import (
    MessageReceipt,
    MessageResponseContract,
    RunAddress,
    RunMessage,
    address_problem,
)
from agentpool.wire.refs import NO_CORRELATION, EventCorrelation, PolicyRef
from agentpool.wire.refused import NoRecipientError
from agentpool.wire.struct import trusted

__all__ = (
    "Composed",
    "Draft",
    "checked_drafts",
    "compose",
    "fresh_id",
    "reply_to",
    "send_answer",
    "send_draft",
    "send_drafts",
    "send_to_somebody",
)

_PAIR: Final = 2
_HAS_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S").match


def fresh_id(prefix: str, clock: Clock) -> str:
    """Make an id that nobody has, in ascending order of time, which indexes like best."""
    return f"{prefix}.{clock():012x}{token_hex(8)}"


class Draft(NamedTuple):
    """A message that is to be sent; see `MemberHandle.send` for what the fields mean."""

    to: RunAddress
    body: object = NO_BODY
    content_ref: str | None = None
    idempotency_key: str | None = None
    message_id: str | None = None
    reply_to: str | None = None
    correlation: EventCorrelation = NO_CORRELATION
    expires_in: float | None = None
    policy_refs: Sequence[PolicyRef] = ()
    deliver_in: float = 0.0


class Composed(NamedTuple):
    """A message, and the body that it is about to be kept with; ``None``: it is kept already."""

    message: RunMessage
    content: Content | None


def compose(
    pool: OpenedPool, sender: str, draft: Draft, contract: MessageResponseContract | None = None
) -> Composed:
    """Make of a draft what is sent.

    :raises InvalidValueError: naming the field that is wrong
    """
    problem = address_problem(draft.to)
    if problem is not None:
        msg = f"to: {problem}"
        raise InvalidValueError(msg)
    require_type(draft.correlation, EventCorrelation, "correlation")
    _check_ids(draft)
    ref, content = _content(draft.body, draft.content_ref, pool.store.max_body)
    clock = pool.store.clock
    identity = fresh_id("message", clock) if draft.message_id is None else draft.message_id
    lasts, key = draft.expires_in, draft.idempotency_key
    # Unchecked: `Send` writes it and reads it back, which checks all of it at once.
    message: RunMessage = trusted(
        RunMessage,
        message_id=identity,
        sender=sender,
        to=draft.to,
        content_ref=ref,
        correlation=draft.correlation,
        reply_to=draft.reply_to,
        response_contract=contract,
        expires_at_millis=None if lasts is None else clock() + millis(lasts, "expires_in"),
        idempotency_key=identity if key is None else key,
        policy_refs=checked_sequence(draft.policy_refs, "policy_refs", PolicyRef),
    )
    return Composed(message, content)


async def send_draft(pool: OpenedPool, sender: str, draft: Draft) -> MessageReceipt:
    """Send what a run has drafted, and its body with it."""
    return await _send(pool, compose(pool, sender, draft), _deliver_in(draft))


async def send_answer(
    pool: OpenedPool, sender: str, message: RunMessage, draft: Draft
) -> MessageReceipt:
    """Send what a run has drafted as the answer to a message, as `send_draft` does."""
    with tracing.answering(message):
        return await send_draft(pool, sender, draft)


async def send_to_somebody(pool: OpenedPool, sender: str, draft: Draft) -> MessageReceipt:
    """Send what a run has drafted, as `send_draft` does, and not be silent if it reached nobody.

    :raises NoRecipientError: a run, or an agent, did not receive it
    """
    composed = compose(pool, sender, draft)
    receipt = await _send(pool, composed, _deliver_in(draft))
    if reached_nobody(receipt):
        why = await pool.query(partial(why_nobody, message=composed.message))
        if why is not None:
            raise NoRecipientError.of(receipt, why, pool.pool_id)
    return receipt


async def _send(pool: OpenedPool, composed: Composed, deliver_in: int) -> MessageReceipt:
    bodies = await to_keep_with(pool, composed.content)
    return await pool.execute(Send(composed.message, bodies, deliver_in=deliver_in))


async def send_drafts(
    pool: OpenedPool, sender: str, drafts: Sequence[Draft]
) -> tuple[MessageReceipt, ...]:
    """Send what a run has drafted, and the bodies with it, in one transaction."""
    composed = [(compose(pool, sender, draft), _deliver_in(draft)) for draft in drafts]
    sends: list[Send] = []
    room = PIECE
    for (message, content), deliver_in in composed:
        bodies = await to_keep_with(pool, content, room)
        room -= sum(len(body.data) for body in bodies)
        sends.append(Send(message, bodies, deliver_in=deliver_in))
    return await pool.execute(SendMany(sends)) if sends else ()


def _deliver_in(draft: Draft) -> int:
    delay = millis(draft.deliver_in, "deliver_in")
    if delay and draft.reply_to is not None:
        msg = "deliver_in: an answer comes at once; send it later, or without reply_to"
        raise InvalidValueError(msg)
    if delay and draft.expires_in is not None and draft.expires_in <= draft.deliver_in:
        msg = "deliver_in: the message has expired by then; give it a longer expires_in"
        raise InvalidValueError(msg)
    return delay


def checked_drafts(
    messages: Sequence[Draft | tuple[RunAddress, object]],
) -> list[Draft]:
    """Take pairs of an address and a body for drafts.

    :raises InvalidValueError: there is something else among them
    """
    return [_checked_draft(each) for each in checked_sequence(messages, "messages", object)]


def _checked_draft(given: object) -> Draft:
    type_ = type(given)
    if issubclass(type_, Draft):
        return cast("Draft", given)
    found = type_.__name__
    if issubclass(type_, tuple) and not issubclass(type_, Queue):  # which is one of two as well
        pair = cast("tuple[RunAddress, object]", given)
        if len(pair) == _PAIR:
            return Draft(*pair)
        found = f"{len(pair)} values"
    msg = f"messages: expected pairs of an address and a body, or Draft, got {found}"
    raise InvalidValueError(msg)


def reply_to(
    message: RunMessage,
    body: object,
    content_ref: str | None,
    idempotency_key: str | None,
    policy_refs: Sequence[PolicyRef] | None,
) -> Draft:
    """Draft an answer to a message: to its sender, with its correlation and its policies."""
    require_type(message, RunMessage, "message")
    return Draft(
        RunAddress.run(message.sender),
        body,
        content_ref,
        idempotency_key,
        reply_to=message.message_id,
        correlation=message.correlation,
        policy_refs=message.policy_refs if policy_refs is None else policy_refs,
    )


def _check_ids(draft: Draft) -> None:
    """Check the ids that were given: as parts of the message, they would not be named as here."""
    for name in ("idempotency_key", "message_id", "reply_to"):
        given = getattr(draft, name)
        if given is not None:
            check_identifier(given, name)


def _content(body: object, content_ref: str | None, max_body: int) -> tuple[str, Content | None]:
    if body is NO_BODY:
        return _own_ref(content_ref), None
    if content_ref is not None:
        msg = "content_ref: there is a body too; give one of the two"
        raise InvalidValueError(msg)
    return ref_and_content(body, max_body)


def _own_ref(ref: str | None) -> str:
    """Check what is given as a ref for what is none, but was meant as a body."""
    if ref is None:
        msg = "body: there is nothing to send; give a body, or a ref of your own as content_ref="
        raise InvalidValueError(msg)
    if type(ref) is KeptBody:
        return str(ref)
    if type(ref) is not str:
        msg = f"content_ref: expected str, got {type(ref).__name__}; what is to be said is the body"
        raise InvalidValueError(msg)
    if " " in ref.strip() and not _HAS_SCHEME(ref):
        msg = "content_ref: that is a text and no ref; give it as the body"
        raise InvalidValueError(msg)
    check_identifier(ref, "content_ref")
    return ref
