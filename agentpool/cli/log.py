"""Looking into the log: tail, show, thread."""

from argparse import ArgumentParser, Namespace
from collections.abc import AsyncGenerator
from contextlib import aclosing, nullcontext
from functools import partial
from typing import Final

from agentpool import (
    AgentPool,
    AgentPoolStoreCursor,
    AgentPoolStoredMessage,
    AgentPoolStoreRecord,
    EntityKind,
    EntityRef,
    EventCursor,
    EventEnvelope,
    EventKind,
    RunMessageRecorded,
)
from agentpool.cli.arguments import BROKEN, Verb, at_least, chosen_run, in_pool, text
from agentpool.cli.opening import looked_at
from agentpool.cli.printing import Printer, Row
from agentpool.cli.rows import body_row, event_row, event_words, message_row, receipt_row
from agentpool.cli.times import Since, since
from agentpool.faces.naming import message_named, messages_before, not_found, recorded_message
from agentpool.rules.command import PoolView
from agentpool.rules.history import page_of_events, record_before
from agentpool.rules.rows import number_in
from agentpool.stores.base import Bulk
from agentpool.stores.turns import Turns

__all__ = ("VERBS", "events_of", "head_of")

_LAST: Final = 10
_PAGE: Final = 500
_DELIVERED: Final = EventKind.RUN_MESSAGE_DELIVERED


async def head_of(pool: AgentPool) -> int:
    """Give the number of the last record of a pool."""
    return await pool.store.query(pool.pool_id, lambda view: view.head)


async def events_of(
    pool: AgentPool, place: AgentPoolStoreCursor, *, follow: bool
) -> AsyncGenerator[tuple[int, EventEnvelope]]:
    """Yield the events after a place, each with the record that it is or came after.

    All of them, whoever may see them in the pool; without those that cannot be read.

    :param follow: whether to wait for more, for ever, at the end
    """
    # To listen takes its time, and so does to end it.
    with pool.store.changes(pool.pool_id) if follow else nullcontext(Turns()) as turns:
        async for _ in turns:
            events, place, more = await pool.store.query(pool.pool_id, partial(_page, place))
            for cursor, event in events:
                yield cursor.sequence, event
            turns.refuse_closed()
            if more:
                turns.wake()
            elif not follow:
                return


def _page(
    place: AgentPoolStoreCursor, view: PoolView
) -> tuple[list[tuple[EventCursor, EventEnvelope]], EventCursor, bool]:
    return page_of_events(view, place, keep_out_unreadable=True)


# --- tail


def _tail_arguments(parser: ArgumentParser) -> None:
    in_pool(parser)
    chosen_run(parser, "with --notify: only what is delivered to this run")
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--from", dest="first", type=int, metavar="SEQ", help="from this record on")
    begin.add_argument(
        "--since", type=since, metavar="WHEN", help="from a time on: 10m, or 2026-11-27T17:00"
    )
    begin.add_argument("-n", "--last", type=at_least(0), metavar="N", help=f"the last N ({_LAST})")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what comes")
    parser.add_argument("--count", type=at_least(1), metavar="N", help="end after so many lines")
    parser.add_argument("--bodies", action="store_true", help="with the bodies of messages")
    parser.add_argument(
        "--notify",
        action="store_true",
        help="one short line, without a body, for each message that comes from now on",
    )


async def _tail(options: Namespace, out: Printer) -> int:
    left = options.count
    async with looked_at(options) as pool:
        after = await _start(pool, options)
        follow = options.follow or options.notify
        printed = False
        async with aclosing(events_of(pool, AgentPoolStoreCursor(after), follow=follow)) as events:
            async for seq, event in events:
                if options.notify and not _is_for(event, options.run):
                    continue
                await _print(pool, seq, event, options, out)
                printed = True
                left = None if left is None else left - 1
                if left == 0:
                    break
    return int(not printed)


async def _start(pool: AgentPool, options: Namespace) -> int:
    if options.first is not None:
        return max(int(options.first) - 1, 0)
    if options.since is not None:
        return await pool.store.query(pool.pool_id, Bulk(partial(_before, options.since)))
    last = (0 if options.notify else _LAST) if options.last is None else options.last
    return max(await head_of(pool) - last, 0)


def _before(moment: Since, view: PoolView) -> int:
    return record_before(view, moment.millis(view.now))


def _is_for(event: EventEnvelope, run_id: str | None) -> bool:
    if event.event_kind is not _DELIVERED:
        return False
    return run_id is None or EntityRef(EntityKind.RUN, run_id) in event.related_refs


async def _print(
    pool: AgentPool, seq: int, event: EventEnvelope, options: Namespace, out: Printer
) -> None:
    row = event_row(seq, event)
    if options.notify:
        short: Row = {name: row[name] for name in ("seq", "at", "run", "about", "runs")}
        out.row(short, f"message {seq} from {event.run_id}: {event.message_id}")
        return
    if options.bodies:
        row |= await _body(pool, seq, event)
    out.row(row, event_words(row))


async def _body(pool: AgentPool, seq: int, event: EventEnvelope) -> Row:
    """Read the body of the message that an event delivers; of another it is ``None``."""
    stored = await recorded_message(pool, seq) if event.event_kind is _DELIVERED else None
    if stored is None:
        return {"body": None, "unreadable": None}
    return await body_row(pool, stored.message)


# --- show


def _show_arguments(parser: ArgumentParser) -> None:
    in_pool(parser)
    chosen_run(parser, "the run in whose inbox it is looked for too")
    parser.add_argument(
        "what", type=text, help="a message (id, key or token), or the number of a record"
    )


async def _show(options: Namespace, out: Printer) -> int:
    async with looked_at(options) as pool:
        what, number = options.what, number_in(options.what)
        stored = await _message_of(pool, options)
        if number is None or stored is not None:
            return await _show_message(pool, what, stored, out)
        place = AgentPoolStoreCursor(number - 1)
        async with aclosing(events_of(pool, place, follow=False)) as events:
            async for seq, event in events:
                if seq == number:
                    out.row(event_row(seq, event))
                    return 0
                break
    out.say(f"there is nothing to show of record {what}")
    return 1


async def _message_of(pool: AgentPool, options: Namespace) -> AgentPoolStoredMessage | None:
    """Find a message by what names it, or by the number of its record."""
    number = number_in(options.what)
    if number is None:
        return await message_named(pool, options.what, options.run)
    return await recorded_message(pool, number)


async def _show_message(
    pool: AgentPool, what: str, stored: AgentPoolStoredMessage | None, out: Printer
) -> int:
    if stored is None:
        out.say(f"{await not_found(pool, what)} (`agentpool explain` says what is near)")
        return 1
    body = await body_row(pool, stored.message)
    out.row({**message_row(stored.message), **receipt_row(stored.receipt), **body})
    return 0 if body["unreadable"] is None else BROKEN


# --- thread


async def _thread(options: Namespace, out: Printer) -> int:
    async with looked_at(options) as pool:
        stored = await _message_of(pool, options)
        if stored is None:
            out.say(await not_found(pool, options.what))
            return 1
        first = [*await messages_before(pool, stored), stored][0]
        rows = [
            {**message_row(each.message), **await body_row(pool, each.message)}
            for each in await _answers(pool, first)
        ]
    return int(not out.rows(rows))


async def _answers(pool: AgentPool, first: AgentPoolStoredMessage) -> list[AgentPoolStoredMessage]:
    """List a message and all that answers it, or an answer to it, by one look through the log."""
    thread = {first.message.message_id: first}
    place, page = AgentPoolStoreCursor(0), list[AgentPoolStoreRecord]()
    while True:
        page = await pool.store.read(pool.pool_id, place, limit=_PAGE, keep_unknown=True)
        for record in page:
            if isinstance(record.payload, RunMessageRecorded):
                stored = record.payload.stored
                if stored.message.reply_to in thread:
                    thread.setdefault(stored.message.message_id, stored)
        if len(page) < _PAGE:
            return list(thread.values())
        place = page[-1].cursor


VERBS: Final = (
    Verb(
        "tail",
        "show what happened last, and what happens",
        "agentpool tail --follow\nagentpool tail --since 10m --json\n"
        "agentpool tail --notify --as run.me",
        _tail_arguments,
        _tail,
    ),
    Verb(
        "show",
        "show a message with its body, or what a record says",
        "agentpool show message.0123\nagentpool show message.0123 --field body > plan.json\n"
        "agentpool show 42",
        _show_arguments,
        _show,
    ),
    Verb(
        "thread",
        "show a message, what it answers, and the answers",
        "agentpool thread message.0123",
        _show_arguments,
        _thread,
    ),
)
