"""The checker refuses wakes, inboxes and watchers that tell another story than callers."""

from dataclasses import replace

import pytest

from agentpool import PoolCreated

from .history_sample import BOX, Break, is_refused, woken

BROKEN: dict[str, tuple[Break, str]] = {
    # wakes
    "a wake without an end": (
        lambda h: h.put(9, PoolCreated()),
        "wake wake.1: it has no end: [(8, 'registered')]",
    ),
    "a wake with two ends": (
        lambda h: h.put(10, woken("cancelled")),
        "wake wake.1: it has 2 ends",
    ),
    "a wake that is registered after its end": (
        lambda h: h.put(10, woken("registered")),
        "wake wake.1: it has 1 ends: [(8, 'registered'), (9, 'triggered'), (10, 'registered')]",
    ),
    "a wake that nobody registered": (
        lambda h: (h.calls.pop("suspend"), h.calls.pop("wait")),
        "wake wake.1: nobody's call registered it",
    ),
    "a wake that missed its event": (
        lambda h: h.put(9, woken("timed_out")),
        "wake wake.1: it is timed_out at record 9, but missed Happened",
    ),
    "a wake triggered by nothing": (
        lambda h: h.events.__setitem__(0, replace(h.events[0], after=9)),
        "wake wake.1: it is triggered at record 9, but its event is Happened(after=9",
    ),
    "a wake that failed although its run was there": (
        lambda h: h.put(9, woken("failed")).happen(),
        "wake wake.1: it failed at record 9, but its run had not left",
    ),
    "a wake cancelled by nobody": (
        lambda h: h.put(9, woken("cancelled")).happen(),
        "wake wake.1: it was cancelled, but by nobody's call",
    ),
    "a waiter told of another end": (
        lambda h: h.change("wait", result={"status": "timed_out", "event_id": None}),
        "was told timed_out, but the wake is triggered",
    ),
    "a waiter told of no end": (
        lambda h: h.change("wait", result={"status": "registered", "event_id": None}),
        "was told registered, but the wake is triggered",
    ),
    "a waiter told of another event": (
        lambda h: h.change("wait", result={"status": "triggered", "event_id": "event.7"}),
        "was told of event event.7, but the first is Happened",
    ),
    "a cancellation acknowledged and triggered all the same": (
        lambda h: h.add("cancel", "cancel", {"condition_id": "wake.1"}, status="cancelled"),
        "was told cancelled, but the wake is triggered",
    ),
    "a cancellation refused and done all the same": (
        lambda h: (
            h.put(9, woken("cancelled"))
            .happen()
            .add("cancel", "cancel", {"condition_id": "wake.1"})
            .add("cancel too", "cancel", {"condition_id": "wake.1"})
            .forget("cancel")
            .refuse("cancel too", "InvalidTransitionError")
        ),
        "was refused, but the wake is cancelled",
    ),
    "a registration that is missing": (
        lambda h: h.add(
            "lost", "suspend", {"condition_id": "wake.2", "key": "matter.2"}, status="registered"
        ),
        "was told registered, but is not stored",
    ),
    # inboxes
    "a message acknowledged twice": (
        lambda h: h.add("ack too", "ack", h.calls["ack"].arguments),
        "message ('run.box', 'message.1'): acknowledged more than once",
    ),
    "an acknowledgement of a stale claim": (
        lambda h: h.change("ack", arguments={**h.calls["ack"].arguments, "attempt": 1}),
        "was accepted, but attempt 2 was claimed",
    ),
    "an attempt handed out twice": (
        lambda h: h.change("take again", result=h.calls["take"].result),
        "message ('run.box', 'message.1'): one attempt was handed out twice: [1, 1]",
    ),
    "attempts that go down": (
        lambda h: h.change("take", result={**h.calls["take"].result, "attempt": 3}),
        "attempt 2 was asked for, by take take again",
    ),
    "a message handed out after it was acknowledged": (
        lambda h: h.add("take late", "take", {"run_id": BOX}, **h.calls["take again"].result),
        "which had been acknowledged by ack ack",
    ),
    "a message that was not delivered": (
        lambda h: h.change("take", result={"seq": 6, "message_id": "message.8", "attempt": 1}),
        "but the log delivers it nowhere",
    ),
    "an acknowledged message that is still there": (
        lambda h: h.left.append("message.1"),
        "inbox run.box: still has message message.1, which was acknowledged",
    ),
    "a message that is gone unread": (
        lambda h: h.left.clear(),
        "inbox run.box: has lost message message.2, which nobody acknowledged",
    ),
    "a message that comes from nowhere": (
        lambda h: h.left.append("message.8"),
        "inbox run.box: has message message.8, which was not delivered",
    ),
    # watchers
    "a watcher that missed a record": (
        lambda h: h.calls["watch"].saw.pop(3),
        "was shown (7, ",
    ),
    "a watcher that saw a record twice": (
        lambda h: h.calls["watch"].saw.insert(1, h.calls["watch"].saw[0]),
        "was shown (3, ",
    ),
    "a watcher that saw two records the other way round": (
        lambda h: h.calls["watch"].saw.reverse(),
        "was shown (10, ",
    ),
    "a watcher that saw another record than is there": (
        lambda h: h.calls["watch"].saw.__setitem__(2, (5, "0" * 16)),
        "was shown (5, '0000000000000000') where the log has (5, ",
    ),
    "a watcher that saw more than is there": (
        lambda h: h.calls["watch"].saw.append((11, "0" * 16)),
        "where the log has nothing",
    ),
    "a watcher that stopped short": (
        lambda h: h.calls["watch"].saw.pop(),
        "stopped at record 9 and never saw 10",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_history_is_refused_by_what_is_wrong(name: str) -> None:
    is_refused(*BROKEN[name])
