"""Every rule of replaying records into a snapshot."""

from collections.abc import AsyncIterator
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import POOL, condition, member, message, receipt, registration
from strategies import identifiers

from agentpool import (
    AgentPoolMessagePolicy,
    AgentPoolSnapshot,
    AgentPoolStoreConfig,
    AgentPoolStoreCursor,
    AgentPoolStoredMessage,
    AgentPoolStoredWake,
    AgentPoolStoreRecord,
    AgentPoolWakePolicy,
    EventFilter,
    MemberJoined,
    MemberLeft,
    MessageStatus,
    PolicyRef,
    PoolConfigConflictError,
    PoolCreated,
    PoolNotOpenError,
    PoolOpened,
    RunMessageRecorded,
    UnknownRecord,
    UnknownRecordError,
    WakeRecorded,
    WakeRegistrationStatus,
    decode,
    encode,
    replay,
)
from agentpool.rules.replay import PoolState, ReplayState
from agentpool.wire.records import record_at

OPENED = PoolOpened(AgentPoolStoreConfig())
OTHER = AgentPoolStoreConfig(
    AgentPoolMessagePolicy((PolicyRef(id="p1"),), include_sender_in_pool_broadcast=True),
    AgentPoolWakePolicy(envelope_only=False),
    (PolicyRef(id="p2"),),
)


def sent(message_id: str, status: MessageStatus = MessageStatus.ACCEPTED) -> RunMessageRecorded:
    return RunMessageRecorded(
        AgentPoolStoredMessage(message(message_id), receipt(message_id, status))
    )


def woken(
    condition_id: str, status: WakeRegistrationStatus = WakeRegistrationStatus.REGISTERED
) -> WakeRecorded:
    stored = AgentPoolStoredWake(
        condition(condition_id), EventFilter().compile(), registration(condition_id, status)
    )
    return WakeRecorded(stored)


def state_of(*records: Any) -> ReplayState:
    state = ReplayState(POOL)
    for seq, payload in enumerate(records, 1):
        state.apply(seq, payload)
    return state


def snapshot_of(*records: Any) -> AgentPoolSnapshot:
    return state_of(*records).snapshot()


async def records_of(*records: Any) -> AsyncIterator[AgentPoolStoreRecord]:
    for seq, payload in enumerate(records, 1):
        yield record_at(POOL, seq, payload)


def test_opening_sets_the_config() -> None:
    snapshot = snapshot_of(PoolOpened(OTHER))
    assert snapshot.message_policy == OTHER.message_policy
    assert snapshot.wake_policy == OTHER.wake_policy
    assert snapshot.policy_refs == OTHER.policy_refs
    assert (snapshot.pool_id, snapshot.created) == (POOL, False)


def test_opening_again_with_an_equal_config_is_harmless() -> None:
    again = PoolOpened(decode(encode(OTHER), AgentPoolStoreConfig))
    assert snapshot_of(PoolOpened(OTHER), again).policy_refs == OTHER.policy_refs


def test_opening_again_with_another_config_is_a_conflict() -> None:
    with pytest.raises(PoolConfigConflictError) as caught:
        state_of(OPENED, PoolCreated(), PoolOpened(OTHER))
    assert (caught.value.pool_id, caught.value.seq) == (POOL, 3)


@pytest.mark.parametrize("records", [(), (PoolCreated(),), (MemberJoined(member()), sent("m"))])
def test_a_pool_that_nothing_opened_has_no_snapshot(records: tuple[Any, ...]) -> None:
    with pytest.raises(PoolNotOpenError) as caught:
        snapshot_of(*records)
    assert caught.value.pool_id == POOL


def test_records_before_the_opening_count() -> None:
    snapshot = snapshot_of(PoolCreated(), MemberJoined(member()), sent("m"), OPENED)
    assert snapshot.created
    assert snapshot.members == (member(),)
    assert len(snapshot.messages) == 1


def test_created_stays_set() -> None:
    assert not snapshot_of(OPENED).created
    assert snapshot_of(OPENED, PoolCreated(), PoolCreated()).created
    assert state_of(OPENED, PoolCreated(), PoolCreated()).created_at == 2


def test_joining_inserts_and_replaces_by_run_id() -> None:
    first, second = member(topics=["a"]), member(agent_id="agent.b")
    assert snapshot_of(OPENED, MemberJoined(first)).members == (first,)
    state = state_of(OPENED, MemberJoined(first), MemberJoined(second))
    assert state.snapshot().members == (second,)
    assert state.joined_at == {"run.a": 3}


def test_leaving_removes_by_run_id_alone() -> None:
    left = MemberLeft(member(agent_id="another.agent", topics=["other"]))
    state = state_of(OPENED, MemberJoined(member()), MemberJoined(member("run.b")), left)
    assert state.snapshot().members == (member("run.b"),)
    assert state.joined_at == {"run.b": 3}


def test_leaving_without_being_a_member_has_no_effect() -> None:
    snapshot = snapshot_of(OPENED, MemberLeft(member()), MemberLeft(member()))
    assert snapshot.members == ()
    assert snapshot.cursor == AgentPoolStoreCursor(3)


def test_topics_are_the_distinct_ones_of_current_members() -> None:
    joined = [
        MemberJoined(member("run.a", topics=["b", "a", "b"])),
        MemberJoined(member("run.b", topics=["c", "a"])),
        MemberJoined(member("run.c", topics=["gone"])),
        MemberLeft(member("run.c")),
    ]
    assert snapshot_of(OPENED, *joined).topics == ("a", "b", "c")


def test_a_message_is_replaced_by_its_id() -> None:
    snapshot = snapshot_of(OPENED, sent("m1"), sent("m2"), sent("m1", MessageStatus.DELIVERED))
    statuses = [(m.message.message_id, m.receipt.status) for m in snapshot.messages]
    assert statuses == [("m1", "delivered"), ("m2", "accepted")]


def test_a_wake_is_replaced_by_its_condition_id() -> None:
    triggered = woken("w1", WakeRegistrationStatus.TRIGGERED)
    snapshot = snapshot_of(OPENED, woken("w1"), woken("w2"), triggered)
    statuses = [(w.condition.condition_id, w.registration.status) for w in snapshot.wakes]
    assert statuses == [("w1", "triggered"), ("w2", "registered")]


def test_the_log_decides_and_replaying_does_not_judge_transitions() -> None:
    backwards = sent("m", MessageStatus.FAILED), sent("m", MessageStatus.ACCEPTED)
    assert snapshot_of(OPENED, *backwards).messages[0].receipt.status == "accepted"


def test_the_cursor_is_that_of_the_last_record() -> None:
    assert snapshot_of(OPENED, PoolCreated()).cursor == AgentPoolStoreCursor(2)
    unread = ReplayState(POOL)
    unread.config = AgentPoolStoreConfig()
    assert unread.snapshot().cursor is None


def test_an_unknown_record_ends_the_replay() -> None:
    with pytest.raises(UnknownRecordError, match="new_kind") as caught:
        state_of(OPENED, UnknownRecord("new_kind", "{}"))
    assert (caught.value.pool_id, caught.value.seq) == (POOL, 2)


def test_a_refused_record_leaves_the_state_as_it_was() -> None:
    state = state_of(OPENED, MemberJoined(member()))
    before = state.snapshot()
    with pytest.raises(PoolConfigConflictError):
        state.apply(3, PoolOpened(OTHER))
    assert state.snapshot() == before


# By code point, which is by UTF-8 bytes. By UTF-16 units the last two would change places.
@pytest.mark.parametrize("order", list(permutations(("a", "B", "\uffee", "\U00010000"))))
def test_everything_is_listed_by_utf8_bytes(order: tuple[str, ...]) -> None:
    records = [make(id_) for id_ in order for make in (sent, woken)]
    joined = [MemberJoined(member(id_, topics=[id_])) for id_ in order]
    snapshot = snapshot_of(OPENED, *records, *joined)
    expected = ["B", "a", "\uffee", "\U00010000"]
    assert [m.run_id for m in snapshot.members] == expected
    assert [m.message.message_id for m in snapshot.messages] == expected
    assert [w.condition.condition_id for w in snapshot.wakes] == expected
    assert list(snapshot.topics) == expected


@given(ids=st.lists(identifiers(), unique=True, max_size=20))
def test_the_order_is_that_of_utf8_bytes(ids: list[str]) -> None:
    snapshot = snapshot_of(OPENED, *[MemberJoined(member(id_, topics=[id_])) for id_ in ids])
    by_bytes = sorted(ids, key=str.encode)
    assert [m.run_id for m in snapshot.members] == by_bytes
    assert list(snapshot.topics) == by_bytes


def _log() -> st.SearchStrategy[list[Any]]:
    """Make logs with few ids, so that records replace each other."""
    ids = st.sampled_from(["a", "b", "\uffee", "\U0001f680"])
    members = st.builds(member, ids, topics=st.lists(ids, max_size=3))
    record = st.one_of(
        st.builds(sent, ids, st.sampled_from(MessageStatus)),
        st.builds(woken, ids, st.sampled_from(WakeRegistrationStatus)),
        st.builds(MemberJoined, members),
        st.builds(MemberLeft, members),
        st.builds(PoolCreated),
        st.just(PoolOpened(OTHER)),
    )
    return st.lists(record, max_size=30)


@given(first=_log(), second=_log())
async def test_replaying_goes_on_where_it_stopped(first: list[Any], second: list[Any]) -> None:
    first = [PoolOpened(OTHER), *first]
    state = state_of(*first)
    assert state.snapshot() == await replay(records_of(*first), pool_id=POOL)
    for seq, payload in enumerate(second, len(first) + 1):
        state.apply(seq, payload)
    assert state.snapshot() == await replay(records_of(*first, *second), pool_id=POOL)


@given(log=_log())
def test_the_small_state_has_all_but_messages_and_wakes(log: list[Any]) -> None:
    small = PoolState(POOL)
    for seq, payload in enumerate([PoolOpened(OTHER), *log], 1):
        small.apply(seq, payload)
    whole = snapshot_of(PoolOpened(OTHER), *log)
    assert (small.snapshot().messages, small.snapshot().wakes) == ((), ())
    assert small.snapshot().members == whole.members
    assert small.snapshot().cursor == whole.cursor


@given(log=_log())
def test_the_open_wakes_are_those_whose_latest_status_is_registered(log: list[Any]) -> None:
    small, whole = PoolState(POOL), ReplayState(POOL)
    for seq, payload in enumerate([PoolOpened(OTHER), *log], 1):
        small.apply(seq, payload)
        whole.apply(seq, payload)
    registered = [
        stored
        for stored in whole.snapshot().wakes
        if stored.registration.status is WakeRegistrationStatus.REGISTERED
    ]
    for state in (small, whole):
        assert sorted(state.open_wakes, key=lambda w: w.condition.condition_id) == registered
        assert len(state.open_wakes) == len(registered)


@pytest.mark.parametrize(
    "status", sorted(set(WakeRegistrationStatus) - {WakeRegistrationStatus.REGISTERED})
)
def test_a_wake_is_open_until_it_has_a_final_status(status: WakeRegistrationStatus) -> None:
    state = state_of(OPENED, woken("w1"), woken("w2"))
    assert [wake.condition.condition_id for wake in state.open_wakes] == ["w1", "w2"]
    state.apply(4, woken("w1", status))
    assert state.open_wakes.get("w1") is None
    assert state.open_wakes.get("w2") is not None
    state.apply(5, woken("w1"))  # the log decides
    assert state.open_wakes.get("w1") is not None


def test_members_and_messages_leave_open_wakes_alone() -> None:
    log = [woken("w1"), MemberJoined(member()), sent("m"), MemberLeft(member()), PoolCreated()]
    assert len(state_of(OPENED, *log).open_wakes) == 1


@given(log=_log())
def test_a_snapshot_round_trips(log: list[Any]) -> None:
    snapshot = snapshot_of(PoolOpened(OTHER), *log)
    assert decode(encode(snapshot), AgentPoolSnapshot) == snapshot


async def test_replay_of_nothing_is_not_open() -> None:
    with pytest.raises(PoolNotOpenError):
        await replay(records_of(), pool_id=POOL)
