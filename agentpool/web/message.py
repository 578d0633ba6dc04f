"""The view *Message*: whom it reached, what each has done with it, its thread, and its body."""

from codecs import getincrementaldecoder
from collections.abc import Sequence
from contextlib import aclosing
from functools import partial
from typing import Final, NamedTuple

from starlette.exceptions import HTTPException

from agentpool import AgentPool, ContentNotFoundError
from agentpool.cli.rows import address_words
from agentpool.errors import CorruptRecordError
from agentpool.faces.naming import message_named, messages_before, recorded_message
from agentpool.rules.command import PoolView
from agentpool.rules.explaining.explanations import Explanation, MessageExplanation
from agentpool.rules.explaining.parts import Missed, Recipient
from agentpool.rules.explaining.phrases import until_words
from agentpool.web.html import NO_VALUE, Content, Html, body_text, el, join, named
from agentpool.web.inside import ask
from agentpool.web.parts import (
    explained,
    facts,
    link,
    message_link,
    moment,
    of_all,
    section,
    table,
    url,
)
from agentpool.wire.records import (
    AgentPoolStoredMessage,
    RunMessage,
    RunMessageRecorded,
)

__all__ = ("in_words", "message_found", "message_of")

_MOST_SHOWN: Final = 65_536
_MOST_BEFORE: Final = 20
_LOOKED_AT: Final = 2000
_MOST_ANSWERS: Final = 100


async def message_found(pool: AgentPool, key: str, seq: int | None) -> AgentPoolStoredMessage:
    """Find a message by its key, its id, or the record that holds it.

    :raises HTTPException: there is none
    """
    found = None
    if seq:
        found = await recorded_message(pool, seq)
    elif key:
        found = await message_named(pool, key)
    if found is None:
        raise HTTPException(404, "there is no such message; `Explain` says what is near")
    return found


async def message_of(pool: AgentPool, stored: AgentPoolStoredMessage, *, with_body: bool) -> Html:
    """Write all there is to say of a message.

    :param with_body: also the body, which is hidden until somebody asks for it
    """
    explanation = await pool.explain(stored.message)
    if not isinstance(explanation, MessageExplanation):  # its key is that of another thing too
        raise HTTPException(404, "the message is not to be found by its key")
    return join(
        [
            _facts(pool.pool_id, stored, explanation),
            await _body(pool, stored.message) if with_body else _hidden(pool, stored.message),
            _recipients(pool.pool_id, explanation),
            _missed(pool.pool_id, explanation) if explanation.missed else None,
            await _thread(pool, stored, explanation),
            _statuses(explanation),
            section("explained", "Explained", in_words(explanation)),
        ]
    )


def in_words(found: Explanation) -> Html:
    """Write an explanation."""
    return el("ul", (el("li", el("bdi", each)) for each in found.words), class_="words")


def _facts(pool_id: str, stored: AgentPoolStoredMessage, found: MessageExplanation) -> Html:
    message = stored.message
    said: dict[str, Content] = {
        "status": str(found.status),
        "from": explained(pool_id, message.sender),
        "to": named(address_words(message.to)),
        "id": named(message.message_id),
        "key": named(message.idempotency_key),
    }
    if message.reply_to is not None:
        said["answers"] = message_link(pool_id, message.reply_to, message.reply_to)
    if found.answers is not None:
        answers = found.answers
        state = until_words(found.now, answers.deadline) if answers.is_open else "no more"
        said["asks for"] = f"{answers.expected:,}, has {answers.answered_in_all:,}, waits {state}"
    if found.expires_at is not None:
        said["expires"] = moment(found.expires_at)
    return facts(said)


# --- the body


def _hidden(pool: AgentPool, message: RunMessage) -> Html:
    there = url("/message", pool=pool.pool_id, key=message.idempotency_key, body=1)
    shown = el("p", link(f"{there}#body", "Show the body"))
    return section("body", "Body", shown)


async def _body(pool: AgentPool, message: RunMessage) -> Html:
    ref = message.content_ref
    try:
        type_ = await pool.store.content_type(ref)
        data, is_all = await _beginning(pool, ref)
    except ContentNotFoundError:
        return section("body", "Body", el("p", "The store keeps none under ", named(ref)))
    except CorruptRecordError as error:
        return section("body", "Body", el("p", str(error), class_="bad"))
    size = f"{len(data):,} bytes" if is_all else f"the first {len(data):,} bytes"
    try:
        text = getincrementaldecoder("utf-8")().decode(data, final=is_all)  # the last may be cut
    except UnicodeDecodeError:
        text = data.hex(" ")
        size += ", which are no text, in hexadecimal"
    return section("body", "Body", el("p", named(type_), f", {size}"), body_text(text))


async def _beginning(pool: AgentPool, ref: str) -> tuple[bytes, bool]:
    """Read the beginning of a body, and say whether that is all."""
    data = bytearray()
    async with aclosing(pool.store.open_content(ref)) as pieces:
        async for piece in pieces:
            data += piece
            if len(data) > _MOST_SHOWN:
                return bytes(data[:_MOST_SHOWN]), False
    return bytes(data), True


# --- recipients


def _recipients(pool_id: str, found: MessageExplanation) -> Html:
    caption = of_all(len(found.recipients), found.recipients_in_all, "who received it")
    names = ("run", "has it", "attempts", "held by", "how long", "answered")
    rows = [_recipient(pool_id, found.now, each) for each in found.recipients]
    return section("recipients", "Recipients", table(caption, names, rows))


def _recipient(pool_id: str, now: int, each: Recipient) -> Sequence[Content]:
    state = str(each.state).replace("_", " ")
    answered: Content = {None: NO_VALUE, True: "yes", False: "no"}[each.answered]
    if each.answer is not None:
        answered = message_link(pool_id, each.answer, "yes")
    return (
        explained(pool_id, each.run_id),
        state if each.is_member else f"{state}, has left",
        each.attempts,
        NO_VALUE if each.process is None else named(each.process),
        NO_VALUE if each.until is None else until_words(now, each.until),
        answered,
    )


def _missed(pool_id: str, found: MessageExplanation) -> Html:
    rows = [_missing(pool_id, each) for each in found.missed]
    caption = of_all(len(rows), found.missed_in_all, "who did not")
    return section("missed", "Who did not receive it", table(caption, ("run", "why"), rows))


def _missing(pool_id: str, each: Missed) -> Sequence[Content]:
    alike = None if each.alike is None else [", it has ", named(each.alike)]
    return explained(pool_id, each.run_id), [str(each.why).replace("_", " "), alike]


def _statuses(found: MessageExplanation) -> Html:
    rows = [
        (
            link(url("/log", pool=found.pool_id, at=each.seq), each.seq),
            str(each.status),
            moment(each.at),
        )
        for each in found.statuses
    ]
    return section("statuses", "Statuses", table("in order", ("record", "status", "at"), rows))


# --- the thread


class _Behind(NamedTuple):
    """What came behind a message.

    :ivar answers: the messages that answer it, or one that does
    :ivar last: up to this record it was looked for
    """

    answers: list[AgentPoolStoredMessage]
    last: int
    head: int


async def _thread(
    pool: AgentPool, stored: AgentPoolStoredMessage, found: MessageExplanation
) -> Html:
    before = await messages_before(pool, stored, _MOST_BEFORE, most=_LOOKED_AT)
    first = found.statuses[0].seq if found.statuses else 0
    behind = await ask(pool, partial(_behind, message_id=stored.message.message_id, after=first))
    rows = [_said(pool.pool_id, each, stored) for each in (*before, stored, *behind.answers)]
    caption = f"thread: {len(rows):,}"
    if behind.last < behind.head:
        caption += f"; answers were looked for up to record {behind.last:,} of {behind.head:,}"
    names = ("message", "from", "to", "status")
    return section("thread", "Thread", table(caption, names, rows))


def _behind(view: PoolView, message_id: str, after: int) -> _Behind:
    thread: dict[str, AgentPoolStoredMessage | None] = {message_id: None}
    last = after
    for seq, payload in view.records(after, _LOOKED_AT):
        last = seq
        if isinstance(payload, RunMessageRecorded) and len(thread) <= _MOST_ANSWERS:
            message = payload.stored.message
            if message.reply_to in thread and message.message_id != message_id:
                thread[message.message_id] = payload.stored
    return _Behind([each for each in thread.values() if each is not None], last, view.head)


def _said(
    pool_id: str, each: AgentPoolStoredMessage, shown: AgentPoolStoredMessage
) -> Sequence[Content]:
    message = each.message
    is_it = message.message_id == shown.message.message_id
    name: Content = message_link(pool_id, message.idempotency_key, message.message_id)
    return (
        [name, " (this one)"] if is_it else name,
        explained(pool_id, message.sender),
        named(address_words(message.to)),
        str(each.receipt.status),
    )
