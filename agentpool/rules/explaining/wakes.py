"""Wakes: what one waits for, how it ended, and which events came near."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from agentpool.errors import AgentPoolError, CorruptRecordError
from agentpool.rules.command import Placed, PoolView, Row, RowKey, cursor_at
from agentpool.rules.explaining.awaiting import due_of
from agentpool.rules.explaining.explanations import WakeExplanation
from agentpool.rules.explaining.names import PAGE, alike_in_pool
from agentpool.rules.explaining.parts import (
    Alike,
    NameKind,
    NearEvent,
    Refused,
    Unseen,
    WhyUnseen,
)
from agentpool.rules.explaining.phrases import filter_words
from agentpool.rules.explaining.presence import held
from agentpool.rules.history import is_visible, joined_by, locate
from agentpool.rules.membership import carries_policies
from agentpool.rules.record_events import event_of
from agentpool.rules.requirements import require_open
from agentpool.rules.rows import CAUSE, EVENT, WAKE, HostEvent, WakeCause, load, value_of
from agentpool.rules.scoping import is_in_scope
from agentpool.rules.waits import ends_a_wake
from agentpool.wire.events import EventEnvelope
from agentpool.wire.filters import EventFilter
from agentpool.wire.records import AgentPoolStoredWake, WakeRegistrationStatus
from agentpool.wire.struct import Include

__all__ = ("explain_wake",)

_MOST_NEAR: Final = 10
_MOST_UNSEEN: Final = 10
"""Of so many of the names in a filter it is said whether anybody has them, or one that is near."""


class _Seen(NamedTuple):
    """An event, the record that it is or came after, and whether the pool may see it."""

    seq: int
    event: EventEnvelope
    is_visible: bool


def explain_wake(view: PoolView, known: Placed[AgentPoolStoredWake]) -> WakeExplanation:
    """Explain a wake.

    :param known: its latest record
    """
    condition, status = known.stored.condition, known.stored.registration.status
    condition_id = condition.condition_id
    first = view.first_of_wake(condition_id) or known
    waits = status is WakeRegistrationStatus.REGISTERED
    cause = None if waits else load(view, RowKey(CAUSE, condition_id), WakeCause)
    after, seen = _events(view, first.seq, None if waits else known.seq)
    near = list(_near(view, first, seen, still_waits=waits))
    refused = Counter(reason for each in near for reason in _reasons(each))
    near.sort(key=lambda each: (len(_reasons(each)), -each.seq))
    runner = held(view, condition.run_id)
    return WakeExplanation(
        pool_id=view.pool_id,
        now=view.now,
        alike=_alike(view, condition_id),
        condition_id=condition_id,
        idempotency_key=condition.idempotency_key,
        run_id=condition.run_id,
        status=status,
        filter=condition.filter,
        waits_for=filter_words(condition.filter),
        registered_seq=first.seq,
        registered_at=view.time_of(first.seq),
        ended_seq=None if waits else known.seq,
        ended_at=None if waits else view.time_of(known.seq),
        ended_by=cause.event_id if cause else None,
        ended_by_kind=cause.event_kind if cause else None,
        deadline=due_of(view, WAKE, condition_id) if waits else None,
        presence=runner.presence,
        process=runner.process,
        lease_until=runner.until,
        unseen=tuple(_unseen(view, condition.filter)) if waits else (),
        looked_after=after,
        looked_at=len(seen),
        near=tuple(near[:_MOST_NEAR]),
        refused=tuple(Refused(by, events) for by, events in refused.most_common()),
    )


def _alike(view: PoolView, condition_id: str) -> tuple[Alike, ...]:
    return alike_in_pool(view, NameKind.WAKE, condition_id, close=False)


# --- events


def _events(view: PoolView, after: int, end: int | None) -> tuple[int, list[_Seen]]:
    """List the newest events after a record, of records and of hosts.

    :param end: the record before which they came; ``None``: none, they go on to the end of the log
    :return: the record after which they are all there, and the events, in order
    """
    last = view.head + 1 if end is None else end
    begin = max(after, last - 1 - PAGE)
    numbers = view.event_sequence if end is None else locate(view, cursor_at(end)).events
    first = max(numbers - PAGE, 0)
    hosts = list(_published(view.rows(EVENT, "", after=first, limit=PAGE)))
    if first and hosts:
        begin = max(begin, hosts[0].seq + 1)  # not all that came after that record are here
    published = [each for each in hosts if begin <= each.seq < last]
    recorded = [] if last - 1 <= begin else list(_recorded(view, begin, last))
    return begin, sorted((*recorded, *published), key=lambda each: each.seq)


def _published(rows: Sequence[Row]) -> Iterator[_Seen]:
    for row in rows:
        with suppress(CorruptRecordError):
            host = value_of(row, HostEvent)
            yield _Seen(host.after, host.envelope, host.visible)


def _recorded(view: PoolView, begin: int, last: int) -> Iterator[_Seen]:
    for seq, payload in view.records(begin, last - 1 - begin):
        event = None if isinstance(payload, AgentPoolError) else event_of(view, seq, payload)
        if event is not None:
            yield _Seen(seq, event, is_visible(view, event, seq))


def _near(
    view: PoolView, first: Placed[AgentPoolStoredWake], seen: list[_Seen], *, still_waits: bool
) -> Iterator[NearEvent]:
    """Go through the events that did not end a wake.

    :param first: its registration
    """
    wanted = first.stored.condition.filter
    for each in seen:
        event = each.event
        refused_by = wanted.refusing(event)
        unseen = _why_unseen(view, first, each)
        if unseen is WhyUnseen.OUT_OF_SCOPE and "run_ids" in refused_by:
            unseen = None  # which says no more than that
        # One that nothing speaks against has ended it, or is about to.
        if refused_by or unseen or still_waits:
            yield NearEvent(
                event_id=event.event_id,
                event_kind=event.event_kind,
                run_id=event.run_id,
                seq=each.seq,
                at=event.recorded_at,
                refused_by=refused_by,
                unseen=unseen,
            )


def _reasons(event: NearEvent) -> tuple[str, ...]:
    return (*event.refused_by, event.unseen) if event.unseen else event.refused_by


def _why_unseen(
    view: PoolView, first: Placed[AgentPoolStoredWake], seen: _Seen
) -> WhyUnseen | None:
    event, seq = seen.event, joined_by(seen.event, seen.seq)
    if not ends_a_wake(event.event_kind):
        return WhyUnseen.OF_A_WAKE
    if not seen.is_visible:
        member = view.member_at(event.run_id, seq + 1)
        carries = member is None or carries_policies(view.config, member.stored)
        return WhyUnseen.NOT_A_MEMBER if carries else WhyUnseen.LACKS_POLICIES
    if not is_in_scope(view, first.stored, first.seq, event, seq):
        return WhyUnseen.OUT_OF_SCOPE
    return None


# --- what the filter names


def _unseen(view: PoolView, wanted: EventFilter) -> Iterator[Unseen]:
    """Go through what a filter names and cannot end a wake as things are."""
    config, members = require_open(view), view.state.members
    if isinstance(wanted.run_ids, Include):
        for run_id in wanted.run_ids.include[:_MOST_UNSEEN]:
            member = members.get(run_id)
            if member is None:
                yield _nobody(view, NameKind.RUN, run_id)
            elif not carries_policies(config, member):
                lacks = tuple(e for e in config.policy_refs if e not in member.policy_refs)
                why = WhyUnseen.LACKS_POLICIES
                yield Unseen(kind=NameKind.RUN, name=run_id, why=why, policy_refs=lacks)
    if isinstance(wanted.agent_ids, Include):
        agents = {each.agent_id for each in members.values()}
        for agent_id in wanted.agent_ids.include[:_MOST_UNSEEN]:
            if agent_id not in agents:
                yield _nobody(view, NameKind.AGENT, agent_id)


def _nobody(view: PoolView, kind: NameKind, name: str) -> Unseen:
    alike = tuple(each.name for each in alike_in_pool(view, kind, name))
    return Unseen(kind=kind, name=name, why=WhyUnseen.NOT_A_MEMBER, alike=alike)
