"""Open wakes are found by the events that may end them, and by the run that waits."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from samples import condition, envelope, registration

from agentpool import AgentPoolStoredWake, EventFilter, EventKind, include
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


def ids(wakes: list[AgentPoolStoredWake]) -> list[str]:
    return [each.condition.condition_id for each in wakes]


def test_nothing_is_open_at_first() -> None:
    wakes = OpenWakes()
    assert (len(wakes), list(wakes), wakes.get("wake.1")) == (0, [], None)
    assert wakes.of_run("run.a") == wakes.candidates("run.a", STARTED) == []


def test_what_was_added_is_there_until_it_is_discarded() -> None:
    first, second = wake("wake.1"), wake("wake.2")
    wakes = having(first, second)
    assert (len(wakes), list(wakes), wakes.get("wake.1")) == (2, [first, second], first)
    wakes.discard("wake.1")
    assert (len(wakes), list(wakes), wakes.get("wake.1")) == (1, [second], None)
    assert ids(wakes.of_run("run.a")) == ids(wakes.candidates("run.x", STARTED)) == ["wake.2"]


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
    assert wakes.candidates("run.x", STARTED) == []
    assert ids(wakes.candidates("run.x", FAILED)) == ["wake.1"]


FILTERS: dict[str, tuple[dict[str, Any], list[bool]]] = {
    "anything": ({}, [True, True, True, True]),
    "a run": ({"run_ids": include("run.x")}, [True, True, False, False]),
    "a kind": ({"kinds": include(STARTED)}, [True, False, True, False]),
    "several runs": ({"run_ids": include("run.x", "run.y")}, [True, True, True, True]),
    "several kinds": ({"kinds": include(STARTED, FAILED)}, [True, True, True, True]),
    "no run": ({"run_ids": include()}, [False, False, False, False]),
    "no kind": ({"kinds": include()}, [False, False, False, False]),
    "another field only": ({"tags": include("t")}, [True, True, True, True]),
}
EVENTS = [("run.x", STARTED), ("run.x", FAILED), ("run.y", STARTED), ("run.y", FAILED)]


@pytest.mark.parametrize(("wanted", "expected"), FILTERS.values(), ids=FILTERS)
def test_an_event_meets_the_wakes_that_name_its_run_or_its_kind_or_neither(
    wanted: dict[str, Any], expected: list[bool]
) -> None:
    wakes = having(wake(**wanted))
    assert [bool(wakes.candidates(*event)) for event in EVENTS] == expected


def test_a_wake_that_names_run_and_kind_is_met_by_events_of_that_run_only() -> None:
    wakes = having(wake(run_ids=include("run.x"), kinds=include(STARTED)))
    assert ids(wakes.candidates("run.x", STARTED)) == ["wake.1"]
    assert wakes.candidates("run.y", STARTED) == []


def test_a_run_and_a_kind_of_one_name_are_not_taken_for_each_other() -> None:
    wakes = having(wake(run_ids=include("kind run_started", "any", "run_started")))
    assert wakes.candidates("run.x", STARTED) == []
    assert ids(wakes.candidates("any", FAILED)) == ["wake.1"]


def test_a_wake_that_an_event_meets_twice_is_listed_once() -> None:
    wakes = having(wake(run_ids=include("run.x", "run.x"), kinds=include(STARTED, STARTED)))
    assert ids(wakes.candidates("run.x", STARTED)) == ["wake.1"]
    wakes.discard("wake.1")
    assert wakes.candidates("run.x", STARTED) == []


# By code point, which is by UTF-8 bytes.
def test_lists_are_in_order_of_the_ids() -> None:
    ascending = ["B", "a", "b", "\uffee", "\U00010000"]
    narrow: dict[str, Any] = {"run_ids": include("run.x")}
    wakes = having(
        *(wake(each, **(narrow if n % 2 else {})) for n, each in enumerate(reversed(ascending)))
    )
    assert ids(wakes.candidates("run.x", STARTED)) == ascending
    assert ids(wakes.of_run("run.a")) == ascending


def test_wakes_for_other_runs_cost_an_event_nothing() -> None:
    wakes = having(*(wake(f"wake.{n}", run_ids=include(f"run.{n}")) for n in range(1000)))
    assert ids(wakes.candidates("run.7", STARTED)) == ["wake.7"]
    assert wakes.candidates("run.elsewhere", STARTED) == []


def test_nothing_is_kept_of_wakes_that_are_gone() -> None:
    wakes = having(*(wake(f"wake.{n}", f"run.{n}", run_ids=include("r")) for n in range(9)))
    for number in range(9):
        wakes.discard(f"wake.{number}")
    assert not any(vars(wakes).values())


_RUNS = st.sampled_from(["run.a", "run.b", "run.c"])
_KINDS = st.sampled_from([STARTED, FAILED, EventKind.TOOL_FAILED])
_WANTED = st.fixed_dictionaries(
    {},
    optional={
        "run_ids": st.lists(_RUNS, max_size=2).map(lambda runs: include(*runs)),
        "kinds": st.lists(_KINDS, max_size=2).map(lambda kinds: include(*kinds)),
    },
)


class OpenWakesMachine(RuleBasedStateMachine):
    """Adding and discarding in any order, beside a dictionary that is searched whole."""

    def __init__(self) -> None:
        super().__init__()
        self.wakes = OpenWakes()
        self.model: dict[str, AgentPoolStoredWake] = {}

    @rule(condition_id=st.sampled_from("abcde"), run_id=_RUNS, wanted=_WANTED)
    def add(self, condition_id: str, run_id: str, wanted: dict[str, Any]) -> None:
        self.model[condition_id] = wake(condition_id, run_id, **wanted)
        self.wakes.add(self.model[condition_id])

    @rule(condition_id=st.sampled_from("abcde"))
    def discard(self, condition_id: str) -> None:
        self.model.pop(condition_id, None)
        self.wakes.discard(condition_id)

    @rule(run_id=_RUNS, kind=_KINDS)
    def no_match_is_missed(self, run_id: str, kind: EventKind) -> None:
        event = envelope(run_id=run_id, event_kind=kind)
        matching = [
            each for each in self.model.values() if each.compiled_filter.matches_envelope(event)
        ]
        candidates = self.wakes.candidates(run_id, kind)
        assert ids(candidates) == sorted(ids(candidates))
        assert set(ids(matching)) <= set(ids(candidates)) <= set(self.model)

    @rule(run_id=_RUNS)
    def of_run(self, run_id: str) -> None:
        waiting = sorted(key for key, each in self.model.items() if each.condition.run_id == run_id)
        assert ids(self.wakes.of_run(run_id)) == waiting

    @invariant()
    def holds_the_same(self) -> None:
        assert {each.condition.condition_id: each for each in self.wakes} == self.model
        assert len(self.wakes) == len(self.model)
        assert all(self.wakes.get(key) is each for key, each in self.model.items())


TestOpenWakes = OpenWakesMachine.TestCase


@given(run_id=_RUNS, kind=_KINDS, wanted=_WANTED)
def test_whatever_an_event_matches_is_among_its_candidates(
    run_id: str, kind: EventKind, wanted: dict[str, Any]
) -> None:
    stored = wake(**wanted)
    matches = stored.compiled_filter.matches_envelope(envelope(run_id=run_id, event_kind=kind))
    assert not matches or having(stored).candidates(run_id, kind) == [stored]
