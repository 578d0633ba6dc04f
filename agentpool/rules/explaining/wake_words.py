"""Explanations of wakes in words."""

from collections.abc import Iterator
from typing import Final

from agentpool.rules.explaining.explanations import WakeExplanation
from agentpool.rules.explaining.parts import NearEvent, Presence, Unseen, WhyUnseen
from agentpool.rules.explaining.phrases import (
    ago,
    alike_words,
    counted,
    listed,
    named,
    policies,
    span,
    until_words,
)
from agentpool.wire.records import WakeRegistrationStatus

__all__ = ("wake_words",)

_MOST_LINES: Final = 5

_UNSEEN: Final = {
    WhyUnseen.NOT_A_MEMBER: "its run was not a member",
    WhyUnseen.LACKS_POLICIES: "its run does not carry the policies of the pool",
    WhyUnseen.OUT_OF_SCOPE: "its run was not seen at the registration, and has not joined since",
    WhyUnseen.OF_A_WAKE: "what becomes of a wake ends none",
}


def wake_words(found: WakeExplanation) -> Iterator[str]:
    """Explain a wake, line by line."""
    who = f"wake {named(found.condition_id)} of run {named(found.run_id)}"
    yield f"{who} waits for {found.waits_for}"
    yield f"registered by record {found.registered_seq}, {ago(found.now, found.registered_at)}"
    if found.status is WakeRegistrationStatus.REGISTERED:
        yield f"it still waits; deadline: {_deadline(found)}"
        yield from (_unseen(each) for each in found.unseen)
    else:
        yield f"{found.status} by record {found.ended_seq}, {ago(found.now, found.ended_at)}"
    if found.ended_by is not None:
        yield f"ended by event {named(found.ended_by)}, {found.ended_by_kind}"
    yield from _events(found)
    if found.status is WakeRegistrationStatus.REGISTERED:
        yield from _carried_out(found)
    yield from alike_words(found.alike)


def _deadline(found: WakeExplanation) -> str:
    if found.deadline is None:
        return "none"
    if found.deadline <= found.now:
        return f"{ago(found.now, found.deadline)}, about to be carried out"
    return f"in {span(found.deadline - found.now)}"


def _unseen(each: Unseen) -> str:
    words = f"as things are, {each.kind} {named(each.name)} cannot end it: "
    if each.why is WhyUnseen.LACKS_POLICIES:
        return f"{words}it does not carry {policies(each.policy_refs)}"
    words += "no member has that id"
    return f"{words}, perhaps meant: {listed(each.alike, last='or')}" if each.alike else words


def _events(found: WakeExplanation) -> Iterator[str]:
    which = "the newest " if found.looked_after > found.registered_seq else ""
    events = counted(found.looked_at, "event")
    yield f"looked at {which}{events}, after record {found.looked_after}"
    yield from (f"near: {_near(each)}" for each in found.near[:_MOST_LINES])
    if found.refused:
        counts = (f"{each.events} by {each.by}" for each in found.refused)
        yield f"refused: {', '.join(counts)}"


def _near(each: NearEvent) -> str:
    words = f"{each.event_kind} of run {named(each.run_id)}, at record {each.seq}"
    reasons = [f"refused by {', '.join(each.refused_by)}"] if each.refused_by else []
    if each.unseen is not None:
        reasons.append(f"hidden: {_UNSEEN[each.unseen]}")
    return f"{words}: {'; '.join(reasons) or 'it matches, and is about to end it'}"


def _carried_out(found: WakeExplanation) -> Iterator[str]:
    yield (
        "whoever records such an event ends it; its deadline is carried out by any process that"
        " has the pool open"
    )
    if found.presence is Presence.HERE:
        lease = until_words(found.now, found.lease_until)
        yield f"run {named(found.run_id)} is held by process {found.process}, {lease}"
    elif found.presence is Presence.UNHELD:
        yield f"run {named(found.run_id)} is a member that no process holds"
    else:
        yield f"run {named(found.run_id)} is not a member, so it is about to fail"
