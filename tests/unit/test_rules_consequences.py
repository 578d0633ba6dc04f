"""What follows from records, whoever wrote them and however late they are worked in."""

from typing import Any

import pytest
from rule_views import Pool
from samples import condition, member, message, receipt

from agentpool import (
    AgentPoolError,
    CorruptRecordError,
    EventFilter,
    EventKind,
    IdempotencyConflictError,
    MessageResponseContract,
    MessageStatus,
    RunAddress,
    RunMessage,
    UnknownRecordError,
    WakeRegistrationStatus,
    include,
)
from agentpool.rules.claiming import ClaimNext
from agentpool.rules.command import Decision, Row, RowKey
from agentpool.rules.consequences import CatchUp, carry_out
from agentpool.rules.deadlines import carry_out_due
from agentpool.rules.holding import Heartbeat, Holding
from agentpool.rules.membership import HoldRun, JoinMember, JoinRun
from agentpool.rules.messages import RecordMessage, RecordStatus
from agentpool.rules.pool_opening import OpenPool
from agentpool.rules.rows import (
    AWAY,
    EXPIRY,
    LEASE,
    PUBLISHED,
    RESPONSE,
    WAKE,
    contract_key,
    deadline,
    deadline_key,
)
from agentpool.rules.sending import Send
from agentpool.rules.waits import SuspendUntil
from agentpool.support.clock import Clock, wall_clock
from agentpool.testing.conformance.pool_kit import ManualClock

DELIVERED, FAILED = MessageStatus.DELIVERED, MessageStatus.FAILED
LATER = 1000


def with_members(clock: Clock = wall_clock) -> Pool:
    """Make a pool that nobody coordinates yet, so what is done in it is as of others."""
    pool = Pool(clock)
    for command in (OpenPool(), JoinMember(member()), JoinMember(member("run.b"))):
        pool.do(command)
    return pool


def coordinated(clock: Clock = wall_clock) -> Pool:
    pool = with_members(clock)
    assert carry_out(pool, CatchUp()).done
    return pool


def test_nothing_is_done_where_others_have_gone_on() -> None:
    pool = with_members()
    assert not carry_out(pool, CatchUp(of_others=True, seen=pool.head - 1)).done
    assert pool.projected == 0
    assert carry_out(pool, CatchUp(of_others=True, seen=pool.head)).done
    assert pool.projected == pool.head


def test_what_only_works_in_what_others_did_is_short_and_leaves_the_disk_alone() -> None:
    long, short = with_members(), with_members()
    for pool in (long, short):
        for number in range(400):
            pool.do(JoinMember(member(f"run.{number}")))
    assert not carry_out(long, CatchUp()).done
    assert not carry_out(short, CatchUp(of_others=True)).done
    assert 0 < (short.projected or 0) < (long.projected or 0) / 2
    assert CatchUp().must_survive_power_cut
    assert not CatchUp(of_others=True).must_survive_power_cut


def question(expected: int = 1, **fields: Any) -> RunMessage:
    contract = MessageResponseContract(expected, LATER)
    return message("msg.q", **{"response_contract": contract, **fields})


def answer() -> RunMessage:
    return message("msg.r", sender="run.b", to=RunAddress.run("run.a"), reply_to="msg.q")


def deliver(sent: RunMessage) -> RecordMessage:
    return RecordMessage(sent, receipt(sent.message_id, DELIVERED, delivered_to=("run.b",)))


# --- working in what others have appended


def test_a_command_finds_what_others_have_appended_before_it() -> None:
    pool = coordinated()
    pool.do(deliver(message()))
    claim = carry_out(pool, ClaimNext("run.b", "test", LATER))
    assert claim is not None
    assert claim.message == message()


def test_what_consequences_append_is_worked_in_with_them() -> None:
    pool = coordinated()
    carry_out(pool, Send(question()))
    waiting = condition(filter=EventFilter(kinds=include(EventKind.RUN_MESSAGE_RESPONDED)))
    carry_out(pool, SuspendUntil(waiting))
    carry_out(pool, Send(answer()))
    assert pool.kinds[-2:] == ["RunMessageRecorded", "WakeRecorded"]
    assert pool.projected == pool.head
    assert pool.next_deadline() is None
    assert pool.row(contract_key("msg.q")) is None


@pytest.mark.parametrize(
    "sent", [question(0), question(), message("msg.q", expires_at_millis=9 * 10**15)]
)
def test_what_was_over_before_it_is_worked_in_opens_nothing(sent: RunMessage) -> None:
    pool = with_members()
    pool.do(deliver(sent))
    pool.do(RecordStatus(sent, FAILED, ()))
    assert carry_out(pool, CatchUp()).done
    assert pool.next_deadline() is None
    assert pool.row(contract_key("msg.q")) is None
    assert pool.kinds.count("RunMessageRecorded") == 2


# --- deadlines


@pytest.mark.parametrize("what", [WAKE, RESPONSE, LEASE])
def test_the_deadline_of_what_is_not_there_just_goes_away(what: str) -> None:
    pool = coordinated()
    row = deadline(what, "nothing", 0)
    assert carry_out_due(pool, row) == Decision(None, deletes=(row.key,))


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (deadline_key("of a newer version", "wake.1"), UnknownRecordError),
        (deadline_key(PUBLISHED, "0x1"), CorruptRecordError),
        (deadline_key(PUBLISHED, "9" * 5000), CorruptRecordError),
        (deadline_key(LEASE, "run.a")._replace(number=1), CorruptRecordError),
    ],
)
def test_what_is_no_deadline_is_passed_by_and_told_of(
    key: RowKey, error: type[AgentPoolError]
) -> None:
    pool = coordinated()
    pool.apply(Decision(None, puts=(Row(key, due_at=0),)))
    carry_out(pool, JoinMember(member("run.c")))
    assert pool.row(key) is not None, "who cannot tell of it leaves it"
    found = carry_out(pool, CatchUp())
    [told] = found.passed_by
    assert found.done
    assert type(told) is error
    assert pool.row(key) is None


def test_the_expiry_of_what_is_not_there_just_goes_away() -> None:
    row = Row(deadline_key(EXPIRY, "nothing"), "7")
    assert carry_out_due(coordinated(), row) == Decision(None, deletes=(row.key,))


def test_the_deadline_of_what_is_over_just_goes_away() -> None:
    pool = coordinated()
    carry_out(pool, RecordStatus(message(), FAILED, ()))
    row = deadline(RESPONSE, "key.msg.1", 0)
    assert carry_out_due(pool, row) == Decision(None, deletes=(row.key,))


def test_a_deadline_ends_what_is_still_open() -> None:
    clock = ManualClock()
    pool = coordinated(clock)
    never = EventFilter(kinds=include(EventKind.RUN_FAILED))
    carry_out(pool, SuspendUntil(condition(filter=never, timeout_millis=LATER)))
    clock.advance(LATER)
    carry_out(pool, CatchUp())
    known = pool.wake("wake.1")
    assert known is not None
    assert known.stored.registration.status is WakeRegistrationStatus.TIMED_OUT
    assert pool.next_deadline() is None


# --- leases


def test_joining_again_with_a_lease_wakes_those_who_wait_for_the_next_deadline() -> None:
    pool = coordinated()
    carry_out(pool, JoinRun(member()))
    decision = JoinRun(member(), LATER).decide(pool)
    assert decision.announce
    assert [row.key for row in decision.puts] == [deadline_key(LEASE, "run.a")]
    assert not JoinRun(member("run.c"), LATER).decide(pool).announce  # its record does


def test_joining_again_without_a_lease_ends_the_one_that_there_was() -> None:
    clock = ManualClock()
    pool = coordinated(clock)
    carry_out(pool, JoinRun(member(), LATER))
    carry_out(pool, JoinRun(member()))
    clock.advance(10 * LATER)
    carry_out(pool, CatchUp())
    assert "run.a" in pool.state.members


def test_a_heartbeat_does_not_set_a_lease_again_that_joining_without_one_has_ended() -> None:
    clock = ManualClock()
    pool = coordinated(clock)
    held = Holding(member(), "1", "x", LATER)
    carry_out(pool, HoldRun(held))
    carry_out(pool, JoinRun(member()))
    assert carry_out(pool, Heartbeat([held])) == {}
    clock.advance(10 * LATER)
    carry_out(pool, CatchUp())
    assert "run.a" in pool.state.members


def test_who_held_a_run_that_was_lost_is_forgotten_in_the_end() -> None:
    clock = ManualClock()
    pool = coordinated(clock)
    carry_out(pool, HoldRun(Holding(member(), "1", "x", LATER)))
    while "run.a" in pool.state.members:
        clock.advance(LATER)
        carry_out(pool, CatchUp())
    key = deadline_key(AWAY, "run.a")
    assert pool.row(key) is not None
    clock.advance(31 * 24 * 3_600_000)
    assert (carry_out(pool, CatchUp()).passed_by, pool.row(key)) == ((), None)


def test_a_lease_of_an_older_version_runs_out_too() -> None:
    clock = ManualClock()
    pool = coordinated(clock)
    carry_out(pool, JoinRun(member()))
    pool.apply(Decision(None, puts=(deadline(LEASE, "run.a", clock()),)))
    carry_out(pool, CatchUp())
    assert "run.a" in pool.state.members, "it is given time for a heartbeat"
    clock.advance(10_000)
    carry_out(pool, CatchUp())
    assert "run.a" not in pool.state.members


def test_a_lease_that_is_always_found_late_runs_out_in_the_end() -> None:
    clock = ManualClock()
    pool = coordinated(clock)
    carry_out(pool, HoldRun(Holding(member(), "1", "x", LATER)))
    looks = 0
    while "run.a" in pool.state.members:
        clock.advance(100 * LATER)
        carry_out(pool, CatchUp())
        looks += 1
    assert looks == 4


def test_a_heartbeat_counts_before_the_lease_that_it_renews_is_looked_at() -> None:
    clock = ManualClock()
    pool = coordinated(clock)
    held = Holding(member(), "1", "x", LATER)
    carry_out(pool, HoldRun(held))
    for _ in range(4):
        clock.advance(LATER * 3 // 4)
        carry_out(pool, CatchUp())
        clock.advance(LATER // 3)
        assert carry_out(pool, Heartbeat([held])) == {}
    carry_out(pool, CatchUp())
    assert pool.kinds.count("MemberLeft") == 0


# --- questions


def test_the_id_of_a_question_that_waits_cannot_be_used_for_another() -> None:
    pool = coordinated()
    carry_out(pool, Send(question()))
    other = question(idempotency_key="key.other")
    with pytest.raises(IdempotencyConflictError, match=r"'msg\.q' waits for answers") as caught:
        carry_out(pool, Send(other))
    assert caught.value.pool_id == pool.pool_id
    carry_out(pool, Send(answer()))
    assert carry_out(pool, Send(other)).status is DELIVERED


def test_a_message_that_is_worked_in_late_is_told_of_again() -> None:
    pool = coordinated()
    pool.do(deliver(message()))
    pool.announced = False
    carry_out(pool, CatchUp())
    assert pool.announced
