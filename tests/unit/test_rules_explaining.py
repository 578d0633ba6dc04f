"""Explaining reads no more of a long log than of a short one, and tells of what it cannot read."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rule_views import Pool
from samples import POOL, condition, envelope, member, message, receipt

from agentpool import (
    EventFilter,
    EventKind,
    Explanation,
    InvalidValueError,
    MessageExplanation,
    MessageReceipt,
    MessageResponseContract,
    MessageStatus,
    NotAMemberError,
    NothingFound,
    Presence,
    QueueExplanation,
    RecipientState,
    RunAddress,
    RunExplanation,
    WakeExplanation,
    WhyNot,
    decode,
    encode,
    include,
)
from agentpool.rules.asking import Asking
from agentpool.rules.command import Command, Decision, Row, RowKey
from agentpool.rules.consequences import CatchUp, carry_out
from agentpool.rules.explaining.finding import explain, what_is_meant
from agentpool.rules.host_events import Publish
from agentpool.rules.membership import JoinRun, LeaveMember
from agentpool.rules.messages import RecordMessage, RecordStatus
from agentpool.rules.pool_opening import OpenPool
from agentpool.rules.queues import MakeQueue
from agentpool.rules.rows import OWING, inbox_key
from agentpool.rules.sending import Send
from agentpool.rules.waits import SuspendUntil


class Counting(Pool):
    """A coordinated pool that counts how much is looked at in it."""

    def __init__(self) -> None:
        super().__init__(lambda: 1_000_000)
        self.looks: Counter[str] = Counter()
        self.carry_out(OpenPool())
        self.carry_out(CatchUp())

    def carry_out(self, command: Command[Any]) -> None:
        carry_out(self, command)

    def move(self, commands: list[Command[Any]]) -> None:
        for each in commands:
            with suppress(NotAMemberError):
                self.carry_out(each)

    def explain(self, what: str | MessageReceipt) -> Explanation:
        self.looks.clear()
        return explain(self, what_is_meant(what))

    def records(self, after: int, limit: int) -> Sequence[Any]:
        found = super().records(after, limit)
        self.looks["records"] += len(found)
        return found

    def rows(self, kind: str, name: str, *, after: int = 0, limit: int) -> Sequence[Row]:
        found = super().rows(kind, name, after=after, limit=limit)
        self.looks["rows"] += len(found)
        return found

    def message_by_key(self, key: str) -> Any:
        self.looks["messages"] += 1
        return super().message_by_key(key)

    def member_at(self, run_id: str, seq: int) -> Any:
        self.looks["members"] += 1
        return super().member_at(run_id, seq)


def long_pool(length: int, unread: int = 0) -> Counting:
    """Make a pool in which very much has happened, and much is open."""
    pool = Counting()
    for each in ("run.a", "run.b"):
        pool.carry_out(JoinRun(member(each)))
    pool.carry_out(MakeQueue("work"))
    pool.carry_out(Send(message("first", response_contract=MessageResponseContract(1))))
    wanted = EventFilter(kinds=include(EventKind.RUN_FAILED))
    pool.carry_out(SuspendUntil(condition(filter=wanted)))
    for number in range(length):
        to = RunAddress.run("queue.work" if number % 2 else "run.b")
        contract = MessageResponseContract(1)
        pool.carry_out(Send(message(f"m.{number}", to=to, response_contract=contract)))
        pool.carry_out(Publish(envelope(event_id=f"event.{number}")))
    for number in range(unread):
        owed = Row(RowKey(OWING, "run.b", 10_000 + number), f"m.{number % 2000}")
        rows = (Row(inbox_key(each, 10_000 + number)) for each in ("run.b", "queue.work"))
        pool.apply(Decision(None, puts=(owed, *rows)))
    return pool


NAMES = ["run.a", "run.b", "work", "agent.a", "key.first", "first", "wake.1", "key.m.9", "run.x"]


def test_a_long_log_costs_no_more_than_a_short_one() -> None:
    short, long = long_pool(270, 5000), long_pool(330, 6000)
    for name in NAMES:
        found = short.explain(name), long.explain(name)
        assert type(found[0]) is type(found[1])
        questions = [pool.looks.pop("messages", 0) for pool in (short, long)]
        assert max(questions) <= 1010, "of those that are open, so many are looked up"
        assert long.looks == short.looks, name
        assert long.looks["records"] <= 1000, name
        assert long.looks["rows"] <= 10_000, name
        assert long.looks["members"] <= 1000, name


def test_lists_are_cut_and_it_is_said_how_much_there_is() -> None:
    pool = long_pool(270, 5000)
    run, owing, queue, wake = map(pool.explain, ("run.a", "run.b", "work", "wake.1"))
    assert isinstance(run, RunExplanation)
    assert (len(run.waits_for), run.waits_for_in_all) == (100, None)
    assert isinstance(owing, RunExplanation)
    assert (len(owing.owes), owing.owes_in_all) == (100, 1000)
    assert isinstance(queue, QueueExplanation)
    assert (queue.inbox.unread, queue.inbox.is_all) == (1000, False)
    assert isinstance(wake, WakeExplanation)
    assert (len(wake.near), wake.looked_at) == (10, wake.refused[0].events)
    assert wake.looked_after > wake.registered_seq
    assert all(len(str(each).splitlines()) < 60 for each in (run, owing, queue, wake))


def test_of_very_many_members_some_are_listed() -> None:
    pool = Counting()
    for number in range(1200):
        pool.carry_out(JoinRun(member(f"run.{number}")))
    pool.carry_out(Send(message("m.1", sender="run.1", to=RunAddress.run("run.2"))))
    pool.carry_out(Send(message("m.2", sender="run.1", to=RunAddress.pool(POOL))))
    one, all_ = pool.explain("key.m.1"), pool.explain("key.m.2")
    assert isinstance(one, MessageExplanation)
    assert (one.recipients_in_all, len(one.missed), one.missed_in_all) == (1, 100, 1199)
    assert isinstance(all_, MessageExplanation)
    assert (len(all_.recipients), all_.recipients_in_all, all_.missed_in_all) == (100, 1199, 1)


@pytest.mark.parametrize("name", NAMES)
def test_an_explanation_can_be_written_and_read(name: str) -> None:
    found = long_pool(20).explain(name)
    assert decode(encode(found), type(found)) == found
    assert found.pool_id == POOL
    assert found.now == 1_000_000


TOPICS = st.sampled_from([(), ("topic.1",)])
RUNS = st.sampled_from(["run.b", "run.c", "run.d"])
MOVES = st.lists(
    st.one_of(
        st.builds(LeaveMember, RUNS),
        st.builds(lambda run, topics: JoinRun(member(run, topics=topics)), RUNS, TOPICS),
    ),
    max_size=6,
)


@settings(max_examples=50)
@given(before=MOVES, after=MOVES)
def test_everybody_received_a_message_or_missed_it_for_a_reason_of_then(
    before: list[Command[Any]], after: list[Command[Any]]
) -> None:
    pool = Counting()
    pool.carry_out(JoinRun(member()))
    pool.move(before)
    then = dict(pool.state.members)
    pool.carry_out(Send(message(to=RunAddress.topic("topic.1"))))
    pool.move(after)
    found = pool.explain("key.msg.1")
    assert isinstance(found, MessageExplanation)
    received = {each.run_id for each in found.recipients}
    why = {each.run_id: each.why for each in found.missed}
    assert received == {each.run_id for each in then.values() if "topic.1" in each.topics}
    assert why.keys() >= pool.state.members.keys() - received
    assert why == {
        run_id: WhyNot.LACKS_TOPIC if run_id in then else WhyNot.NOT_A_MEMBER for run_id in why
    }


def test_a_message_that_another_implementation_accepted_is_coming() -> None:
    pool = Counting()
    for each in ("run.a", "run.b"):
        pool.carry_out(JoinRun(member(each)))
    pool.carry_out(RecordMessage(message(), receipt(delivered_to=("run.b",))))
    found = pool.explain("key.msg.1")
    assert isinstance(found, MessageExplanation)
    assert found.status is MessageStatus.ACCEPTED
    assert [each.state for each in found.recipients] == [RecipientState.COMING]


def test_a_row_that_cannot_be_read_spoils_nothing() -> None:
    pool = Counting()
    pool.carry_out(JoinRun(member()))
    pool.apply(Decision(None, puts=(Row(inbox_key("run.a", 1), "damaged"),)))
    found = pool.explain("run.a")
    assert isinstance(found, RunExplanation)
    assert (found.inbox.unread, found.inbox.backing_off, found.claims) == (1, 1, ())


def test_a_run_whose_leaving_is_long_ago() -> None:
    pool = Counting()
    for each in ("run.a", "run.b", "run.gone"):
        pool.carry_out(JoinRun(member(each)))
    pool.carry_out(LeaveMember("run.gone"))
    for number in range(200):
        pool.carry_out(Send(message(f"m.{number}")))
    found = pool.explain("run.gone")
    assert isinstance(found, RunExplanation)
    assert (found.presence, found.since) == (Presence.LEFT, None)


def test_a_message_id_that_is_not_its_key_is_found_among_the_newest() -> None:
    pool = Counting()
    for each in ("run.a", "run.b"):
        pool.carry_out(JoinRun(member(each)))
    for number in range(200):
        pool.carry_out(Send(message(f"m.{number}")))
    found = pool.explain("m.199")
    assert isinstance(found, MessageExplanation)
    nothing = pool.explain("m.1")
    assert isinstance(nothing, NothingFound)
    assert nothing.searched_after > 0
    assert str(nothing.searched_after) in str(nothing)


def test_a_question_is_found_by_its_id_however_long_ago() -> None:
    pool = Counting()
    for each in ("run.a", "run.b"):
        pool.carry_out(JoinRun(member(each)))
    pool.carry_out(Send(message("sent", response_contract=MessageResponseContract(1))))
    question = message("asked", response_contract=MessageResponseContract(1))
    pool.carry_out(Send(question, asking=Asking()))
    pool.carry_out(RecordStatus(question, MessageStatus.RESPONDED, ()))
    for number in range(200):
        pool.carry_out(Send(message(f"m.{number}")))
    for name in ("sent", "asked"):
        found = pool.explain(name)
        assert isinstance(found, MessageExplanation)
        assert found.idempotency_key == f"key.{name}"


@pytest.mark.parametrize("what", [None, 1, b"run.a", ["run.a"], "", "a\nb", "x" * 513])
def test_what_is_nothing_that_can_be_explained_is_refused(what: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"^what: "):
        what_is_meant(what)
