"""Waiting for mail, for members or for an event, bounded, without taking or changing anything."""

import asyncio
from argparse import ArgumentParser, Namespace
from contextlib import aclosing
from typing import Final

from agentpool import (
    AgentPool,
    AgentPoolStoreCursor,
    AgentTarget,
    EventFilter,
    InvalidValueError,
    NotEnoughMembersError,
    RunTarget,
    TopicTarget,
)
from agentpool.cli.arguments import Verb, in_pool
from agentpool.cli.log import events_of
from agentpool.cli.opening import a_pool, tell_if_absent
from agentpool.cli.printing import Printer, Row, as_json
from agentpool.cli.rows import event_row
from agentpool.cli.talking import inbox_of, of_inbox
from agentpool.cli.times import seconds
from agentpool.faces.naming import address
from agentpool.rules.history import end_of_events

__all__ = ("VERBS",)

_PAGE: Final = 500


def _arguments(parser: ArgumentParser) -> None:
    in_pool(parser)
    of_inbox(parser)
    parser.add_argument(
        "kind",
        nargs="?",
        choices=("mail", "member", "event"),
        default="mail",
        help="mail: a message can be taken; member: one is there; event: one is published",
    )
    parser.add_argument(
        "name", nargs="?", help="of the event; or the member, as run:ID, agent:ID or topic:ID"
    )
    parser.add_argument("--past", action="store_true", help="also one of the past, the last such")
    parser.add_argument("--timeout", type=seconds, metavar="SPAN", help="how long; for ever if not")


async def _wait(options: Namespace, out: Printer) -> int:
    if (options.name is None) != (options.kind == "mail"):
        msg = "wait: an event and a member have a name, and mail has none"
        raise InvalidValueError(msg)
    async with a_pool(options) as pool:
        if options.kind == "mail":
            await tell_if_absent(pool, inbox_of(options), out)
        found = await _WAITS[options.kind](pool, options)
    came = found is not None
    row: Row = {"for": options.kind, "came": came, **(found or {})}
    out.row(row, as_json(row))
    return int(not came)


async def _mail(pool: AgentPool, options: Namespace) -> Row | None:
    run_id = inbox_of(options)
    return {"run": run_id} if await pool.inbox(run_id).wait(options.timeout) else None


async def _member(pool: AgentPool, options: Namespace) -> Row | None:
    target = (await address(pool, options.name)).target
    try:
        match target:
            case AgentTarget(agent_id):
                found = await pool.wait_for_members(agent=agent_id, timeout=options.timeout)
            case TopicTarget(topic_id):
                found = await pool.wait_for_members(topic=topic_id, timeout=options.timeout)
            case RunTarget(run_id):
                found = await pool.wait_for_members(run_ids=[run_id], timeout=options.timeout)
            case _:
                found = await pool.wait_for_members(timeout=options.timeout)
    except NotEnoughMembersError:
        return None
    return {"runs": [each.run_id for each in found]}


async def _event(pool: AgentPool, options: Namespace) -> Row | None:
    wanted = EventFilter.named(options.name)
    now = await pool.store.query(pool.pool_id, end_of_events)
    clock, timeout = asyncio.get_running_loop().time, options.timeout
    until = None if timeout is None else clock() + timeout
    try:
        if options.past:
            async with asyncio.timeout_at(until if timeout else None):  # 0: it looks once
                if (found := await _latest(pool, wanted, now.sequence)) is not None:
                    return found
        async with asyncio.timeout_at(until):
            return await _next(pool, wanted, now)
    except TimeoutError:
        return None


async def _latest(pool: AgentPool, wanted: EventFilter, head: int) -> Row | None:
    """Find the last that has been: some records are looked at, then those before them."""
    found, end = None, head
    while found is None and end > 0:
        begin = max(end - _PAGE, 0)
        async with aclosing(events_of(pool, AgentPoolStoreCursor(begin), follow=False)) as events:
            async for seq, event in events:
                if seq > end:
                    break
                if wanted.matches(event):
                    found = event_row(seq, event)
        end = begin
    return found


async def _next(pool: AgentPool, wanted: EventFilter, place: AgentPoolStoreCursor) -> Row | None:
    async with aclosing(events_of(pool, place, follow=True)) as events:
        async for seq, event in events:
            if wanted.matches(event):
                return event_row(seq, event)
    return None


_WAITS: Final = {"mail": _mail, "member": _member, "event": _event}

VERBS: Final = (
    Verb(
        "wait",
        "wait for mail, a member or an event, and print one line of JSON",
        "agentpool wait --as run.me --timeout 10m\n"
        "agentpool wait member agent:agent.coder --timeout 1m\n"
        "agentpool wait event build.done --timeout 1h",
        _arguments,
        _wait,
    ),
)
