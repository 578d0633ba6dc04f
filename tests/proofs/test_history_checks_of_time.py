"""The checker refuses runs that two hold or that are lost in vain, and what ends too early."""

from collections.abc import Callable
from typing import Self

import pytest

from agentpool import MemberLeft, PoolCreated
from agentpool.testing import a_member
from agentpool.testing.history.evidence import Happened

from .history_sample import BOX, History, joined, woken

RUN = "run.held"
ONE = {"run_id": RUN, "agent_id": "agent.one"}
TWO = {"run_id": RUN, "agent_id": "agent.two"}
WAITING = {"timeout_millis": 0}
LOST = "MembershipLostError"


def left(agent_id: str) -> MemberLeft:
    return MemberLeft(a_member(RUN, agent_id=agent_id))


class HeldHistory(History):
    """A good history in which a process holds a run, waits for nothing, and lets it go."""

    def __init__(self) -> None:
        super().__init__()
        self.put(11, joined(RUN, "agent.one")).put(12, left("agent.one"))
        self.add("one.1", "hold", {**ONE, "rejoins": True}, **ONE)
        self.add("one.2", "wait_until", {**ONE, **WAITING}, status="timed_out")
        self.add("one.3", "part", ONE, **ONE)

    def hold_two(self) -> Self:
        """Let another process take the run, and keep it."""
        self.put(12, joined(RUN, "agent.two")).put(13, left("agent.two"))
        self.calls.pop("one.3")
        return self.add("two.1", "hold", {**TWO, "rejoins": True}, **TWO)

    def lose(self, writes: int) -> None:
        """Let the run leave by itself, after its process wrote so often within a tenth second."""
        self.calls.pop("one.3")
        for number in range(writes):
            self.events.append(Happened(11, number + 2, f"event.{number + 2}"))
            self.at(1.0 + number / 100, f"one.{number + 9}", "publish", number=number + 2)
            self.calls[f"one.{number + 9}"].arguments["event_id"] = f"event.{number + 2}"
        self.put(12, joined("run.x", "agent.x")).put(13, left("agent.one"))
        self.put(14, joined("run.y", "agent.y"))
        self.at(1.1, "x.1", "join", run_id="run.x", agent_id="agent.x", seq=12)
        self.at(1.2, "x.2", "join", run_id="run.y", agent_id="agent.y", seq=14)

    def at(self, seconds: float, id_: str, do: str, **facts: object) -> None:
        """Add a call at a time."""
        self.add(id_, do, dict(facts), **facts)
        nanos = int(seconds * 10**9)
        self.change(id_, called=nanos, returned=nanos + 1)

    def refused_for(self, message: str) -> bool:
        return any(message in violation for violation in self.violations())


Break = Callable[[HeldHistory], object]

BROKEN: dict[str, tuple[Break, str]] = {
    # presence
    "a call by who has lost the run to another": (
        lambda h: (
            h.hold_two(),
            h.add("one.9", "wait_until", {**ONE, **WAITING}, status="timed_out"),
        ),
        "was done, but its run had been lost: hold two.1",
    ),
    "a call by who has been told that the run is lost": (
        lambda h: (
            h.hold_two().forget("two.1"),
            h.add("one.8", "wait_until", {**ONE, **WAITING}).refuse("one.8", LOST),
            h.add("one.9", "wait_until", {**ONE, **WAITING}, status="timed_out"),
        ),
        "was done, but its run had been lost: wait_until one.8",
    ),
    "a run that is lost although nobody took it": (
        lambda h: h.refuse("one.2", LOST),
        "was told that its run is lost, but nobody else has taken it",
    ),
    "a run that is held and no member": (
        lambda h: h.refuse("one.2", "NotAMemberError"),
        "was refused with NotAMemberError",
    ),
    "a run that hears nothing any more": (
        lambda h: h.add("one.9", "hear", ONE, heard=False),
        "heard nothing, and was told nothing",
    ),
    "a run that never leaves": (
        lambda h: h.put(12, PoolCreated()),
        "nobody holds it any more, and it is a member still",
    ),
    "a run that is held and never joined": (
        lambda h: h.put(11, PoolCreated()),
        "hold one.1 {'run_id': 'run.held', 'agent_id': 'agent.one', 'rejoins': True}: its joining",
    ),
    "a run that is taken from a process that was well": (
        lambda h: h.lose(writes=6),
        "agent.one was taken for lost, but its process had written 6 times",
    ),
    # time
    "a wait of a member that ends too early": (
        lambda h: h.change("one.2", arguments={**ONE, "timeout_millis": 5}),
        "had timed out 0.0 ms after it began, not 5",
    ),
    "a wait of a member that does not end": (
        lambda h: h.change("one.2", result={"status": "still waiting"}),
        "it is still waiting, and was to time out",
    ),
    "a wait that ends too early": (
        lambda h: (
            h.put(9, woken("timed_out")).happen(),
            h.calls["suspend"].arguments.update(timeout_millis=5),
            h.change("wait", result={"status": "timed_out", "event_id": None}),
        ),
        "had timed out 0.0 ms after it began, not 5",
    ),
    "a claim that ends too early": (
        lambda h: (
            h.calls.pop("nack"),
            h.change("take", arguments={"run_id": BOX, "lease": 0.3}),
        ),
        "claimed it, for 300 ms",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_history_is_refused_by_what_is_wrong(name: str) -> None:
    history = HeldHistory()
    break_, message = BROKEN[name]
    break_(history)
    assert history.refused_for(message), history.violations()


def test_a_good_history_is_accepted() -> None:
    assert HeldHistory().violations() == []


def test_who_was_stopped_may_lose_its_run_and_be_told() -> None:
    history = HeldHistory()
    history.hold_two()
    history.add("one.9", "wait_until", {**ONE, **WAITING}).refuse("one.9", LOST)
    history.add("two.2", "part", TWO, **TWO)
    assert history.violations() == []


def test_who_was_stopped_may_leave_and_come_back() -> None:
    history = HeldHistory()
    history.put(13, joined(RUN, "agent.one")).put(14, left("agent.one"))
    assert history.violations() == []


def test_who_does_not_come_back_is_told() -> None:
    history = HeldHistory()
    history.change("one.1", arguments={**ONE, "rejoins": False})
    history.refuse("one.2", LOST)
    assert history.violations() == []


def test_a_process_that_wrote_nothing_may_have_been_stopped() -> None:
    history = HeldHistory()
    history.lose(writes=0)
    assert history.violations() == []
