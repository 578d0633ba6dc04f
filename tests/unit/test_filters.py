"""Compiling a filter, and when an envelope matches."""

import hashlib
from typing import Any

import pytest
from fixture_files import compact, documents
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from samples import envelope
from strategies import of

from agentpool import (
    TERMINAL_EVENT_KINDS,
    CompiledEventFilter,
    CorrelationEntry,
    DestinationKind,
    DestinationRef,
    EntityKind,
    EntityRef,
    EventCorrelation,
    EventDeliverySemantics,
    EventEnvelope,
    EventFamily,
    EventFilter,
    EventIndexField,
    EventKind,
    Include,
    InvalidValueError,
    PayloadAccessMode,
    PrivacyClass,
    SourceKind,
    SubscriberQueueConfig,
    decode,
    encode,
    include,
)
from agentpool.wire.event_kinds import family_of

COMPILED = documents("filters.jsonl")
MATCHES = documents("matches.jsonl")


@pytest.mark.parametrize("number", range(len(COMPILED)))
def test_a_filter_compiles_to_the_same(number: int) -> None:
    raw, expected = (compact(COMPILED[number][key]) for key in ("filter", "compiled"))
    event_filter = decode(raw, EventFilter)
    assert encode(event_filter) == raw
    assert encode(event_filter.compile()) == expected
    assert decode(expected, CompiledEventFilter) == event_filter.compile()


@pytest.mark.parametrize("number", range(len(MATCHES)))
def test_a_filter_matches_the_same(number: int) -> None:
    case = MATCHES[number]
    raw = compact(case["envelope"])
    event = decode(raw, EventEnvelope)
    assert encode(event) == raw
    compiled = decode(compact(case["filter"]), EventFilter).compile()
    assert compiled.matches_envelope(event) is case["matches"]


def test_the_fixtures_hold_both_answers() -> None:
    assert {case["matches"] for case in MATCHES} == {True, False}


def test_the_fingerprint_is_that_of_the_json() -> None:
    event_filter = EventFilter(tags=include("ünï", "\n"))
    digest = hashlib.sha256(encode(event_filter)).hexdigest()
    compiled = event_filter.compile()
    assert compiled.filter_fingerprint == f"sha256:{digest}"
    assert compiled.filter_id == f"filter.{hashlib.sha256(f'sha256:{digest}'.encode()).hexdigest()}"


def test_a_compiled_filter_carries_what_the_filter_asks_for() -> None:
    event_filter = EventFilter(
        payload_access=PayloadAccessMode.PAYLOAD_REFS, queue=SubscriberQueueConfig(capacity=7)
    )
    compiled = event_filter.compile()
    assert compiled.criteria == event_filter
    assert compiled.payload_access is PayloadAccessMode.PAYLOAD_REFS
    assert compiled.queue.capacity == 7


@given(event_filter=of(EventFilter))
def test_equal_filters_have_equal_fingerprints(event_filter: EventFilter) -> None:
    compiled = decode(encode(event_filter), EventFilter).compile()
    assert compiled == event_filter.compile()
    other = replace(event_filter, terminal_only=not event_filter.terminal_only)
    assert other.compile().filter_id != compiled.filter_id


MATCHING = envelope(
    event_kind=EventKind.RUN_COMPLETED,
    session_id="session.a",
    turn_id="turn.a",
    related_refs=[EntityRef(EntityKind.TURN, "t"), EntityRef(EntityKind.HOOK, "h")],
    correlation=EventCorrelation((CorrelationEntry("k1", "v"), CorrelationEntry("k2", "v"))),
    tags=["t1", "t2"],
    destination=DestinationRef(DestinationKind.JOURNAL, "j"),
)

# Per set, in the order of the index: a value that `MATCHING` has, and one that it has not.
SETS: dict[str, tuple[Any, Any]] = {
    "run_ids": ("run.a", "run.b"),
    "session_ids": ("session.a", "session.b"),
    "agent_ids": ("agent.a", "agent.b"),
    "turn_ids": ("turn.a", "turn.b"),
    "families": (EventFamily.RUN, EventFamily.TOOL),
    "kinds": (EventKind.RUN_COMPLETED, EventKind.RUN_STARTED),
    "source_kinds": (SourceKind.SDK, SourceKind.HOST),
    "destination_kinds": (DestinationKind.JOURNAL, DestinationKind.TOOL),
    "subject_kinds": (EntityKind.RUN, EntityKind.TURN),
    "related_entity_kinds": (EntityKind.HOOK, EntityKind.RUN),
    "correlation_keys": ("k2", "v"),
    "tags": ("t2", "T2"),
    "privacy_classes": (PrivacyClass.INTERNAL, PrivacyClass.SECRET),
    "delivery_semantics": (
        EventDeliverySemantics.JOURNAL_BACKED,
        EventDeliverySemantics.DIAGNOSTIC_ONLY,
    ),
}

# The sets over something that an envelope may lack, with an envelope that lacks it.
ABSENT: dict[str, EventEnvelope] = {
    "session_ids": replace(MATCHING, session_id=None),
    "turn_ids": replace(MATCHING, turn_id=None),
    "destination_kinds": replace(MATCHING, destination=None),
    "related_entity_kinds": replace(MATCHING, related_refs=()),
    "correlation_keys": replace(MATCHING, correlation=EventCorrelation()),
    "tags": replace(MATCHING, tags=()),
}


def matches(event: EventEnvelope, sets: dict[str, Any]) -> bool:
    return EventFilter(**sets).compile().matches_envelope(event)


def test_the_default_filter_matches_everything() -> None:
    assert EventFilter().compile().indexed_fields == ()
    assert all(matches(event, {}) for event in [MATCHING, envelope(), *ABSENT.values()])


@pytest.mark.parametrize("name", SETS)
def test_a_set_matches_what_it_includes(name: str) -> None:
    has, has_not = SETS[name]
    assert matches(MATCHING, {name: include(has)})
    assert matches(MATCHING, {name: include(has_not, has)})
    assert not matches(MATCHING, {name: include(has_not)})


@pytest.mark.parametrize("name", SETS)
def test_an_empty_set_matches_nothing(name: str) -> None:
    assert not matches(MATCHING, {name: Include(include=())})
    assert not matches(envelope(), {name: Include(include=())})


@pytest.mark.parametrize("name", ABSENT)
def test_a_set_over_what_an_envelope_lacks_does_not_match(name: str) -> None:
    assert not matches(ABSENT[name], {name: include(*SETS[name])})


@pytest.mark.parametrize("name", SETS)
def test_all_sets_have_to_match(name: str) -> None:
    sets: dict[str, Any] = {other: include(has) for other, (has, _) in SETS.items()}
    sets["terminal_only"] = True
    assert matches(MATCHING, sets)
    assert not matches(MATCHING, {**sets, name: include(SETS[name][1])})


ADMITTED: dict[str, Any] = {
    "has": lambda has, _: include(has),
    "both": lambda has, has_not: include(has_not, has),
    "lacks": lambda _, has_not: include(has_not),
    "nothing": lambda _, __: Include(include=()),
}
CHOICES: Any = {name: st.sampled_from(list(ADMITTED)) for name in SETS}


@given(
    chosen=st.fixed_dictionaries({}, optional=CHOICES),
    terminal_only=st.booleans(),
    kind=st.sampled_from([EventKind.RUN_COMPLETED, EventKind.RUN_STARTED]),
)
def test_it_is_told_which_fields_refuse_and_none_does_where_it_matches(
    chosen: dict[str, str], terminal_only: bool, kind: EventKind
) -> None:
    event = replace(MATCHING, event_kind=kind)
    values = {**SETS, "kinds": (kind, EventKind.TOOL_STARTED)}
    sets: dict[str, Any] = {name: ADMITTED[how](*values[name]) for name, how in chosen.items()}
    wanted = EventFilter(**sets, terminal_only=terminal_only)
    refusing = {name for name, how in chosen.items() if how in {"lacks", "nothing"}}
    if terminal_only and kind is EventKind.RUN_STARTED:
        refusing.add("terminal_only")
    assert set(wanted.refusing(event)) == refusing
    assert wanted.matches(event) is (not refusing)


@given(wanted=of(EventFilter), event=of(EventEnvelope))
def test_an_event_matches_where_no_field_refuses_it(
    wanted: EventFilter, event: EventEnvelope
) -> None:
    refusing = wanted.refusing(event)
    assert wanted.matches(event) is (refusing == ())
    assert len(set(refusing)) == len(refusing)
    wider: dict[str, Any] = {each: False if each == "terminal_only" else "any" for each in refusing}
    assert replace(wanted, **wider).matches(event)


@pytest.mark.parametrize("kind", EventKind)
def test_terminal_only(kind: EventKind) -> None:
    event = envelope(event_kind=kind)
    assert matches(event, {"terminal_only": True}) is (kind in TERMINAL_EVENT_KINDS)
    assert matches(event, {"terminal_only": False})


def test_indexed_fields_stand_in_the_order_of_the_wire_format() -> None:
    sets: dict[str, Any] = {name: Include(include=()) for name in reversed(SETS)}
    assert EventFilter(**sets).compile().indexed_fields == tuple(EventIndexField)


@pytest.mark.parametrize(("name", "index_field"), list(zip(SETS, EventIndexField, strict=True)))
def test_each_set_has_its_index_field(name: str, index_field: EventIndexField) -> None:
    sets: dict[str, Any] = {name: Include(include=())}
    assert EventFilter(**sets).compile().indexed_fields == (index_field,)
    assert EventFilter(terminal_only=True).compile().indexed_fields == ()


def test_matching_uses_the_criteria_and_nothing_else_of_a_stored_filter() -> None:
    compiled = replace(EventFilter(run_ids=include("run.b")).compile(), indexed_fields=())
    assert not compiled.matches_envelope(MATCHING)


BUILT: list[tuple[EventFilter, dict[str, Any]]] = [
    (EventFilter.run("run.a"), {"run_ids": include("run.a")}),
    (EventFilter.run("run.a", "run.b"), {"run_ids": include("run.a", "run.b")}),
    (EventFilter.agent("agent.a"), {"agent_ids": include("agent.a")}),
    (EventFilter.named("build.done", "x"), {"tags": include("build.done", "x")}),
    (EventFilter.terminal(), {"terminal_only": True}),
    (EventFilter.terminal("run.a"), {"terminal_only": True, "run_ids": include("run.a")}),
    (
        EventFilter.terminal_run_events(),
        {"terminal_only": True, "families": include(EventFamily.RUN)},
    ),
    (
        EventFilter.terminal_run_events("run.a"),
        {
            "terminal_only": True,
            "families": include(EventFamily.RUN),
            "run_ids": include("run.a"),
        },
    ),
]


@pytest.mark.parametrize("kind", EventKind)
def test_the_terminal_events_of_runs(kind: EventKind) -> None:
    event = replace(envelope(), event_kind=kind, event_family=family_of(kind))
    ends_a_run = {EventKind.RUN_COMPLETED, EventKind.RUN_FAILED, EventKind.RUN_CANCELLED}
    assert EventFilter.terminal_run_events().matches(event) is (kind in ends_a_run)


@pytest.mark.parametrize(("built", "fields"), BUILT)
def test_a_builder_makes_the_filter_that_says_the_same(
    built: EventFilter, fields: dict[str, Any]
) -> None:
    assert built == EventFilter(**fields)
    assert built.compile() == EventFilter(**fields).compile()


@pytest.mark.parametrize("build", [EventFilter.run, EventFilter.agent, EventFilter.named, include])
def test_a_builder_of_nothing_is_refused(build: Any) -> None:
    with pytest.raises(InvalidValueError):
        build()


def test_an_empty_set_is_read_all_the_same() -> None:
    text = encode(EventFilter(run_ids=Include(include=())))
    assert decode(text, EventFilter).run_ids == Include(include=())


@pytest.mark.parametrize("kind", EventKind)
def test_every_kind_belongs_to_a_family(kind: EventKind) -> None:
    """And to the one whose name it begins with, where there is one."""
    family = family_of(kind)
    own = [each for each in EventFamily if kind.startswith(f"{each}_")]
    elsewhere = {EventFamily.AGENT_POOL, EventFamily.OUTPUT_DELIVERY}
    assert family in own or family in elsewhere or not own
