"""Event filters: how one is compiled, and when an envelope matches.

Source: ``Compiling and matching a filter`` of the wire format. The fingerprint is the SHA-256 of
the filter's canonical JSON, so equal filters have equal fingerprints in every implementation.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from operator import attrgetter
from typing import Any, Final, TypeVar, cast

from msgspec.structs import replace

from agentpool.errors import CheckedEnum, InvalidValueError, shown
from agentpool.wire.codec import encode
from agentpool.wire.event_kinds import EventFamily, EventKind
from agentpool.wire.events import EventDeliverySemantics, EventEnvelope
from agentpool.wire.ids import (
    AgentId,
    CorrelationKey,
    NonZeroU64,
    RunId,
    SessionId,
    TurnId,
    check_identifier,
    check_u64,
)
from agentpool.wire.refs import DestinationKind, EntityKind, PrivacyClass, SourceKind
from agentpool.wire.struct import FilterSet, Include, Wire, trusted, written

__all__ = (
    "CompiledEventFilter",
    "EventFilter",
    "EventIndexField",
    "PayloadAccessMode",
    "SubscriberOverflowPolicy",
    "SubscriberQueueConfig",
    "empty_sets",
    "filter_problem",
    "may_match",
)


T = TypeVar("T")

_KIND: Final = attrgetter("kind")
_KEY: Final = attrgetter("key")


class PayloadAccessMode(CheckedEnum):
    """How much beyond the envelope a subscriber asks to see."""

    ENVELOPE_ONLY = "envelope_only"
    REDACTED_SUMMARY = "redacted_summary"
    PAYLOAD_REFS = "payload_refs"
    FULL_PAYLOAD_IF_POLICY_ALLOWS = "full_payload_if_policy_allows"


class SubscriberOverflowPolicy(CheckedEnum):
    """What happens when a subscriber does not keep up."""

    DROP_NON_TERMINAL = "drop_non_terminal"
    DROP_PROGRESS = "drop_progress"
    SUMMARIZE_AND_CONTINUE = "summarize_and_continue"
    BACKPRESSURE_CALLER = "backpressure_caller"
    FAIL_SUBSCRIBER = "fail_subscriber"


class EventIndexField(CheckedEnum):
    """A part of the envelope that a compiled filter looks at."""

    RUN_ID = "run_id"
    SESSION_ID = "session_id"
    AGENT_ID = "agent_id"
    TURN_ID = "turn_id"
    EVENT_FAMILY = "event_family"
    EVENT_KIND = "event_kind"
    SOURCE = "source"
    DESTINATION = "destination"
    SUBJECT_KIND = "subject_kind"
    RELATED_ENTITY_KIND = "related_entity_kind"
    CORRELATION_KEY = "correlation_key"
    TAG = "tag"
    PRIVACY = "privacy"
    DELIVERY_SEMANTICS = "delivery_semantics"


class SubscriberQueueConfig(Wire):
    """The queue between the events and a subscriber, in events."""

    capacity: NonZeroU64 = written(64)
    terminal_reserve: NonZeroU64 = written(1)
    overflow: SubscriberOverflowPolicy = written(SubscriberOverflowPolicy.DROP_NON_TERMINAL)

    def __post_init__(self) -> None:
        check_u64(self.capacity, "capacity")
        check_u64(self.terminal_reserve, "terminal_reserve")


class EventFilter(Wire, kw_only=True):
    """Which events someone wants; the default wants all.

    Each set is ``"any"`` or the values that `agentpool.include` lists. All sets have to match.
    """

    run_ids: FilterSet[RunId] = written("any")
    session_ids: FilterSet[SessionId] = written("any")
    agent_ids: FilterSet[AgentId] = written("any")
    turn_ids: FilterSet[TurnId] = written("any")
    families: FilterSet[EventFamily] = written("any")
    kinds: FilterSet[EventKind] = written("any")
    source_kinds: FilterSet[SourceKind] = written("any")
    destination_kinds: FilterSet[DestinationKind] = written("any")
    subject_kinds: FilterSet[EntityKind] = written("any")
    related_entity_kinds: FilterSet[EntityKind] = written("any")
    correlation_keys: FilterSet[CorrelationKey] = written("any")
    tags: FilterSet[str] = written("any")
    privacy_classes: FilterSet[PrivacyClass] = written("any")
    delivery_semantics: FilterSet[EventDeliverySemantics] = written("any")
    terminal_only: bool = written(default=False)
    payload_access: PayloadAccessMode = written(PayloadAccessMode.ENVELOPE_ONLY)
    queue: SubscriberQueueConfig = written(SubscriberQueueConfig())

    @classmethod
    def run(cls, *run_ids: str) -> "EventFilter":
        """Want the events of these runs.

        :raises InvalidValueError: none is named, or one is no id
        """
        return cls(run_ids=_named(run_ids, "run_ids"))

    @classmethod
    def agent(cls, *agent_ids: str) -> "EventFilter":
        """Want the events of these agents, whatever their runs.

        :raises InvalidValueError: none is named, or one is no id
        """
        return cls(agent_ids=_named(agent_ids, "agent_ids"))

    @classmethod
    def named(cls, *names: str) -> "EventFilter":
        """Want the events that were published under these names; see `MemberHandle.publish`.

        :raises InvalidValueError: none is named, or one is no text
        """
        return cls(tags=_named(names, "names"))

    @classmethod
    def terminal(cls, *run_ids: str) -> "EventFilter":
        """Want the events after which nothing more follows about their subject.

        :param run_ids: of these runs; without one, of all
        :raises InvalidValueError: one is no id
        """
        wanted = cls.run(*run_ids) if run_ids else cls()
        return replace(wanted, terminal_only=True)

    @classmethod
    def terminal_run_events(cls, *run_ids: str) -> "EventFilter":
        """Want the events that say that a run has completed, failed or was cancelled.

        :param run_ids: of these runs; without one, of all
        :raises InvalidValueError: one is no id
        """
        return replace(cls.terminal(*run_ids), families=Include(include=(EventFamily.RUN,)))

    def matches(self, envelope: EventEnvelope) -> bool:
        """Say whether every set matches this envelope. Never looks at a payload."""
        if type(envelope) is not EventEnvelope:
            _require_envelope(envelope)
        return self._first_refusing(envelope) is None

    def refusing(self, envelope: EventEnvelope) -> tuple[str, ...]:
        """List the fields of this filter that refuse an envelope; none: it matches."""
        _require_envelope(envelope)
        found: list[str] = []
        wider = self
        while (refusing := wider._first_refusing(envelope)) and refusing not in found:
            found.append(refusing)
            wider = replace(wider, **{refusing: _ADMITS_ALL.get(refusing, "any")})
        return tuple(found)

    def _first_refusing(self, envelope: EventEnvelope) -> str | None:
        """Name a field that refuses an envelope; first those that often do."""
        to = envelope.destination
        return (
            (_lacks(self.run_ids, envelope.run_id) and "run_ids")
            or (_lacks(self.kinds, envelope.event_kind) and "kinds")
            or (_lacks(self.session_ids, envelope.session_id) and "session_ids")
            or (_lacks(self.agent_ids, envelope.agent_id) and "agent_ids")
            or (_lacks(self.turn_ids, envelope.turn_id) and "turn_ids")
            or (_lacks(self.families, envelope.event_family) and "families")
            or (_lacks(self.source_kinds, envelope.source.kind) and "source_kinds")
            or (_lacks(self.destination_kinds, to.kind if to else None) and "destination_kinds")
            or (_lacks(self.subject_kinds, envelope.subject_ref.kind) and "subject_kinds")
            or (
                _lacks_all(self.related_entity_kinds, envelope.related_refs, _KIND)
                and "related_entity_kinds"
            )
            or (
                _lacks_all(self.correlation_keys, envelope.correlation.entries, _KEY)
                and "correlation_keys"
            )
            or (_lacks_all(self.tags, envelope.tags, str) and "tags")
            or (_lacks(self.privacy_classes, envelope.privacy) and "privacy_classes")
            or (
                _lacks(self.delivery_semantics, envelope.delivery_semantics)
                and "delivery_semantics"
            )
            or (self.terminal_only and not envelope.event_kind.is_terminal and "terminal_only")
            or None
        )

    @classmethod
    def _misuse(cls, field: str, value: object) -> str | None:
        type_ = type(value)
        is_any = issubclass(type_, str) and str.__str__(cast("str", value)) == "any"
        if field not in _SETS or issubclass(type_, Include) or is_any:
            return None
        shown_value = shown(value) if issubclass(type_, str) else "..."
        return (
            f"expected the values as include(...), got {type_.__name__}; write"
            f" {field}=include({shown_value})"
        )

    def compile(self) -> "CompiledEventFilter":
        """Fingerprint this filter and list the fields that it looks at."""
        fingerprint = f"sha256:{sha256(encode(self)).hexdigest()}"
        compiled: CompiledEventFilter = trusted(
            CompiledEventFilter,
            filter_id=f"filter.{sha256(fingerprint.encode()).hexdigest()}",
            filter_fingerprint=fingerprint,
            indexed_fields=tuple(
                index_field
                for index_field, name in _INDEXED.items()
                if getattr(self, name) != "any"
            ),
            payload_access=self.payload_access,
            queue=self.queue,
            criteria=self,
        )
        return compiled


def _require_envelope(envelope: EventEnvelope) -> None:
    if not issubclass(type(envelope), EventEnvelope):
        msg = f"envelope: expected EventEnvelope, got {type(envelope).__name__}"
        raise InvalidValueError(msg)


def _named(values: tuple[str, ...], name: str) -> Include[str]:
    if not values:
        msg = f"{name}: name at least one; EventFilter() wants all"
        raise InvalidValueError(msg)
    for each in values:
        check_identifier(each, name)
    return Include(include=values)


_INDEXED = {
    EventIndexField.RUN_ID: "run_ids",
    EventIndexField.SESSION_ID: "session_ids",
    EventIndexField.AGENT_ID: "agent_ids",
    EventIndexField.TURN_ID: "turn_ids",
    EventIndexField.EVENT_FAMILY: "families",
    EventIndexField.EVENT_KIND: "kinds",
    EventIndexField.SOURCE: "source_kinds",
    EventIndexField.DESTINATION: "destination_kinds",
    EventIndexField.SUBJECT_KIND: "subject_kinds",
    EventIndexField.RELATED_ENTITY_KIND: "related_entity_kinds",
    EventIndexField.CORRELATION_KEY: "correlation_keys",
    EventIndexField.TAG: "tags",
    EventIndexField.PRIVACY: "privacy_classes",
    EventIndexField.DELIVERY_SEMANTICS: "delivery_semantics",
}


_SETS = frozenset(_INDEXED.values())
_ADMITS_ALL = {"terminal_only": False}
"""What a field admits everything by, where that is not ``"any"``."""


class CompiledEventFilter(Wire):
    """A filter with its fingerprint, as it is stored with a wake."""

    filter_id: str
    filter_fingerprint: str
    indexed_fields: tuple[EventIndexField, ...]
    payload_access: PayloadAccessMode
    queue: SubscriberQueueConfig
    criteria: EventFilter

    def matches_envelope(self, envelope: EventEnvelope) -> bool:
        """Say whether every set matches this envelope. Never looks at a payload."""
        return self.criteria.matches(envelope)


def may_match(wanted: EventFilter, kind: EventKind, run_id: RunId) -> bool:
    """Say, before its envelope is made, whether an event of this kind and run can match."""
    return not (_lacks(wanted.run_ids, run_id) or _lacks(wanted.kinds, kind))


def empty_sets(wanted: EventFilter) -> list[str]:
    """List the sets of a filter that admit nothing, so that it matches nothing."""
    return [
        name
        for name in _INDEXED.values()
        if isinstance(found := getattr(wanted, name), Include) and not found.include
    ]


def _lacks(wanted: FilterSet[Any], value: str | None) -> bool:
    return isinstance(wanted, Include) and (value is None or value not in wanted.include)


def _lacks_all(wanted: FilterSet[Any], of: Sequence[T], value: Callable[[T], str]) -> bool:
    return isinstance(wanted, Include) and not any(value(each) in wanted.include for each in of)


def filter_problem(value: object) -> str | None:
    """Say what is wrong with what is given for a filter, or ``None`` when it is one."""
    type_ = type(value)
    if issubclass(type_, EventFilter):
        return None
    write = ""
    if issubclass(type_, EventKind):
        write = f"; write EventFilter(kinds=include(EventKind.{cast('EventKind', value).name}))"
    elif issubclass(type_, str):
        write = f"; write EventFilter.named({shown(value)}) for the events of that name"
    return f"expected EventFilter, got {type_.__name__}{write}"
