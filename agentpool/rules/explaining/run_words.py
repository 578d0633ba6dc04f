"""Explanations of runs, agents and queues in words."""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from agentpool.rules.explaining.explanations import (
    AgentExplanation,
    QueueExplanation,
    RunExplanation,
)
from agentpool.rules.explaining.parts import Awaited, ClaimSeen, InboxSeen, MessageSeen, Presence
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

__all__ = ("agent_words", "queue_words", "run_words")

_MOST_LINES: Final = 10
_COUNTS: Final = ("waiting", "claimed", "delayed", "backing_off", "expiring")


def run_words(found: RunExplanation) -> Iterator[str]:
    """Explain a run, line by line."""
    yield f"run {named(found.run_id)} of agent {named(found.agent_id)} {_presence(found)}"
    if found.lacks:
        yield f"it does not carry {policies(found.lacks)}, so nobody sees its events"
    yield f"inbox: {_inbox(found.now, found.inbox)}"
    yield from _claims(found.now, found.claims, found.run_id)
    for wait in found.waits[:_MOST_LINES]:
        until = until_words(found.now, wait.until)
        yield f"waits for {wait.waits_for} by wake {named(wait.condition_id)}, {until}"
    yield from _more("waits by", found.waits_in_all)
    yield from _awaited(found)
    for owed in found.owes[:_MOST_LINES]:
        asker = "somebody" if owed.asker is None else f"run {named(owed.asker)}"
        until = until_words(found.now, owed.until)
        yield f"{asker} waits for its answer to {named(owed.message_id)}, {until}"
    yield from _more("others wait for", found.owes_in_all)
    yield from alike_words(found.alike)


def _presence(found: RunExplanation) -> str:
    since = ago(found.now, found.since)
    match found.presence:
        case Presence.HERE:
            words = f"is here: joined {since}, held by process {found.process}"
        case Presence.UNHELD:
            words = f"is a member that no process holds, away or acted for: joined {since}"
        case Presence.AWAY:
            words = f"is away: its lease ran out {since}, it was held by process {found.process}"
        case _:
            words = f"has left {since}"
    if found.lease_until is None:
        return words
    if found.lease_until <= found.now:
        return f"{words}, its lease is about to run out"
    return f"{words}, its lease lasts {span(found.lease_until - found.now)} unless it is renewed"


def _inbox(now: int, inbox: InboxSeen) -> str:
    counts = ((getattr(inbox, each), each.replace("_", " ")) for each in _COUNTS)
    parts = [f"{count} {name}" for count, name in counts if count]
    words = f"{inbox.unread} unread" + (f" ({', '.join(parts)})" if parts else "")
    if inbox.dead:
        words += f", {inbox.dead} dead"
    if not inbox.is_all:
        words += ", and more that were not counted"
    if inbox.oldest is not None:
        oldest = inbox.oldest
        words += f"; the oldest is {_message(oldest)}, delivered {ago(now, oldest.at)}"
    return words


def _claims(now: int, claims: tuple[ClaimSeen, ...], own: str) -> Iterator[str]:
    for each in claims[:_MOST_LINES]:
        where = "" if each.inbox == own else f" of {named(each.inbox)}"
        yield (
            f"claimed: {_message(each)}{where} by process {each.process}, attempt {each.attempt},"
            f" {until_words(now, each.until)}"
        )
    yield from _more("claimed:", len(claims))


def _message(seen: MessageSeen | ClaimSeen) -> str:
    """Name a message by its key, by which it can be found."""
    if seen.idempotency_key is None:
        return f"record {seen.seq}, which cannot be read"
    return named(seen.idempotency_key)


def _awaited(found: RunExplanation) -> Iterator[str]:
    """Say whose answers are waited for; whose events are, is in the words of wakes."""

    def what(each: Awaited) -> str:
        gone = "" if each.is_member else ", no member any more,"
        until = until_words(found.now, each.until)
        return f"{gone} to answer {named(str(each.message_id))}, {until}"

    asked = (each for each in found.waits_for if each.message_id is not None)
    groups = grouped((what(each), each.run_id) for each in asked)
    for words, run_ids in islice(groups.items(), _MOST_LINES):
        yield f"waits for {listed(run_ids)}{words}"
    if found.waits_for_in_all is None:
        yield "it may wait for more: too much in the pool waits to tell"
    elif found.waits_for_in_all > len(found.waits_for):
        yield f"waits for {found.waits_for_in_all} in all"


def _more(what: str, in_all: int) -> Iterator[str]:
    if in_all > _MOST_LINES:
        yield f"{what} {in_all - _MOST_LINES} more"


def agent_words(found: AgentExplanation) -> Iterator[str]:
    """Explain an agent, line by line."""
    yield f"agent {named(found.agent_id)}: {counted(found.runs_in_all, 'run')}, as members"
    for each in found.runs:
        yield from run_words(each)
    yield from alike_words(found.alike)


def queue_words(found: QueueExplanation) -> Iterator[str]:
    """Explain a queue, line by line."""
    words = f"queue {named(found.name)}, run {named(found.run_id)}"
    yield words if found.is_member else f"{words}, has left the pool: nothing reaches it"
    yield f"inbox: {_inbox(found.now, found.inbox)}"
    yield from _claims(found.now, found.claims, found.run_id)
    if found.inbox.waiting and not found.claims:
        yield "nobody has any of it; a member takes from it by me.queue(name).take()"
    yield from alike_words(found.alike)
