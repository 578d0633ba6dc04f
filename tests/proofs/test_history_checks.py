"""The checker accepts a good history, and refuses a log that tells another story than callers."""

from dataclasses import replace

import pytest

from agentpool import PoolCreated
from agentpool.testing.history.evidence import Happened

from .history_sample import BOX, Break, History, is_refused, joined, sent, woken


def test_a_good_history_is_accepted() -> None:
    assert History().violations() == []


@pytest.mark.parametrize("id_", [*History().calls])
def test_what_a_killed_process_did_may_be_there(id_: str) -> None:
    history = History()
    history.forget(id_)
    assert history.violations() == []


def test_what_a_killed_process_did_may_be_missing() -> None:
    history = History()
    history.add("late", "send", {"key": "key.3", "message_id": "message.3", "to": BOX})
    history.add("join late", "join", {"run_id": "run.c", "agent_id": "agent.c"})
    history.add("leave late", "leave", {"run_id": BOX})
    history.add("wait late", "suspend", {"condition_id": "wake.2", "key": "matter.2"})
    history.add("publish late", "publish", {"event_id": "event.2"})
    for id_ in ("late", "join late", "leave late", "wait late", "publish late"):
        history.forget(id_)
    assert history.violations() == []


def test_a_message_whose_acknowledgement_was_cut_off_may_be_there_or_gone() -> None:
    history = History()
    history.forget("ack")
    assert history.violations() == []
    history.left = ["message.1", "message.2"]
    assert history.violations() == []


def test_calls_that_overlap_may_have_any_order() -> None:
    history = History()
    for id_ in history.calls:
        history.change(id_, called=0, returned=1000)
    assert history.violations() == []


def test_a_wake_may_time_out_before_its_event() -> None:
    history = History()
    history.put(9, woken("timed_out"))
    history.events = [replace(history.events[0], after=9)]
    history.change("wait", result={"status": "timed_out", "event_id": None})
    history.change("watch", saw=[])
    history.forget("watch")
    assert history.violations() == []


BROKEN: dict[str, tuple[Break, str]] = {
    # the log
    "a gap": (lambda h: h.records.pop(7), "the log: number 9 stands where 8 is due"),
    "a number twice": (
        lambda h: h.records.insert(3, h.records[2]),
        "the log: number 3 stands where 4 is due",
    ),
    "a gap of events": (
        lambda h: h.events.append(Happened(9, 3, "event.1", frozenset())),
        "the events: number 3 stands where 2 is due",
    ),
    # order
    "an earlier append after a later one": (
        lambda h: (h.change("append", called=1, returned=2)),
        "record 3 was asked for, by join join box",
    ),
    "a record told before it was asked for": (
        lambda h: h.change("wait", called=1, returned=2),
        "record 8 was asked for, by suspend suspend",
    ),
    "an event told before it was published": (
        lambda h: (
            h.happen(*h.events, Happened(10, 2, "event.0"))
            .add("published", "publish", {"event_id": "event.0"}, number=2)
            .change("published", called=1, returned=2)
        ),
        "event 1 was asked for, by publish publish",
    ),
    # effects
    "an acknowledged send that is missing": (
        lambda h: h.add(
            "lost", "send", {"key": "key.9", "message_id": "message.9", "to": BOX},
            message_id="message.9", status="delivered", delivered_to=[BOX],
        ),
        "was acknowledged, but is not stored",
    ),
    "an acknowledged append that is missing": (
        lambda h: h.add(
            "lost", "append", {"key": "key.9", "message_id": "message.9", "to": BOX}, seq=11
        ),
        "was acknowledged, but is not stored",
    ),
    "an append told of another place": (
        lambda h: h.change("append", result={"seq": 6}),
        "was told of record 6, its key is at 7",
    ),
    "a receipt that the log does not know": (
        lambda h: h.change(
            "send again",
            result={"message_id": "message.1b", "status": "delivered", "delivered_to": [BOX]},
        ),
        "was told {'message_id': 'message.1b'",
    ),
    "a record that nobody asked for": (
        lambda h: h.calls.pop("append"),
        "key key.2: record 7 is of nobody's call",
    ),
    "a record of a call that was refused": (
        lambda h: h.refuse("append"),
        "key key.2: record 7 is of nobody's call",
    ),
    "a key with two messages": (
        lambda h: h.put(7, sent("message.1b", "delivered")),
        "key key.1: stands for messages ['message.1', 'message.1b'], at records [5, 6, 7]",
    ),
    "a message delivered twice": (
        lambda h: h.put(7, sent("message.1", "delivered")),
        "['accepted', 'delivered', 'delivered'] at records [5, 6, 7] is no whole message",
    ),
    "half a send": (
        lambda h: h.put(6, PoolCreated()),
        "key key.1: ['accepted'] at records [5] is no whole message",
    ),
    "a send in two pieces": (
        lambda h: h.put(6, PoolCreated()).put(7, sent("message.1", "delivered")),
        "key key.1: ['accepted', 'delivered'] at records [5, 7] is no whole message",
    ),
    "a send to who had left": (
        lambda h: (h.put(3, PoolCreated())),
        "was delivered to ('run.box',) at record 6, not to ()",
    ),
    "a join that is missing": (
        lambda h: h.put(4, PoolCreated()),
        "join join a {'run_id': 'run.a', 'agent_id': 'agent.a'}: was told of record 4, which is",
    ),
    "a join that is there twice": (
        lambda h: h.put(2, joined(BOX, "agent.box")),
        "is stored more than once, at records [2, 3]",
    ),
    "a member that nobody let join": (
        lambda h: h.calls.pop("join a"),
        "agent agent.a: joined at record 4 by nobody's call",
    ),
    "a leaving that nobody asked for": (
        lambda h: h.calls.pop("leave"),
        "record 10: run run.a left by nobody's call",
    ),
    "a leaving that is missing": (
        lambda h: h.put(10, PoolCreated()),
        "leave leave {'run_id': 'run.a'}: was told of record 10, which is not there",
    ),
    "a leaving of who was not there": (
        lambda h: h.put(4, joined("run.a", "agent.z")),
        "record 10: run run.a left as agent.a, but was",
    ),
    "an event that is missing": (
        lambda h: h.events.clear(),
        "publish publish {'event_id': 'event.1'}: was told number 1, the store has None",
    ),
    "an event under another number than told": (
        lambda h: h.change("publish", result={"number": 2}),
        "was told number 2, the store has Happened",
    ),
    "an event that nobody published": (
        lambda h: h.calls.pop("publish"),
        "event event.1: is stored, but nobody's call published it",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_history_is_refused_by_what_is_wrong(name: str) -> None:
    is_refused(*BROKEN[name])
