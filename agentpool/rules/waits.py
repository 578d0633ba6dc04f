"""Waits that cannot miss: registered, or ended by what has already happened, in one transaction."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from msgspec.structs import replace

from agentpool.errors import InvalidTransitionError, InvalidValueError
from agentpool.rules.command import Command, Decision, LookUps, PoolView, Row, RowKey, cursor_at
from agentpool.rules.history import EventCursor, is_member, is_visible, joined_by, page_of_events
from agentpool.rules.requirements import require_member, require_open, require_type
from agentpool.rules.rows import CAUSE, EVENT, WAKE, WakeCause, deadline, deadline_key, load, put
from agentpool.rules.scoping import is_in_scope, scoped
from agentpool.rules.transitions import WAKE_STEPS, is_step
from agentpool.rules.wakes import earlier_wake, end_wake, known_wake, look_ups_of, recorded_wake
from agentpool.wire.event_kinds import TERMINAL_EVENT_KINDS, EventKind
from agentpool.wire.events import EventEnvelope
from agentpool.wire.filters import (
    CompiledEventFilter,
    EventFilter,
    PayloadAccessMode,
    empty_sets,
    may_match,
)
from agentpool.wire.ids import EventId, check_identifier
from agentpool.wire.records import (
    START,
    AgentPoolStoreConfig,
    AgentPoolStoreCursor,
    AgentPoolStoredWake,
    ResumeInputPolicy,
    WakeCondition,
    WakeRegistration,
    WakeRegistrationStatus,
)
from agentpool.wire.refs import EntityRef, content_among
from agentpool.wire.struct import Include, Wire

__all__ = (
    "TRIGGERED_AT_ONCE",
    "CancelWake",
    "PollWake",
    "SuspendUntil",
    "WakeOutcome",
    "began_at",
    "compile_for",
    "ends_a_wake",
    "find_cause",
    "find_in_page",
    "find_match",
    "lacks_cause",
    "outcome",
    "refuse_hopeless",
    "trigger",
    "waits_ended",
)

TRIGGERED_AT_ONCE: Final = 32
"""How many waits one event ends in one piece."""


class WakeOutcome(Wire):
    """How a wake ended and, when it was triggered, what it asked to be given of the event."""

    registration: WakeRegistration
    event_id: EventId | None = None
    event_kind: EventKind | None = None
    subject_ref: EntityRef | None = None
    related_refs: tuple[EntityRef, ...] = ()
    redacted_summary: str | None = None

    @property
    def content_ref(self) -> str | None:
        """The ref of the body that the event was published with, if there was one."""
        return content_among(self.related_refs)

    @property
    def triggered(self) -> bool:
        """Whether the event that was waited for happened."""
        return self.registration.status is WakeRegistrationStatus.TRIGGERED


def refuse_hopeless(wanted: EventFilter) -> None:
    """Refuse a filter by which no event could ever end a wait.

    :raises InvalidValueError: saying which part of it
    """
    for name in empty_sets(wanted):
        msg = f"filter: {name} admits nothing, so the wait could never end; leave it out"
        raise InvalidValueError(msg)
    if isinstance(wanted.kinds, Include):
        ending = set(filter(ends_a_wake, wanted.kinds.include))
        if not ending:
            msg = "filter: what becomes of a wake ends no wait; wait for what ended that wake"
            raise InvalidValueError(msg)
        if wanted.terminal_only and not ending & TERMINAL_EVENT_KINDS:
            msg = "filter: terminal_only, but none of its kinds is terminal; leave one of them out"
            raise InvalidValueError(msg)


def compile_for(config: AgentPoolStoreConfig, wanted: EventFilter) -> CompiledEventFilter:
    """Compile a filter after narrowing it to what the pool's wake policy lets a filter see."""
    if config.wake_policy.envelope_only:
        wanted = replace(wanted, payload_access=PayloadAccessMode.ENVELOPE_ONLY)
    return wanted.compile()


def find_match(
    view: PoolView, wanted: CompiledEventFilter, since: AgentPoolStoreCursor | None
) -> tuple[EventEnvelope | None, AgentPoolStoreCursor | None]:
    """Find the first event after a cursor that a filter matches and its pool may see.

    :return: the event, if there is one, and the place up to which the history was searched
    """
    event, place, more = find_in_page(view, wanted, since)
    while more and event is None:
        event, place, more = find_in_page(view, wanted, place)
    return event, place


def find_in_page(
    view: PoolView, wanted: CompiledEventFilter, since: AgentPoolStoreCursor | None
) -> tuple[EventEnvelope | None, AgentPoolStoreCursor | None, bool]:
    """Search one page as `find_match` searches all, and say whether there may be more."""
    kinds = wanted.criteria.kinds
    if isinstance(kinds, Include) and not any(map(ends_a_wake, kinds.include)):
        return None, since, False

    def worth(kind: EventKind, run_id: str) -> bool:
        return ends_a_wake(kind) and may_match(wanted.criteria, kind, run_id)

    events, place, more = page_of_events(view, since, worth, keep_out_unreadable=True)
    for _, event in events:  # those of hosts too, which `worth` was not asked about
        if ends_a_wake(event.event_kind) and wanted.matches_envelope(event):
            return event, place, more
    return None, place, more


def ends_a_wake(kind: EventKind) -> bool:
    """Say whether an event of this kind can end a wake."""
    # What becomes of a wake ends none: a wake for wakes would end itself, and two each other.
    return not kind.startswith("wake_condition_")


class SuspendUntil(Command[WakeRegistration]):
    """Register a wait, unless an event after ``since`` has already ended it.

    :param match: such an event, where the history before ``since`` was searched by the caller
    """

    def __init__(
        self,
        condition: WakeCondition,
        since: AgentPoolStoreCursor | None = None,
        match: EventEnvelope | None = None,
    ) -> None:
        require_type(condition, WakeCondition, "condition")
        self._condition, self._since, self._match = condition, since, match
        self.looks_up: LookUps = look_ups_of(condition)
        if match is None and isinstance(since, EventCursor):
            hosts = (RowKey(EVENT, "", since.events),)
            self.looks_up = self.looks_up._replace(listings=hosts, read_after=(since.sequence,))

    def touches(self, view: PoolView) -> Iterable[RowKey]:
        known = view.wake_by_key(self._condition.idempotency_key)
        return () if known is None else (_end_of(known.stored.condition.condition_id),)

    def decide(self, view: PoolView) -> Decision[WakeRegistration]:
        config = require_open(view)
        known = earlier_wake(view, self._condition)
        if known is not None:
            return Decision(known.stored.registration)
        require_member(view, self._condition.run_id)
        # What stands in the record is narrowed, for those who know no more than that; here members
        # and policies are looked at as they are when an event comes.
        compiled = scoped(view, self._condition.filter).compile()
        wanted = compile_for(config, self._condition.filter)
        # The caller has searched the long past outside; what came since is searched here, where
        # nothing can be appended between the search and the registration.
        event = self._match or find_match(view, wanted, self._since)[0]
        if event is not None:
            triggered = recorded_wake(self._condition, compiled, WakeRegistrationStatus.TRIGGERED)
            return triggered._replace(puts=(_cause(self._condition, event),))
        if self._condition.timeout_millis == 0:
            return recorded_wake(self._condition, compiled, WakeRegistrationStatus.TIMED_OUT)
        registered = recorded_wake(self._condition, compiled, WakeRegistrationStatus.REGISTERED)
        if self._condition.timeout_millis is None:
            return registered
        # Here and not only when it is worked in, which may be later: its time runs from now.
        due_at = view.now + self._condition.timeout_millis
        return registered._replace(puts=(deadline(WAKE, self._condition.condition_id, due_at),))


class _OfWake(Command[WakeRegistration]):
    """A command about a wake, which comes after the end of its time."""

    def __init__(self, condition_id: str) -> None:
        check_identifier(condition_id, "condition_id")
        self._condition_id = condition_id
        self.looks_up: LookUps = LookUps(
            condition_ids=(condition_id,), deadlines=(_end_of(condition_id),)
        )

    def touches(self, view: PoolView) -> Iterable[RowKey]:  # noqa: ARG002
        return (_end_of(self._condition_id),)


class PollWake(_OfWake):
    """Say how a wake stands, by time."""

    def decide(self, view: PoolView) -> Decision[WakeRegistration]:
        return Decision(known_wake(view, self._condition_id).registration)


class CancelWake(_OfWake):
    """Cancel a wait. Cancelled already: the same registration again."""

    def decide(self, view: PoolView) -> Decision[WakeRegistration]:
        stored = known_wake(view, self._condition_id)
        status = stored.registration.status
        if status is WakeRegistrationStatus.CANCELLED:
            return Decision(stored.registration)
        if not is_step(WAKE_STEPS, status, WakeRegistrationStatus.CANCELLED):
            msg = f"wake {self._condition_id!r} is {status}, it cannot be cancelled"
            raise InvalidTransitionError(msg, pool_id=view.pool_id)
        return end_wake(stored, WakeRegistrationStatus.CANCELLED)


def trigger(
    view: PoolView,
    run_id: str,
    kind: EventKind,
    event: Callable[[], EventEnvelope | None],
    *,
    after: int,
    at: int,
    seq: int | None = None,
) -> Iterator[Decision[Any]]:
    """End the wakes that an event matches, those before it by time. It is made only if one may.

    Nothing may change before the last of them is asked for.

    :param after: the last record before which a wake has to be registered to be ended by it
    :param at: when the event was recorded, in milliseconds
    :param seq: the record that the event is; ``None`` for a host event
    """
    if not ends_a_wake(kind) or not view.state.open_wakes.may_end(run_id, kind):
        return
    envelope = event()
    if envelope is None:
        return
    if not (is_member(view, envelope) if seq is None else is_visible(view, envelope, seq)):
        return
    for stored in view.state.open_wakes.ended_by(envelope):
        condition = stored.condition
        # The state is of the head, so it may hold a wake that was registered after this event,
        # before it was worked in. It has looked itself at what was before, from a place that only
        # it knows.
        registered = view.wake(condition.condition_id)
        if registered is None or registered.seq > after:
            continue
        if not is_in_scope(view, stored, registered.seq, envelope, joined_by(envelope, after)):
            continue
        due = view.row(deadline_key(WAKE, condition.condition_id))
        if due is not None and due.due_at <= at:
            yield end_wake(stored, WakeRegistrationStatus.TIMED_OUT)
        else:
            ended = end_wake(stored, WakeRegistrationStatus.TRIGGERED)
            yield ended._replace(puts=(_cause(condition, envelope),))


def began_at(condition: WakeCondition, view: PoolView) -> int:
    """Say when a wake was first registered; now, where that is not known."""
    first = view.first_of_wake(condition.condition_id)
    at = None if first is None else view.time_of(first.seq)
    return view.now if at is None else at


def waits_ended(decisions: Iterable[Decision[Any]]) -> Decision[None]:
    """Put the endings of several waits together."""
    ended = list(decisions)
    return Decision(
        None,
        tuple(record for each in ended for record in each.records),
        puts=tuple(row for each in ended for row in each.puts),
    )


def lacks_cause(view: PoolView, condition_id: str) -> bool:
    """Say whether a wake was triggered by another implementation, which keeps no event of it."""
    stored = known_wake(view, condition_id)
    return (
        stored.registration.status is WakeRegistrationStatus.TRIGGERED
        and stored.condition.resume_with is not ResumeInputPolicy.NONE
        and view.row(RowKey(CAUSE, condition_id)) is None
    )


def find_cause(
    view: PoolView, condition_id: str, since: AgentPoolStoreCursor | None
) -> tuple[WakeOutcome | None, AgentPoolStoreCursor, bool]:
    """Search one page of the log for the event that triggered a wake, from its registration on.

    :param since: where to go on; ``None``: at its registration
    :return: how it ended, where that was found; the place after the page; whether to go on there
    """
    stored, first = known_wake(view, condition_id), view.first_of_wake(condition_id)
    if first is None or first.stored.registration.status is WakeRegistrationStatus.TRIGGERED:
        return None, START, False  # it was over when it was registered: nobody wrote down by what
    wanted = stored.condition.filter

    def worth(kind: EventKind, run_id: str) -> bool:
        ended = kind is EventKind.WAKE_CONDITION_TRIGGERED
        return ended or (ends_a_wake(kind) and may_match(wanted, kind, run_id))

    place = cursor_at(first.seq) if since is None else since
    events, place, more = page_of_events(view, place, worth, keep_out_unreadable=True)
    for after, event in events:
        # Of several records that it was triggered the first counts.
        if event.subject_ref.id == condition_id and not ends_a_wake(event.event_kind):
            return None, place, False
        if ends_a_wake(event.event_kind) and wanted.matches(event):
            seq = joined_by(event, after.sequence)
            if is_in_scope(view, first.stored, first.seq, event, seq):
                return _outcome(stored, _cause_of(event)), place, False
    return None, place, more


def outcome(view: PoolView, condition_id: str) -> WakeOutcome:
    """Say how a wake ended, or that it still waits."""
    stored = known_wake(view, condition_id)
    return _outcome(stored, load(view, RowKey(CAUSE, condition_id), WakeCause))


def _outcome(stored: AgentPoolStoredWake, cause: WakeCause | None) -> WakeOutcome:
    wants = stored.condition.resume_with
    if cause is None or wants is ResumeInputPolicy.NONE:
        return WakeOutcome(stored.registration)
    if wants is ResumeInputPolicy.REDACTED_SUMMARY:
        return WakeOutcome(stored.registration, redacted_summary=cause.subject_ref.redacted_summary)
    return WakeOutcome(
        stored.registration,
        cause.event_id,
        cause.event_kind,
        cause.subject_ref,
        cause.related_refs,
    )


def _end_of(condition_id: str) -> RowKey:
    return deadline_key(WAKE, condition_id)


def _cause(condition: WakeCondition, event: EventEnvelope) -> Row:
    return put(RowKey(CAUSE, condition.condition_id), _cause_of(event))


def _cause_of(event: EventEnvelope) -> WakeCause:
    return WakeCause(event.event_id, event.event_kind, event.subject_ref, event.related_refs)
