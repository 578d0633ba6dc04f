"""The view *Now*: who is here, who is stuck, who waits for whom, what is overdue, what is dead."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

import anyio

from agentpool import AgentPool
from agentpool.rules.explaining.inboxes import at_least
from agentpool.rules.explaining.phrases import span, until_words
from agentpool.rules.rows import ACCEPTED, AWAY, EXPIRY, LEASE, PUBLISHED, RESPONSE, WAKE
from agentpool.web.glance import MOST, Claimed, Glance, Waiting, glance
from agentpool.web.html import NO_VALUE, Content, Html, el, join, named
from agentpool.web.inside import Inside, ask
from agentpool.web.lines import lines
from agentpool.web.parts import (
    age,
    explained,
    facts,
    link,
    message_link,
    of_all,
    section,
    table,
    url,
)
from agentpool.web.picture import picture
from agentpool.web.survey import Seen
from agentpool.web.waiting import Arrow, arrows, reduced

__all__ = ("Seeing", "see", "told", "written")

_MOST_INBOXES: Final = 20
_BAD: Final = {"dead", "overdue"}
_DUE: Final = {
    WAKE: "a wait",
    RESPONSE: "a question",
    EXPIRY: "a message that expires",
    LEASE: "a lease",
    AWAY: "a run that is away",
    ACCEPTED: "a message that is to be delivered",
    PUBLISHED: "an event",
}


class Seeing(NamedTuple):
    """All that the view shows.

    :ivar members: those that were looked at, the most urgent first
    :ivar looked: for how many seconds the oldest of that is known; ``None``: not all were looked at
    :ivar more: a ``+`` for each number that is not counted to the end
    """

    pool_id: str
    glance: Glance
    members: Sequence[Seen]
    looked: float | None
    more: Mapping[str, str]


async def see(inside: Inside, pool: AgentPool, seconds: float) -> Seeing:
    """Look at a pool.

    :param seconds: how long to look at members at most, where they are many
    """
    survey = inside.survey(pool)
    await survey.go_on(seconds)
    members = survey.seen
    claimed = _first(members, lambda each: each.seen.inbox.claimed)
    dead = _first(members, lambda each: each.seen.inbox.dead)
    seen = await ask(pool, partial(glance, claimed=claimed, dead=dead))
    looked_at = survey.looked_at
    looked = None if looked_at is None else anyio.current_time() - looked_at
    urgent = sorted(members, key=partial(_urgency, seen.now))
    return Seeing(pool.pool_id, seen, urgent, looked, _more(members))


def _more(members: Iterable[Seen]) -> dict[str, str]:
    return dict.fromkeys(at_least(each.seen.inbox for each in members), "+")


def _first(members: Sequence[Seen], counts: Callable[[Seen], int]) -> list[str]:
    """Name the inboxes that have had something for longest."""
    found = [each for each in members if counts(each)]
    found.sort(key=lambda each: each.seen.oldest_at or 0)
    return [each.run_id for each in found[:_MOST_INBOXES]]


def _urgency(now: int, each: Seen) -> tuple[bool, bool, bool, int, str]:
    inbox = each.seen.inbox
    oldest = each.seen.oldest_at
    is_late = any(owed.until is not None and owed.until <= now for owed in each.owes)
    return (
        not each.seen.held.is_lost(now),
        not is_late,
        not inbox.dead,
        oldest or now,
        each.run_id,
    )


# --- in words, for who listens


def told(seeing: Seeing) -> str:
    """Say how a pool stands, in a line."""
    counts = _counts(seeing)
    return ", ".join(f"{name} {value}" for name, value in counts.items())


def _counts(seeing: Seeing) -> dict[str, str]:
    counts = Counter[str]()
    for each in seeing.members:
        inbox = each.seen.inbox
        counts["queues" if each.seen.is_queue else "runs"] += 1
        counts["here"] += each.seen.held.is_here(seeing.glance.now)
        counts["unread"] += inbox.unread
        counts["claimed"] += inbox.claimed
        counts["dead"] += inbox.dead
    names = ("runs", "here", "queues", "unread", "claimed", "dead")
    numbers = {name: f"{counts[name]:,}{seeing.more.get(name, '')}" for name in names}
    overdue = seeing.glance.overdue
    return {
        **numbers,
        "waits": f"{seeing.glance.waits_in_all:,}",
        "overdue": f"{len(overdue)}{'+' if len(overdue) == MOST else ''}",
    }


# --- the page


def written(seeing: Seeing, page: int = 1) -> Html:
    """Write what changes of the view.

    :param page: which page of the members
    """
    seen = seeing.glance
    found = arrows(seeing.members, seen.waits)
    parts = [
        _summary(seeing),
        _overdue(seeing) if seen.overdue else None,
        _waiting(seeing, found),
        _members(seeing, page),
        _claims(seeing),
        _waits(seeing),
        _dead(seeing),
        _last(seeing),
    ]
    return join(parts)


def _summary(seeing: Seeing) -> Html:
    seen = seeing.glance
    since = age(seen.now, seen.last_change)
    more: dict[str, Content] = {"records": f"{seen.head:,}", "since the last": since}
    counts = {name: _marked(name, value) for name, value in _counts(seeing).items()}
    if seen.behind:
        more["to be worked in"] = f"{seen.behind:,}"
    return join([facts({**counts, **more}, "numbers"), _how_far(seeing)])


def _marked(name: str, value: str) -> Content:
    return el("strong", value, class_="bad") if name in _BAD and value != "0" else value


def _how_far(seeing: Seeing) -> Content:
    looked, in_all = len(seeing.members), seeing.glance.members_in_all
    if seeing.looked is None:
        return el("p", f"Looked at {looked:,} of {in_all:,} members so far.", class_="sampled")
    if seeing.looked < 1:
        return None
    said = f"Members and inboxes as of the last {span(round(seeing.looked * 1000))}."
    return el("p", said, class_="sampled")


def _overdue(seeing: Seeing) -> Html:
    seen = seeing.glance
    rows = [
        (_DUE.get(what, what), _subject(seeing.pool_id, what, name), age(seen.now, row.due_at))
        for row in seen.overdue
        for what, _, name in [row.key.name.partition(" ")]
    ]
    more = " or more" if len(rows) == MOST else ""
    caption = f"overdue: {len(rows)}{more}; any process that opens the pool carries it out"
    return section("overdue", "Overdue", table(caption, ("what", "of", "for"), rows))


def _subject(pool_id: str, what: str, name: str) -> Html:
    if what in {RESPONSE, EXPIRY, ACCEPTED}:
        return message_link(pool_id, name, name)
    return explained(pool_id, name)


def _waiting(seeing: Seeing, found: Sequence[Arrow]) -> Html:
    drawn, more = reduced(found)
    figure = el(
        "figure",
        el("figcaption", of_all(len(drawn), len(found), "arrows"), ", those in a circle in red"),
        el(
            "div",
            picture(drawn, more),
            class_="scroll",
            tabindex=0,
            role="group",
            aria_label="Picture",
        ),
    )
    return section(
        "waiting",
        "Who waits for whom",
        figure if drawn else None,
        table(
            of_all(min(len(found), MOST), len(found), "who waits"),
            ("who", "waits for", "by", "how long"),
            [_arrow(seeing, each) for each in found[:MOST]],
        ),
    )


def _arrow(seeing: Seeing, arrow: Arrow) -> Sequence[Content]:
    pool_id = seeing.pool_id
    if arrow.is_question:
        by: Content = ["question ", message_link(pool_id, arrow.by, arrow.by)]
    else:
        by = ["wait ", explained(pool_id, arrow.by)]
    circle = el("strong", " in a circle", class_="bad") if arrow.circles else None
    until = until_words(seeing.glance.now, arrow.until)
    who, whom = explained(pool_id, arrow.run_id), explained(pool_id, arrow.awaited)
    return who, [whom, circle], by, until


# --- members


def _members(seeing: Seeing, page: int) -> Html:
    members = seeing.members
    pages = max(-(-len(members) // MOST), 1)
    page = min(max(page, 1), pages)
    shown = members[(page - 1) * MOST : page * MOST]
    names = ("run", "agent", "presence", "unread", "claimed", "dead", "oldest", "owes")
    caption = of_all(len(shown), seeing.glance.members_in_all, "members, the most urgent first")
    rows = [_member(seeing, each) for each in shown]
    pager = _pager(seeing.pool_id, page, pages) if pages > 1 else None
    return section("members", "Members", table(caption, names, rows), pager)


def _pager(pool_id: str, page: int, pages: int) -> Html:
    def to(number: int, words: str) -> Content:
        there = f"{url('/now', pool=pool_id, page=number)}#members"
        return link(there, words) if 1 <= number <= pages and number != page else words

    return el(
        "nav",
        [to(1, "first"), " ", to(page - 1, "before"), f" page {page} of {pages} "],
        [to(page + 1, "next"), " ", to(pages, "last")],
        aria_label="Pages of members",
        class_="pager",
    )


def _member(seeing: Seeing, each: Seen) -> Sequence[Content]:
    now, seen = seeing.glance.now, each.seen
    inbox = seen.inbox
    more = _more([each])
    return (
        explained(seeing.pool_id, each.run_id),
        NO_VALUE if seen.is_queue else explained(seeing.pool_id, seen.member.agent_id),
        _presence(now, each),
        f"{inbox.unread:,}{more.get('unread', '')}",
        f"{inbox.claimed:,}{more.get('claimed', '')}",
        _marked("dead", f"{inbox.dead:,}{more.get('dead', '')}"),
        age(now, seen.oldest_at),
        f"{each.owes_in_all:,}",
    )


def _presence(now: int, each: Seen) -> Content:
    if each.seen.is_queue:
        return "queue"
    if each.seen.held.is_lost(now):
        return el("strong", "lost", class_="bad")
    return str(each.seen.held.presence)


# --- what is held, waits, is dead, and came last


def _claims(seeing: Seeing) -> Html:
    rows = [_claim(seeing, each) for each in seeing.glance.claims]
    in_all = max(sum(each.seen.inbox.claimed for each in seeing.members), len(rows))
    caption = of_all(len(rows), in_all, "held claims", seeing.more.get("claimed", ""))
    names = ("message", "inbox", "held by", "attempt", "delivered", "claim")
    return section("claims", "Claims", table(caption, names, rows))


def _claim(seeing: Seeing, each: Claimed) -> Sequence[Content]:
    now, claim = seeing.glance.now, each.claim
    name = claim.message_id or f"record {claim.seq}"
    return (
        message_link(seeing.pool_id, claim.idempotency_key, name),
        explained(seeing.pool_id, claim.inbox),
        named(claim.process),
        claim.attempt,
        [age(now, each.delivered_at), " ago"],
        until_words(now, claim.until),
    )


def _waits(seeing: Seeing) -> Html:
    seen = seeing.glance
    first = sorted(seen.waits, key=_soonest)[:MOST]
    caption = of_all(len(first), seen.waits_in_all, "open waits")
    names = ("wait", "of", "for", "since", "how long")
    return section(
        "waits", "Open waits", table(caption, names, [_wait(seeing, each) for each in first])
    )


def _soonest(each: Waiting) -> tuple[bool, int]:
    return each.wait.until is None, each.wait.until or 0


def _wait(seeing: Seeing, each: Waiting) -> Sequence[Content]:
    now, wait = seeing.glance.now, each.wait
    return (
        explained(seeing.pool_id, wait.condition_id),
        explained(seeing.pool_id, each.run_id),
        el("bdi", wait.waits_for, class_="words"),
        [age(now, each.since), " ago"],
        until_words(now, wait.until),
    )


def _dead(seeing: Seeing) -> Html:
    rows = [
        (
            message_link(seeing.pool_id, each.message.idempotency_key, each.message.message_id),
            explained(seeing.pool_id, each.run_id),
            each.attempts,
            explained(seeing.pool_id, each.message.sender),
        )
        for each in seeing.glance.dead
    ]
    in_all = max(sum(each.seen.inbox.dead for each in seeing.members), len(rows))
    caption = of_all(len(rows), in_all, "dead letters", seeing.more.get("dead", ""))
    names = ("message", "inbox", "attempts", "from")
    return section("dead", "Dead letters", table(caption, names, rows))


def _last(seeing: Seeing) -> Html:
    more = el("p", link(url("/log", pool=seeing.pool_id), "The whole log"))
    found = lines(seeing.pool_id, seeing.glance.last)
    return section("last", "What happened last", table("the newest first", *found), more)
