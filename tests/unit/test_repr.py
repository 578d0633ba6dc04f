"""What a message, a member and a snapshot look like in a log: one line, and no content."""

from typing import Any

import pytest
from msgspec.structs import replace
from samples import condition, envelope, member, message, receipt, registration

from agentpool import (
    AgentPoolMessagePolicy,
    AgentPoolSnapshot,
    AgentPoolStoreCursor,
    AgentPoolStoredMessage,
    AgentPoolStoredWake,
    AgentPoolWakePolicy,
    EntityKind,
    EntityRef,
    EventKind,
    RunAddress,
)

ADDRESSES = {
    "run": RunAddress.run("run.b"),
    "agent": RunAddress.agent("agent.b"),
    "topic": RunAddress.topic("news"),
    "pool": RunAddress.pool("pool.x"),
}
LONG = f"run.{'0123456789' * 40}.the.end"


def snapshot(**fields: Any) -> AgentPoolSnapshot:
    """Make the snapshot of a pool in which nothing has happened."""
    defaults = {
        "pool_id": "pool.x",
        "created": True,
        "members": (),
        "topics": (),
        "message_policy": AgentPoolMessagePolicy(),
        "wake_policy": AgentPoolWakePolicy(),
    }
    return AgentPoolSnapshot(**{**defaults, **fields})


@pytest.mark.parametrize(
    ("kind", "to"),
    [("run", "'run.b'"), ("agent", "'agent.b'"), ("topic", "'news'"), ("pool", "'pool.x'")],
)
def test_a_message_says_from_whom_to_whom(kind: str, to: str) -> None:
    shown = repr(message("message.1", to=ADDRESSES[kind]))
    assert shown == f"<RunMessage 'message.1' from 'run.a' to {kind} {to}>"


def test_a_message_never_shows_its_content_nor_where_it_is() -> None:
    shown = repr(message(content_ref="content.secret", idempotency_key="key.secret"))
    assert "secret" not in shown


def test_a_message_with_an_id_as_they_are_made_fits_one_line() -> None:
    shown = repr(message("message.0194f7c1a2b30123456789abcdef", sender="run.researcher-1"))
    assert "'message.0194f7c1a2b30123456789abcdef'" in shown
    assert len(shown) <= 100


def test_a_member_says_whose_run_it_is() -> None:
    assert repr(member(topics=("news",))) == "<AgentPoolMember 'run.a' of 'agent.a'>"


def test_a_snapshot_counts_what_is_in_it() -> None:
    stored = AgentPoolStoredMessage(message(), receipt())
    wake = AgentPoolStoredWake(condition(), condition().filter.compile(), registration())
    assert repr(snapshot()) == "<AgentPoolSnapshot 'pool.x' at 0: 0 members, 0 messages, 0 wakes>"
    full = snapshot(
        members=(member(),) * 3,
        messages=(stored,) * 5,
        wakes=(wake,),
        cursor=AgentPoolStoreCursor(17),
    )
    assert repr(full) == "<AgentPoolSnapshot 'pool.x' at 17: 3 members, 5 messages, 1 wake>"


@pytest.mark.parametrize(
    ("value", "most"),
    [(member(LONG), 100), (snapshot(pool_id=LONG), 120), (message(LONG), 100)],
    ids=["member", "snapshot", "message"],
)
def test_a_long_id_is_shown_by_its_ends(value: Any, most: int) -> None:
    shown = repr(value)
    assert "'run.0123456789" in shown
    assert ".the.end'" in shown
    assert "..." in shown
    assert len(shown) <= most


@pytest.mark.parametrize("to", [None, "run.b", replace(RunAddress.run("run.b"), target=None)])
def test_a_message_that_was_changed_behind_its_back_can_still_be_shown(to: Any) -> None:
    shown = repr(replace(message(), to=to, sender=7, message_id="a\nb"))
    assert shown.startswith("<RunMessage 'a\\nb' from 7 to ")
    assert len(shown.splitlines()) == 1


def test_an_event_says_what_happened_to_what_and_no_more() -> None:
    event = envelope(
        event_id="event.1",
        event_kind=EventKind.RUN_FAILED,
        run_id="run.a",
        subject_ref=EntityRef(EntityKind.RUN, "run.b", redacted_summary="what anybody may read"),
        tags=("build.done", "nightly"),
    )
    assert repr(event) == (
        "<EventEnvelope 'event.1': run_failed of run 'run.a' about run 'run.b',"
        " tags ('build.done', 'nightly')>"
    )


def test_an_event_with_long_ids_and_many_tags_is_one_short_line() -> None:
    tags = tuple(map(str, range(1000)))
    event = envelope(event_id=LONG, run_id=LONG, subject_ref=EntityRef(EntityKind.RUN, LONG))
    shown = repr(replace(event, tags=tags))
    assert shown.count(".the.end'") == 3
    assert len(shown) <= 250


@pytest.mark.parametrize("wrong", [None, "a\nb", 7])
def test_an_event_that_was_changed_behind_its_back_can_still_be_shown(wrong: Any) -> None:
    names = ("event_id", "event_kind", "run_id", "subject_ref", "tags")
    shown = repr(replace(envelope(), **dict.fromkeys(names, wrong)))
    assert shown.startswith(f"<EventEnvelope {wrong!r}: {wrong!r} of run {wrong!r} about {wrong!r}")
    assert len(shown.splitlines()) == 1
