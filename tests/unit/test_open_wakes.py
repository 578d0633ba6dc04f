"""Open wakes are found by the events that may end them, and by the run that waits."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from samples import condition, envelope, registration

from agentpool import (
    AgentPoolStoredWake,
    CompiledEventFilter,
    CorrelationEntry,
    DestinationKind,
    DestinationRef,
    EntityKind,
    EventCorrelation,
    EventEnvelope,
    EventFamily,
    EventFilter,
    EventKind,
    Include,
    include,
)
from agentpool.rules.open_wakes import OpenWakes

STARTED, FAILED = EventKind.RUN_STARTED, EventKind.RUN_FAILED


def wake(condition_id: str = "wake.1", run_id: str = "run.a", **wanted: Any) -> AgentPoolStoredWake:
    """Make a wake of a run, on the events that a filter admits."""
    waits = condition(condition_id, run_id=run_id, filter=EventFilter(**wanted))
    registered = registration(condition_id, run_id=run_id)
    return AgentPoolStoredWake(waits, waits.filter.compile(), registered)


def having(*wakes: AgentPoolStoredWake) -> OpenWakes:
    """Take in wakes, one after another."""
    found = OpenWakes()
    for each in wakes:
        found.add(each)
    return found


def ids(wakes: Iterable[AgentPoolStoredWake]) -> list[str]:
    return [each.condition.condition_id for each in wakes]


def ended(wakes: OpenWakes, run_id: str, kind: EventKind, **fields: Any) -> list[str]:
    """List the wakes that an event ends."""
    event = envelope(run_id=run_id, event_kind=kind, **fields)
    found = ids(wakes.ended_by(event))
    assert wakes.may_end(run_id, kind) or not found
    return found


def test_nothing_is_open_at_first() -> None:
    wakes = OpenWakes()
    assert (len(wakes), list(wakes), wakes.get("wake.1")) == (0, [], None)
    assert ids(wakes.of_run("run.a")) == ended(wakes, "run.a", STARTED) == []
    assert not wakes.may_end("run.a", STARTED)


def test_what_was_added_is_there_until_it_is_discarded() -> None:
    first, second = wake("wake.1"), wake("wake.2")
    wakes = having(first, second)
    assert (len(wakes), list(wakes), wakes.get("wake.1")) == (2, [first, second], first)
    wakes.discard("wake.1")
    assert (len(wakes), list(wakes), wakes.get("wake.1")) == (1, [second], None)
    assert ids(wakes.of_run("run.a")) == ended(wakes, "run.x", STARTED) == ["wake.2"]


@pytest.mark.parametrize("times", [1, 2])
def test_discarding_what_is_not_there_has_no_effect(times: int) -> None:
    wakes = having(wake("wake.1"))
    for _ in range(times):
        wakes.discard("wake.other")
    assert ids(list(wakes)) == ["wake.1"]


def test_adding_again_replaces_what_was_there_in_every_list() -> None:
    wakes = having(
        wake(run_id="run.a", run_ids=include("run.x")), wake(run_id="run.b", kinds=include(FAILED))
    )
    assert len(wakes) == 1
    assert (ids(wakes.of_run("run.a")), ids(wakes.of_run("run.b"))) == ([], ["wake.1"])
    assert ended(wakes, "run.x", STARTED) == []
    assert ended(wakes, "run.x", FAILED) == ["wake.1"]


FILTERS: dict[str, tuple[dict[str, Any], list[bool]]] = {
    "anything": ({}, [True, True, True, True]),
    "a run": ({"run_ids": include("run.x")}, [True, True, False, False]),
    "a kind": ({"kinds": include(STARTED)}, [True, False, True, False]),
    "several runs": ({"run_ids": include("run.x", "run.y")}, [True, True, True, True]),
    "several kinds": ({"kinds": include(STARTED, FAILED)}, [True, True, True, True]),
    "no run": ({"run_ids": Include(include=())}, [False, False, False, False]),
    "no kind": ({"kinds": Include(include=())}, [False, False, False, False]),
    "another field only": ({"tags": include("t")}, [True, True, True, True]),
    "a kind and another field": ({"kinds": include(STARTED), "tags": include("t")}, [True] * 4),
}
EVENTS = [("run.x", STARTED), ("run.x", FAILED), ("run.y", STARTED), ("run.y", FAILED)]


@pytest.mark.parametrize(("wanted", "expected"), FILTERS.values(), ids=FILTERS)
def test_an_event_is_made_where_a_wake_names_its_run_or_kind_or_other_things(
    wanted: dict[str, Any], expected: list[bool]
) -> None:
    wakes = having(wake(**wanted))
    assert [wakes.may_end(*event) for event in EVENTS] == expected


def test_a_wake_that_names_run_and_kind_is_met_by_events_of_both() -> None:
    wakes = having(wake(run_ids=include("run.x"), kinds=include(STARTED)))
    assert ended(wakes, "run.x", STARTED) == ["wake.1"]
    assert ended(wakes, "run.x", FAILED) == ended(wakes, "run.y", STARTED) == []


def test_a_run_and_a_kind_of_one_name_are_not_taken_for_each_other() -> None:
    wakes = having(wake(run_ids=include("kinds", "nothing", "run_started")))
    assert ended(wakes, "run.x", STARTED) == []
    assert ended(wakes, "nothing", FAILED) == ["wake.1"]


def test_a_wake_that_an_event_meets_twice_is_listed_once() -> None:
    wakes = having(
        wake(run_ids=include("run.x", "run.x"), kinds=include(STARTED, STARTED)),
        wake("wake.2", tags=include("t", "u")),
    )
    assert ended(wakes, "run.x", STARTED, tags=("u", "t", "t")) == ["wake.1", "wake.2"]
    wakes.discard("wake.1")
    wakes.discard("wake.2")
    assert ended(wakes, "run.x", STARTED, tags=("u", "t")) == []


def test_lists_are_in_the_order_of_registration() -> None:
    wakes = having(*(wake(each, run_ids=include("run.x")) for each in "cab"))
    assert ended(wakes, "run.x", STARTED) == ids(wakes.of_run("run.a")) == ["c", "a", "b"]


NARROW: dict[str, tuple[Callable[[str], dict[str, Any]], Callable[[str], dict[str, Any]]]] = {
    "run": (lambda n: {"run_ids": include(n)}, lambda n: {"run_id": n}),
    "session": (lambda n: {"session_ids": include(n)}, lambda n: {"session_id": n}),
    "turn": (lambda n: {"turn_ids": include(n)}, lambda n: {"turn_id": n}),
    "agent": (lambda n: {"agent_ids": include(n)}, lambda n: {"agent_id": n}),
    "tag": (lambda n: {"tags": include(n)}, lambda n: {"tags": (n,)}),
    "correlation": (
        lambda n: {"correlation_keys": include(n)},
        lambda n: {"correlation": EventCorrelation((CorrelationEntry(n, "v"),))},
    ),
}


@pytest.mark.parametrize("field", NARROW)
def test_wakes_for_other_things_are_not_compared_with_an_event(
    field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, having_it = NARROW[field]
    wakes = having(
        *(wake(f"wake.{n}", kinds=include(STARTED), **wanted(f"n.{n}")) for n in range(500)),
        *(wake(f"alike.{n}", families=include(EventFamily.MODEL)) for n in range(500)),
    )
    compared = count_comparisons(monkeypatch)
    event = envelope(**{"event_kind": STARTED, "run_id": "run.z", **having_it("n.7")})
    assert ids(wakes.ended_by(event)) == ["wake.7"]
    assert len(compared) <= 2, "with its own, and with one for all that are alike"


def count_comparisons(monkeypatch: pytest.MonkeyPatch) -> list[CompiledEventFilter]:
    compared: list[CompiledEventFilter] = []
    matches = CompiledEventFilter.matches_envelope

    def counted(self: CompiledEventFilter, event: EventEnvelope) -> bool:
        compared.append(self)
        return matches(self, event)

    monkeypatch.setattr(CompiledEventFilter, "matches_envelope", counted)
    return compared


def test_nothing_is_kept_of_wakes_that_are_gone() -> None:
    wakes = having(*(wake(f"wake.{n}", f"run.{n}", run_ids=include("r")) for n in range(9)))
    for number in range(9):
        wakes.discard(f"wake.{number}")
    assert not any(vars(wakes).values())


_RUNS = st.sampled_from(["run.a", "run.b", "run.c"])
_TAGS = st.sampled_from(["t", "u"])
_KINDS = st.sampled_from([STARTED, FAILED, EventKind.TOOL_FAILED])
_WANTED = st.fixed_dictionaries(
    {},
    optional={
        "run_ids": st.lists(_RUNS, max_size=2).map(lambda runs: Include(include=tuple(runs))),
        "kinds": st.lists(_KINDS, max_size=2).map(lambda kinds: Include(include=tuple(kinds))),
        "tags": st.lists(_TAGS, max_size=2).map(lambda tags: Include(include=tuple(tags))),
        "agent_ids": st.just(include("agent.x")),
        "families": st.sampled_from([EventFamily.RUN, EventFamily.TOOL]).map(include),
        "subject_kinds": st.sampled_from([EntityKind.RUN, EntityKind.TURN]).map(include),
        "destination_kinds": st.just(include(DestinationKind.HOST)),
        "terminal_only": st.booleans(),
    },
)
_EVENTS = st.builds(
    envelope,
    run_id=_RUNS,
    event_kind=_KINDS,
    tags=st.lists(_TAGS, max_size=2).map(tuple),
    agent_id=st.sampled_from(["agent.x", "agent.y"]),
    event_family=st.sampled_from([EventFamily.RUN, EventFamily.TOOL]),
    destination=st.none() | st.just(DestinationRef(DestinationKind.HOST, "host")),
)


class OpenWakesMachine(RuleBasedStateMachine):
    """Adding and discarding in any order, beside a dictionary that is searched whole."""

    def __init__(self) -> None:
        super().__init__()
        self.wakes = OpenWakes()
        self.model: dict[str, AgentPoolStoredWake] = {}

    @rule(condition_id=st.sampled_from("abcde"), run_id=_RUNS, wanted=_WANTED)
    def add(self, condition_id: str, run_id: str, wanted: dict[str, Any]) -> None:
        self.model.pop(condition_id, None)
        self.model[condition_id] = wake(condition_id, run_id, **wanted)
        self.wakes.add(self.model[condition_id])

    @rule(condition_id=st.sampled_from("abcde"))
    def discard(self, condition_id: str) -> None:
        self.model.pop(condition_id, None)
        self.wakes.discard(condition_id)

    @rule(event=_EVENTS)
    def exactly_what_matches_is_ended(self, event: EventEnvelope) -> None:
        matching = [
            each for each in self.model.values() if each.compiled_filter.matches_envelope(event)
        ]
        found = ids(self.wakes.ended_by(event))
        assert sorted(found) == sorted(ids(matching))
        assert self.wakes.may_end(event.run_id, event.event_kind) or not found

    @rule(run_id=_RUNS)
    def of_run(self, run_id: str) -> None:
        waiting = [key for key, each in self.model.items() if each.condition.run_id == run_id]
        assert ids(self.wakes.of_run(run_id)) == waiting

    @invariant()
    def holds_the_same(self) -> None:
        assert {each.condition.condition_id: each for each in self.wakes} == self.model
        assert len(self.wakes) == len(self.model)
        assert all(self.wakes.get(key) is each for key, each in self.model.items())


TestOpenWakes = OpenWakesMachine.TestCase
