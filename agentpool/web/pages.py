"""The pages: what each is asked for, and what stands on it."""

from typing import Final

from starlette.requests import Request

from agentpool import AgentPool
from agentpool.rules.explaining.explanations import MessageExplanation
from agentpool.rules.rows import number_in
from agentpool.rules.summary import summary_of
from agentpool.web.health import health_of
from agentpool.web.html import Content, el, named
from agentpool.web.inside import Inside, ask
from agentpool.web.log import log_of, wanted
from agentpool.web.message import in_words, message_found, message_of
from agentpool.web.now import see, told, written
from agentpool.web.parts import frame, link, message_link, moment, of_all, table, url

__all__ = ("explain", "health", "log", "message", "now", "pools")

_POOLS: Final = 100
_FIRST_LOOK: Final = 0.5


def number_of(request: Request, name: str) -> int:
    """Read a number of an address; 1 where it is none."""
    given = request.query_params.get(name, "")
    return number_in(given) or 1


async def pool_of(inside: Inside, request: Request) -> AgentPool:
    """Give the pool that an address names.

    :raises HTTPException: it names none
    """
    return await inside.pool(request.query_params.get("pool", ""))


async def pools(inside: Inside, request: Request) -> str:
    """List the pools of the store."""
    there = sorted(await inside.store.pool_ids())
    page = number_of(request, "page")
    shown = there[(page - 1) * _POOLS : page * _POOLS]
    rows: list[list[Content]] = []
    for pool_id in shown:
        seen = await ask(await inside.known(pool_id), summary_of)
        name = link(url("/now", pool=pool_id), named(pool_id))
        members = "cannot be read" if seen.members is None else f"{seen.members:,}"
        rows.append([name, f"{seen.records:,}", members, moment(seen.last_change)])
    caption = of_all(len(shown), len(there), "pools")
    more = link(url("/", page=page + 1), "more") if page * _POOLS < len(there) else None
    names = ("pool", "records", "members", "last change")
    store = el("p", "store ", named(inside.place))
    return frame("Pools", store, table(caption, names, rows), more, path="/")


async def now(inside: Inside, request: Request) -> str:
    """Show a pool as it is."""
    pool, page = await pool_of(inside, request), number_of(request, "page")
    seeing = await see(inside, pool, _FIRST_LOOK)
    live = url("/events", pool=pool.pool_id, view="now", page=page)
    status = el("p", told(seeing), role="status", aria_live="polite", class_="status")
    region = el("div", written(seeing, page), id="live")
    return frame("Now", status, region, pool_id=pool.pool_id, path="/now", live=live)


async def log(inside: Inside, request: Request) -> str:
    """Show a page of the log; where it is the end of it, what comes too."""
    pool, meant = await pool_of(inside, request), wanted(request.query_params)
    content, page = await log_of(pool, meant)
    kind, name = meant.filters
    live = url("/events", pool=pool.pool_id, view="log", kind=kind, id=name, after=str(page.end))
    status = el("p", role="status", aria_live="polite", class_="status")
    return frame(
        "Log",
        status,
        content,
        pool_id=pool.pool_id,
        path="/log",
        live=live if meant.is_end else None,
    )


async def message(inside: Inside, request: Request) -> str:
    """Show a message."""
    pool, given = await pool_of(inside, request), request.query_params
    stored = await message_found(pool, given.get("key", ""), number_in(given.get("seq", "")))
    content = await message_of(pool, stored, with_body="body" in given)
    return frame("Message", content, pool_id=pool.pool_id)


async def explain(inside: Inside, request: Request) -> str:
    """Say why a run, queue, agent, wake or message is as it is."""
    pool, what = await pool_of(inside, request), request.query_params.get("what", "")
    found = await pool.explain(what)
    more = None
    if isinstance(found, MessageExplanation):
        more = el("p", message_link(pool.pool_id, found.idempotency_key, "the message"))
    there = url("/log", pool=pool.pool_id, id=what)
    log = el("p", link(there, "where it stands in the log"))
    content = [el("p", named(what), class_="what"), in_words(found), more, log]
    return frame("Explained", *content, pool_id=pool.pool_id)


async def health(inside: Inside, request: Request) -> str:
    """Show how the store is."""
    pool = await pool_of(inside, request)
    content = await health_of(inside, pool, examined="examine" in request.query_params)
    return frame("Health", content, pool_id=pool.pool_id, path="/health")
