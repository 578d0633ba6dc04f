"""Answers are counted in the order of the log, however late that is done."""

from collections.abc import Sequence
from copy import copy
from random import Random
from typing import Any, Final

import pytest
from rule_views import Pool
from samples import member, message, receipt

from agentpool import (
    AskOutcome,
    IdempotencyConflictError,
    InvalidValueError,
    MessageResponseContract,
    MessageStatus,
    RunAddress,
    RunMessage,
)
from agentpool.rules.asking import Answers, Asking, Withdraw, answers_so_far, answers_to
from agentpool.rules.command import Command, Decision
from agentpool.rules.consequences import CatchUp, carry_out
from agentpool.rules.membership import JoinMember, LeaveMember
from agentpool.rules.messages import RecordMessage, RecordStatus
from agentpool.rules.pool_opening import OpenPool
from agentpool.rules.rows import OWING, OWING_LEFT, contract_key
from agentpool.rules.sending import Send
from agentpool.support.clock import Clock
from agentpool.testing.conformance.pool_kit import ManualClock

RUNS: Final = ("run.b", "run.c", "run.d")
DELIVERED, FAILED = MessageStatus.DELIVERED, MessageStatus.FAILED
RESPONDED, CANCELLED = MessageStatus.RESPONDED, MessageStatus.CANCELLED
ROUNDS: Final = 50
STEPS: Final = 8

Step = tuple[str, str]


def still() -> int:
    """Tell the same time, however long a test takes: questions here end within a second."""
    return 1_700_000_000_000


def question(expected: int = 2, **fields: Any) -> RunMessage:
    contract = MessageResponseContract(expected, 1000)
    fields = {"to": RunAddress.topic("t"), "response_contract": contract, **fields}
    return message(**{"message_id": "msg.q", **fields})


def answer(run_id: str, number: int = 1) -> RunMessage:
    return message(
        f"{run_id}.{number}", sender=run_id, to=RunAddress.run("run.a"), reply_to="msg.q"
    )


def some_steps(random: Random) -> list[Step]:
    """Let runs answer, leave and join again, each only while it is, or is not, a member."""
    here, steps = set(RUNS), []
    for _ in range(STEPS):
        run_id = random.choice(RUNS)
        what = random.choice(["answer", "leave"]) if run_id in here else "join"
        if what == "leave":
            here.remove(run_id)
        here |= {run_id} if what == "join" else set()
        steps.append((what, run_id))
    return steps


def model(expected: int, steps: list[Step]) -> tuple[MessageStatus, list[str]]:
    """Say what becomes of a question, and who has answered in time."""
    here, answered = set(RUNS), dict[str, None]()
    for what, run_id in steps:
        if what == "answer":
            answered[run_id] = None
        elif what == "join":
            here.add(run_id)
        else:
            here.remove(run_id)
        if len(answered) >= expected:
            return RESPONDED, [*answered]
        if here <= answered.keys():
            return FAILED, [*answered]
    return DELIVERED, [*answered]


def commands(steps: list[Step], *, recorded: bool) -> list[Command[Any]]:
    made: list[Command[Any]] = []
    for number, (what, run_id) in enumerate(steps):
        if what == "leave":
            made.append(LeaveMember(run_id))
        elif what == "join":
            made.append(JoinMember(member(run_id, topics=["t"])))
        elif recorded:
            given = answer(run_id, number)
            made.append(
                RecordMessage(given, receipt(given.message_id, DELIVERED, delivered_to=["run.a"]))
            )
        else:
            made.append(Send(answer(run_id, number)))
    return made


def with_members(clock: Clock = still) -> Pool:
    pool = Pool(clock)
    pool.do(OpenPool())
    pool.do(JoinMember(member("run.a")))
    for run_id in RUNS:
        pool.do(JoinMember(member(run_id, topics=["t"])))
    return pool


def coordinated(clock: Clock = still) -> Pool:
    pool = with_members(clock)
    assert carry_out(pool, CatchUp()).done
    return pool


def status_of(pool: Pool) -> MessageStatus:
    known = pool.message_by_key("key.msg.q")
    assert known is not None
    return known.stored.receipt.status


def owing(pool: Pool, runs: Sequence[str] = RUNS) -> int:
    return sum(len(pool.rows(kind, run, limit=9)) for kind in (OWING, OWING_LEFT) for run in runs)


class Writing(Pool):
    """A pool that counts the characters of the rows that are written."""

    written = 0

    def apply(self, decision: Decision[Any]) -> None:
        super().apply(decision)
        self.written += sum(len(row.value) for row in decision.puts)


@pytest.mark.parametrize("expected", [1, 2, 3])
def test_a_question_ends_as_soon_as_it_is_certain_how(expected: int) -> None:
    random = Random(expected)
    for _ in range(ROUNDS):
        pool, steps = coordinated(), some_steps(random)
        carry_out(pool, Send(question(expected), asking=Asking()))
        for count, command in enumerate(commands(steps, recorded=False), 1):
            carry_out(pool, command)
            status, answered = model(expected, steps[:count])
            assert status_of(pool) is status, steps[:count]
            so_far, _, ended = answers_so_far(pool, "key.msg.q")
            assert [each.sender for each in so_far] == answered
            assert ended is (status is not DELIVERED)
            assert (pool.row(contract_key("msg.q")) is None) is ended
            assert (owing(pool) == 0) is (ended or len(answered) == len(RUNS))


def test_an_answer_of_many_writes_no_more_than_one_of_few() -> None:
    runs = [f"run.{number:03}" for number in range(60)]
    pool = Writing(still)
    pool.do(OpenPool())
    for run_id in ("run.a", *runs):
        pool.do(JoinMember(member(run_id, topics=[] if run_id == "run.a" else ["t"])))
    carry_out(pool, CatchUp())
    carry_out(pool, Send(question(), asking=Asking(of_all=True)))
    written = []
    for run_id in runs:
        pool.written = 0
        carry_out(pool, Send(answer(run_id)))
        written.append(pool.written)
    assert max(written[20:-1]) <= max(written[:20])
    answers = answers_to(pool, "key.msg.q")
    assert answers is not None
    assert (answers.outcome, [each.sender for each in answers]) == (AskOutcome.COMPLETE, runs)
    assert owing(pool, runs) == 0


@pytest.mark.parametrize("expected", [1, 2, 3])
def test_what_is_worked_in_late_comes_to_the_same(expected: int) -> None:
    random = Random(expected)
    for _ in range(ROUNDS):
        pool, steps = with_members(), some_steps(random)
        asked = question(expected)
        pool.do(RecordMessage(asked, receipt("msg.q", DELIVERED, delivered_to=RUNS)))
        for command in commands(steps, recorded=True):
            pool.do(command)
        while not carry_out(pool, CatchUp(), 7).done:
            pass
        assert status_of(pool) is model(expected, steps)[0], steps


def test_of_all_is_as_many_as_receive_it_and_it_expires_with_its_time() -> None:
    clock = ManualClock()
    pool = coordinated(clock)
    carry_out(pool, Send(question(1), asking=Asking(of_all=True, expires=True)))
    known = pool.message_by_key("key.msg.q")
    assert known is not None
    assert known.stored.message.response_contract == MessageResponseContract(len(RUNS), 1000)
    assert known.stored.message.expires_at_millis == clock.millis + 1000
    carry_out(pool, Send(question(1), asking=Asking(of_all=True, expires=True)))
    assert pool.kinds.count("RunMessageRecorded") == 2


def test_the_longest_time_there_is_expires_at_the_latest_there_is() -> None:
    pool = coordinated()
    contract = MessageResponseContract(1, 2**64 - 1)
    carry_out(pool, Send(question(response_contract=contract), asking=Asking(expires=True)))
    known = pool.message_by_key("key.msg.q")
    assert known is not None
    assert known.stored.message.expires_at_millis == 2**64 - 1


def test_a_question_with_time_left_does_not_expire_but_goes_to_nobody_else() -> None:
    clock = ManualClock()
    pool = coordinated(clock)
    carry_out(pool, Send(question(3, expires_at_millis=clock.millis + 100), asking=Asking()))
    clock.advance(100)
    carry_out(pool, CatchUp())
    assert status_of(pool) is DELIVERED
    assert [pool.next_due(run_id) for run_id in RUNS] == [None] * len(RUNS)
    clock.advance(900)
    carry_out(pool, CatchUp())
    assert status_of(pool) is MessageStatus.TIMED_OUT
    assert pool.next_deadline() is None


def test_only_what_is_open_is_withdrawn() -> None:
    pool = coordinated()
    carry_out(pool, Withdraw("key.msg.q"))
    carry_out(pool, Send(question(1), asking=Asking()))
    carry_out(pool, Send(answer("run.b")))
    carry_out(pool, Withdraw("key.msg.q"))
    assert status_of(pool) is RESPONDED
    other = question(1, message_id="msg.other")
    carry_out(pool, Send(other, asking=Asking()))
    carry_out(pool, Withdraw("key.msg.other"))
    carry_out(pool, Withdraw("key.msg.other"))
    known = pool.message_by_key("key.msg.other")
    assert known is not None
    assert known.stored.receipt.status is CANCELLED
    assert pool.next_deadline() is None


def test_the_id_of_what_was_asked_cannot_be_used_for_another_question() -> None:
    pool = coordinated()
    carry_out(pool, Send(question(1), asking=Asking()))
    carry_out(pool, Send(answer("run.b")))
    with pytest.raises(IdempotencyConflictError, match=r"'msg\.q'"):
        carry_out(pool, Send(question(1, idempotency_key="key.other")))


@pytest.mark.parametrize("status", sorted({*MessageStatus} - {MessageStatus.ACCEPTED}))
def test_every_final_status_is_an_outcome(status: MessageStatus) -> None:
    pool = coordinated()
    carry_out(pool, Send(question(1), asking=Asking()))
    assert answers_to(pool, "key.msg.q") is None
    carry_out(pool, RecordStatus(question(1), status, ()))
    found = answers_to(pool, "key.msg.q")
    assert (found is None) is (status is DELIVERED)
    assert found is None or found.missing == RUNS


def test_answers_are_a_tuple_that_says_how_it_came_to_them() -> None:
    answers = Answers((answer("run.b"),), AskOutcome.TIMED_OUT, ("run.c",))
    assert answers == (answer("run.b"),)
    assert repr(answers) == "<Answers timed_out: 1, missing 1>"
    enough = Answers(answers, AskOutcome.INCOMPLETE, ("run.c",), expected=2)
    assert repr(enough) == "<Answers incomplete: 1, missing 1>"
    too_few = copy(Answers(answers, AskOutcome.INCOMPLETE, ("run.c",), expected=3))
    assert repr(too_few) == "<Answers incomplete: 1, missing 1; expected 3, 2 received it>"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("answers", 5),
        ("answers", None),
        ("answers", ("msg.a",)),
        ("outcome", "timed_out"),
        ("missing", "run.c"),
        ("late", 5),
        ("unreadable", ("5",)),
    ],
)
def test_what_is_no_answers_is_refused_by_name(field: str, value: object) -> None:
    right = {"answers": (answer("run.b"),), "outcome": AskOutcome.TIMED_OUT}
    with pytest.raises(InvalidValueError, match=field):
        Answers(**{**right, field: value})  # type: ignore[arg-type]
