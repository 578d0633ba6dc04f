"""Explanations in words: names, times and filters as people say them, and a word for everything."""

from enum import StrEnum
from typing import Any

import pytest
from samples import POOL

from agentpool import (
    EventFilter,
    EventKind,
    Include,
    MessageExplanation,
    MessageStatus,
    Missed,
    PolicyRef,
    Presence,
    Recipient,
    RecipientState,
    RunExplanation,
    RunTarget,
    StatusSeen,
    WhyNot,
    include,
)
from agentpool.rules.explaining import message_words, wake_words
from agentpool.rules.explaining.parts import InboxSeen, WhyUnseen
from agentpool.rules.explaining.phrases import (
    ago,
    filter_words,
    listed,
    named,
    policies,
    span,
    until_words,
)
from agentpool.rules.explaining.run_words import run_words
from agentpool.wire.filters import EventIndexField


@pytest.mark.parametrize(
    ("millis", "words"),
    [
        (0, "0.0 s"),
        (1234, "1.2 s"),
        (90_000, "1.5 min"),
        (5_400_000, "1.5 h"),
        (200_000_000, "2 days"),
    ],
)
def test_how_long(millis: int, words: str) -> None:
    assert span(millis) == words


def test_when() -> None:
    assert ago(5000, 2000) == "3.0 s ago"
    assert ago(5000, 6000) == "0.0 s ago"
    assert "not known" in ago(5000, None)
    assert until_words(5000, 7000) == "for 2.0 s more"
    assert until_words(5000, None) == "without a deadline"
    assert "1.0 s ago" in until_words(5000, 4000)


def test_names_are_listed_and_cut() -> None:
    assert listed([]) == ""
    assert listed(["a"]) == "'a'"
    assert listed(["a", "b", "c"]) == "'a', 'b' and 'c'"
    assert listed(["a", "b"], last="or") == "'a' or 'b'"
    assert listed(["a"], in_all=3) == "'a' and 2 more"
    assert listed([str(each) for each in range(10)]).endswith("'7' and 2 more")
    assert policies([PolicyRef(id="p.2"), PolicyRef(id="p.1")]) == "policies 'p.1' and 'p.2'"


def test_a_name_that_looks_like_another_is_shown_so_that_it_does_not() -> None:
    assert named("run.\u00e9") == "'run.\u00e9'"
    assert named("run.e\u0301") == "'run.e\\u0301'"
    assert named("run.a\u200b") == "'run.a\\u200b'"


def test_a_filter_is_said_as_what_it_lets_through() -> None:
    assert filter_words(EventFilter()) == "any event"
    wanted = EventFilter(
        kinds=include(EventKind.RUN_FAILED),
        run_ids=include("run.a", "run.b"),
        tags=Include(include=()),
        terminal_only=True,
    )
    assert filter_words(wanted) == (
        "any terminal event of kind 'run_failed' of run 'run.a' or 'run.b' named or tagged nothing"
    )


def test_every_field_of_a_filter_has_its_words() -> None:
    for name in EventFilter.__struct_fields__:
        if isinstance(getattr(EventFilter(), name), str) and name != "payload_access":
            sets: Any = {name: Include(include=())}
            assert filter_words(EventFilter(**sets)) != "any event", name
    assert len(EventIndexField) == 14


@pytest.mark.parametrize(
    ("words", "enum"),
    [
        (message_words._STATES, RecipientState),
        (message_words._REASONS, WhyNot),
        (wake_words._UNSEEN, WhyUnseen),
    ],
)
def test_there_are_words_for_everything(words: dict[StrEnum, str], enum: type[StrEnum]) -> None:
    assert set(words) == set(enum)
    assert len(set(words.values())) == len(words)


@pytest.mark.parametrize("presence", Presence)
def test_every_presence_has_its_words(presence: Presence) -> None:
    run = RunExplanation(
        pool_id=POOL,
        now=9000,
        run_id="run.a",
        agent_id="agent.a",
        presence=presence,
        since=4000,
        process="host:1",
        lease_until=12_000,
        inbox=InboxSeen(waiting=1, dead=2),
        waits_in_all=0,
        waits_for_in_all=0,
        owes_in_all=0,
    )
    first, inbox = run_words(run)
    assert "5.0 s ago" in first
    assert ("host:1" in first) is (presence in {Presence.HERE, Presence.AWAY})
    assert inbox == "inbox: 1 unread (1 waiting), 2 dead"


def test_a_message_is_told_line_by_line() -> None:
    found = MessageExplanation(
        pool_id=POOL,
        now=9000,
        message_id="m.1",
        idempotency_key="key.1",
        sender="run.a",
        to=RunTarget("run.b"),
        status=MessageStatus.DELIVERED,
        statuses=(StatusSeen(MessageStatus.DELIVERED, 5, 8000),),
        recipients=(
            Recipient(run_id="run.b", state=RecipientState.WAITING, is_member=True),
            Recipient(
                run_id="run.c",
                state=RecipientState.CLAIMED,
                is_member=False,
                attempts=2,
                process="host:1",
                until=10_000,
            ),
            Recipient(run_id="run.d", state=RecipientState.WAITING, is_member=True),
        ),
        recipients_in_all=4,
        missed=(
            Missed(run_id="run.e", why=WhyNot.LACKS_POLICIES, policy_refs=(PolicyRef(id="p"),)),
            Missed(run_id="run.f", why=WhyNot.LACKS_TOPIC),
        ),
        missed_in_all=2,
    )
    claimed = "claimed by process host:1, attempt 2, for 1.0 s more"
    assert list(message_words.message_words(found)) == [
        "message 'm.1' (key 'key.1') from run 'run.a' to run 'run.b' is delivered",
        "statuses: delivered by record 5, 1.0 s ago",
        "reached 'run.b' and 'run.d': waiting to be taken",
        f"reached 'run.c': {claimed}; it has left the pool",
        "reached 1 more run",
        "not 'run.e': does not carry policy 'p'",
        "not 'run.f': joined without the topic",
    ]
