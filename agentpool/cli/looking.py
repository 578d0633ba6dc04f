"""Looking at pools: pools, members, stats, top, explain."""

import asyncio
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec

from agentpool import AgentPool, NothingFound
from agentpool.cli.arguments import Verb, in_pool, in_store
from agentpool.cli.opening import a_store, looked_at
from agentpool.cli.printing import Printer, Row, for_people
from agentpool.cli.rows import member_row, overview_row
from agentpool.cli.times import iso, seconds
from agentpool.rules.explaining.overview import (
    MEMBERS_AT_ONCE,
    Overview,
    members_after,
    overview,
)
from agentpool.stores.base import Bulk
from agentpool.stores.counting import backlog_of

__all__ = ("VERBS", "counted", "looked_over")

_SHOWN_BY_TOP: Final = 20


async def looked_over(pool: AgentPool) -> Overview:
    """Look over a pool, some of its members at a time."""
    seen = await pool.store.query(pool.pool_id, Bulk(overview))
    members = some = seen.members
    while len(some) == MEMBERS_AT_ONCE:
        question = partial(members_after, run_id=some[-1].member.run_id)
        some = await pool.store.query(pool.pool_id, Bulk(question))
        members += some
    return seen._replace(members=members)


async def counted(pool: AgentPool) -> Overview:
    """Look over a pool, and count all that is in its inboxes, however much it is."""
    seen = await looked_over(pool)
    if not seen.at_least:
        return seen
    return seen._replace(backlog=await backlog_of(pool.store, pool.pool_id))


# --- pools


async def _pools(options: Namespace, out: Printer) -> int:
    async with a_store(options) as store:
        rows: list[Row] = [
            {
                "pool": each.pool_id,
                "records": each.records,
                "members": each.members,
                "last_change": iso(each.last_change),
            }
            for each in await store.pools()
        ]
    return int(not out.rows(rows))


# --- members


def _filters(parser: ArgumentParser) -> None:
    in_pool(parser)
    parser.add_argument("--agent", help="only the runs of this agent")
    parser.add_argument("--topic", help="only those that carry this topic")


async def _members(options: Namespace, out: Printer) -> int:
    async with looked_at(options) as pool:
        seen = await looked_over(pool)
    rows = [
        member_row(each, seen.now)
        for each in seen.members
        if options.agent in {None, each.member.agent_id}
        if options.topic is None or options.topic in each.member.topics
    ]
    return int(not out.rows(rows))


# --- stats, top


async def _stats(options: Namespace, out: Printer) -> int:
    async with looked_at(options) as pool:
        out.row(overview_row(await counted(pool)))
    return 0


def _times(parser: ArgumentParser) -> None:
    in_pool(parser)
    parser.add_argument(
        "--interval", type=seconds, default=2.0, metavar="SPAN", help="how often it looks (2s)"
    )
    parser.add_argument("--count", type=int, metavar="N", help="end after so many looks")


async def _top(options: Namespace, out: Printer) -> int:
    left = options.count
    async with looked_at(options) as pool:
        while left is None or left > 0:
            _show(out, await looked_over(pool))
            left = None if left is None else left - 1
            if left != 0:
                await asyncio.sleep(options.interval)
    return 0


def _show(out: Printer, seen: Overview) -> None:
    if not out.for_people:
        out.row(overview_row(seen))
        return
    out.clear()
    out.text(_summary(overview_row(seen)))
    fullest = sorted(seen.members, key=lambda each: (-each.inbox.dead, -each.inbox.unread))
    out.rows([member_row(each, seen.now) for each in fullest[:_SHOWN_BY_TOP]])
    if len(fullest) > _SHOWN_BY_TOP:
        out.text(f"and {len(fullest) - _SHOWN_BY_TOP} more")


def _summary(row: Row) -> str:
    names: Sequence[str] = ("records", "members", "here", "unread", "claimed", "dead", "waits")
    cells = for_people(row)
    numbers = ", ".join(f"{cells[name]} {name}" for name in names)
    return f"{row['pool']}: {numbers}"


# --- explain


def _what(parser: ArgumentParser) -> None:
    in_pool(parser)
    parser.add_argument("what", help="a run, queue, agent, message (id or key) or wake")


async def _explain(options: Namespace, out: Printer) -> int:
    async with looked_at(options) as pool:
        found = await pool.explain(options.what)
    if out.for_people:
        for line in found.words:
            out.text(line)
    else:
        out.row(msgspec.to_builtins(found))
    return int(isinstance(found, NothingFound))


VERBS: Final = (
    Verb(
        "pools",
        "list the pools of a store",
        "agentpool pools --store pool.db\nagentpool pools --store postgresql://me@db/agents --json",
        in_store,
        _pools,
    ),
    Verb(
        "members",
        "list the members and queues of a pool",
        "agentpool members\nagentpool members --agent agent.coder --field run",
        _filters,
        _members,
    ),
    Verb("stats", "show a pool in numbers", "agentpool stats --field unread", in_pool, _stats),
    Verb(
        "top",
        "show a pool, and its fullest inboxes, again and again",
        "agentpool top\nagentpool top --interval 10s --json",
        _times,
        _top,
    ),
    Verb(
        "explain",
        "say why a run, message, queue or wake is as it is",
        "agentpool explain run.ada\nagentpool explain message.0123 --json",
        _what,
        _explain,
    ),
)
