"""Talking in a pool: inbox, send, ask, reply, publish."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import Final, Literal, TypeAlias

from agentpool import AgentPool, AgentPoolMember, Answers, AskOutcome, RunMessage
from agentpool.cli.arguments import (
    Doing,
    Verb,
    acting,
    at_least,
    body_of,
    chosen_run,
    in_pool,
    takes_body,
    text,
)
from agentpool.cli.hooks import asked_by_hook, tell_host
from agentpool.cli.opening import a_pool, looked_at, member_for, run_of, tell_if_absent
from agentpool.cli.printing import Printer, Row
from agentpool.cli.rows import body_row, message_row, receipt_row
from agentpool.cli.times import seconds
from agentpool.faces.naming import address, claim_named, claimed_message, message_named, not_found
from agentpool.rules.queues import queue_run

__all__ = ("VERBS", "inbox_of", "of_inbox")

_Body: TypeAlias = str | bytes
_TO: Final = "run:ID, agent:ID, topic:ID, queue:NAME, pool, or the bare id of one who is there"


def of_inbox(parser: ArgumentParser) -> None:
    """Let a verb say whose inbox it is about."""
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--queue", metavar="NAME", help="the inbox of this queue")
    chosen_run(parser, "the run whose inbox it is")


def inbox_of(options: Namespace) -> str:
    """Say whose inbox is meant, by its run."""
    return run_of(options) if options.queue is None else queue_run(options.queue)


# --- inbox


def _inbox_arguments(parser: ArgumentParser) -> None:
    in_pool(parser)
    of_inbox(parser)
    parser.add_argument(
        "--count", type=at_least(1), default=100, metavar="N", help="at most so many (100)"
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--bodies", action="store_true", help="with their bodies")
    how.add_argument(
        "--hook", action="store_true", help="tell the host whose hook this is of what is new"
    )


def _inbox(options: Namespace, out: Printer) -> Doing:
    return tell_host(options, asked_by_hook(), out) if options.hook else _listed(options, out)


async def _listed(options: Namespace, out: Printer) -> int:
    async with looked_at(options) as pool:
        rows: list[Row] = []
        run_id = inbox_of(options)
        await tell_if_absent(pool, run_id, out)
        for message in await pool.inbox(run_id).peek(options.count):
            body = await body_row(pool, message) if options.bodies else {}
            rows.append({**message_row(message), **body})
    return int(not out.rows(rows))


# --- send


def _send_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("to", help=_TO)
    takes_body(parser)
    acting(parser)
    parser.add_argument("--key", help="an idempotency key: sent again under it, it is sent once")
    parser.add_argument("--reply-to", metavar="MESSAGE", help="the id of a message it answers")
    parser.add_argument(
        "--expires-in", type=seconds, metavar="SPAN", help="handed out no more after that"
    )
    parser.add_argument(
        "--deliver-in", type=seconds, default=0.0, metavar="SPAN", help="in the inboxes only then"
    )


def _send(options: Namespace, out: Printer) -> Doing:
    return _sent(options, out, body_of(options))


async def _sent(options: Namespace, out: Printer, body: _Body) -> int:
    async with a_pool(options) as pool:
        me = await member_for(pool, options, out)
        receipt = await me.send(
            await address(pool, options.to, key=options.key, sender=me.run_id),
            body,
            idempotency_key=options.key,
            reply_to=options.reply_to,
            expires_in=options.expires_in,
            deliver_in=options.deliver_in,
        )
    out.row(receipt_row(receipt))
    return int(not receipt.delivered_to)


# --- ask


def _expected(text: str) -> int | Literal["all"]:
    if text == "all":
        return "all"
    if not text.isdecimal():
        msg = f"{text!r} is neither a number nor 'all'"
        raise ArgumentTypeError(msg)
    return int(text)


def _ask_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("to", help=_TO)
    takes_body(parser)
    acting(parser)
    parser.add_argument("--key", help="an idempotency key: asked again under it, it is asked once")
    parser.add_argument(
        "--expect", type=_expected, default=1, metavar="N", help="so many answers (1), or 'all'"
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=30.0,
        metavar="SPAN",
        help="how long it waits (30s); what comes later is in the inbox",
    )


def _ask(options: Namespace, out: Printer) -> Doing:
    return _asked(options, out, body_of(options))


async def _asked(options: Namespace, out: Printer, body: _Body) -> int:
    async with a_pool(options) as pool:
        me = await member_for(pool, options, out)
        answers = await me.ask(
            await address(pool, options.to, key=options.key, sender=me.run_id),
            body,
            expected=options.expect,
            timeout=options.timeout,
            late="inbox",  # this process, which could be asked for what is kept, ends
            idempotency_key=options.key,
        )
        for answer in answers:
            await _print_answer(pool, answer, out)
        # Where a program has asked under this key they are kept, and not in the inbox.
        for answer in answers.late:
            await _print_answer(pool, answer, out, is_late=True)
    if answers.outcome is AskOutcome.COMPLETE:
        return 0
    out.say(_how_it_ended(answers, options.to))
    return 1


def _how_it_ended(answers: Answers, to: str) -> str:
    if answers.outcome is AskOutcome.NOBODY:
        return f"nobody was there to answer: {to}"
    missing = f"; no answer of {', '.join(answers.missing)}" if answers.missing else ""
    return f"{answers.outcome.replace('_', ' ')}{missing}"


async def _print_answer(
    pool: AgentPool, answer: RunMessage, out: Printer, *, is_late: bool = False
) -> None:
    read = await body_row(pool, answer)
    said = read["unreadable"] or read["body"]
    row: Row = {"from": answer.sender, "message": answer.message_id, **read, "late": is_late}
    who = f"{answer.sender} (too late, or beyond what was expected)" if is_late else answer.sender
    out.row(row, f"{who}: {said if isinstance(said, str) else repr(said)}")


# --- reply


def _reply_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "message", type=text, help="what it answers: a message (id or key), or its token"
    )
    takes_body(parser)
    acting(parser)
    parser.add_argument("--key", help="an idempotency key: sent again under it, it is sent once")


def _reply(options: Namespace, out: Printer) -> Doing:
    return _replied(options, out, body_of(options))


async def _replied(options: Namespace, out: Printer, body: _Body) -> int:
    claim = claim_named(options.message)
    async with a_pool(options) as pool:
        if claim is None:
            stored = await message_named(pool, options.message, options.run)
        else:
            stored = await claimed_message(pool, *claim)
        if stored is None:
            out.say(await not_found(pool, options.message))
            return 1
        if claim is None:
            me = await member_for(pool, options, out)
        else:  # whoever has it under a claim answers for the run whose inbox it is in
            me = pool.acting_as(AgentPoolMember(claim[1], options.agent))
        receipt = await me.reply(stored.message, body, idempotency_key=options.key)
    out.row(receipt_row(receipt))
    return int(not receipt.delivered_to)


# --- publish


def _publish_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", help="the name of the event, such as build.done")
    parser.add_argument(
        "body", nargs="?", help="a text; @FILE for what is in a file; - for the standard input"
    )
    acting(parser)
    parser.add_argument("--key", help="an idempotency key: published again under it, it is one")
    parser.add_argument("--tag", action="append", default=[], help="one more tag; again for more")
    parser.add_argument("--summary", help="a line that anybody may read")


def _publish(options: Namespace, out: Printer) -> Doing:
    return _published(options, out, None if options.body is None else body_of(options))


async def _published(options: Namespace, out: Printer, body: _Body | None) -> int:
    async with a_pool(options) as pool:
        me = await member_for(pool, options, out)
        number = await me.publish(
            options.name,
            body,
            tags=options.tag,
            summary=options.summary,
            idempotency_key=options.key,
        )
    out.row({"event": options.name, "number": number})
    return 0


VERBS: Final = (
    Verb(
        "inbox",
        "list what is in an inbox, and leave it there",
        "agentpool inbox --as run.me --bodies\nagentpool inbox --queue work",
        _inbox_arguments,
        _inbox,
    ),
    Verb(
        "send",
        "send a message",
        "agentpool send agent.coder 'build it' --as run.me\n"
        "agentpool send queue:work @plan.json --key plan.1\nmake 2>&1 | agentpool send run.ada",
        _send_arguments,
        _send,
    ),
    Verb(
        "ask",
        "ask, and wait for the answers",
        "agentpool ask agent.librarian 'Where is Dune?' --as run.me\n"
        "agentpool ask pool 'Ready?' --expect all --timeout 1m --json",
        _ask_arguments,
        _ask,
    ),
    Verb(
        "reply",
        "answer a message",
        'agentpool reply message.0123 "Shelf 42." --as run.me\n'
        'agentpool reply "$token" "Shelf 42."',
        _reply_arguments,
        _reply,
    ),
    Verb(
        "publish",
        "publish an event under a name",
        "agentpool publish build.done --as run.me\n"
        "agentpool publish build.done @report.json --tag nightly",
        _publish_arguments,
        _publish,
    ),
)
