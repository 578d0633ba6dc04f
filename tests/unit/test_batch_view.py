"""A view over a source answers as the pool in memory does, whose changes take effect at once."""

from collections.abc import Callable, Iterable
from copy import deepcopy
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_engine import PlainEngine, PlainError
from samples import POOL, condition, member, message, receipt, registration

from agentpool import (
    AgentPoolStoreConfig,
    AgentPoolStoredMessage,
    AgentPoolStoredWake,
    MessageStatus,
    StoreError,
    WakeRegistrationStatus,
)
from agentpool.rules.command import DEADLINE, INBOX, Decision, LookUps, PoolView, Row, RowKey
from agentpool.stores.batch.source import Checkpoint
from agentpool.stores.batch.states import StateCache
from agentpool.stores.batch.view import OverlayView
from agentpool.stores.memory_pool import MemoryPool
from agentpool.wire.payload import SealedPayload, seal
from agentpool.wire.records import (
    AgentPoolStoreRecordPayload,
    MemberJoined,
    MemberLeft,
    PoolCreated,
    PoolOpened,
    RunMessageRecorded,
    WakeRecorded,
)

IDS = st.integers(1, 4)
RUNS = IDS.map("run.{}".format)


def sent(number: int, status: MessageStatus) -> AgentPoolStoreRecordPayload:
    identity = f"msg.{number}"
    return RunMessageRecorded(AgentPoolStoredMessage(message(identity), receipt(identity, status)))


def waited(number: int, status: WakeRegistrationStatus) -> AgentPoolStoreRecordPayload:
    waits = condition(f"wake.{number}")
    stored = AgentPoolStoredWake(
        waits, waits.filter.compile(), registration(f"wake.{number}", status)
    )
    return WakeRecorded(stored)


def joined(run_id: str, topic: str) -> AgentPoolStoreRecordPayload:
    return MemberJoined(member(run_id, topics=(topic,)))


def left(run_id: str) -> AgentPoolStoreRecordPayload:
    return MemberLeft(member(run_id))


RECORDS: st.SearchStrategy[SealedPayload] = st.one_of(
    st.builds(sent, IDS, st.sampled_from(MessageStatus)),
    st.builds(waited, IDS, st.sampled_from(WakeRegistrationStatus)),
    st.builds(joined, RUNS, st.sampled_from(["topic.1", "topic.2"])),
    st.builds(left, RUNS),
    st.just(PoolCreated()),
    st.just(PoolOpened(AgentPoolStoreConfig())),
).map(seal)
KEYS = st.builds(RowKey, st.sampled_from([INBOX, DEADLINE]), RUNS, st.just(0))
DECISIONS = st.builds(
    Decision,
    st.none(),
    st.lists(RECORDS, max_size=3).map(tuple),
    event_sequence=st.none() | st.integers(1, 9),
    puts=st.lists(st.builds(Row, KEYS, due_at=IDS), max_size=2).map(tuple),
    deletes=st.lists(KEYS, max_size=1).map(tuple),
)


class Transaction:
    """Decisions of one transaction, after each of which some things are looked up."""

    def __init__(self, steps: list[tuple[Decision[Any], set[str]]], *, committed: bool) -> None:
        self.steps, self.committed = steps, committed

    def __repr__(self) -> str:
        return f"Transaction({self.steps}, committed={self.committed})"


NUMBERS = range(1, 5)
LOOKS: dict[str, Callable[[PoolView], Any]] = {
    "head": lambda view: view.head,
    "config": lambda view: view.config,
    "state": lambda view: (view.state.members, view.state.joined_at, view.state.created_at),
    "open wakes": lambda view: {each.condition.condition_id for each in view.state.open_wakes},
    "event sequence": lambda view: view.event_sequence,
    "projected": lambda view: view.projected,
    "messages": lambda view: [view.message_by_key(f"key.msg.{each}") for each in NUMBERS],
    "records of messages": lambda view: [
        list(view.records_of_message(f"key.msg.{each}", limit))
        for each in NUMBERS
        for limit in (1, 9)
    ],
    "wakes": lambda view: [view.wake(f"wake.{each}") for each in NUMBERS],
    "wakes by key": lambda view: [view.wake_by_key(f"key.wake.{each}") for each in NUMBERS],
    "members at": lambda view: [
        view.member_at(f"run.{each}", seq) for each in NUMBERS for seq in range(view.head + 2)
    ],
    "records": lambda view: [
        list(view.records(seq, limit)) for seq in range(view.head + 2) for limit in (1, 3, 99)
    ],
    "rows": lambda view: [
        (view.row(RowKey(INBOX, f"run.{each}")), view.next_due(f"run.{each}")) for each in NUMBERS
    ],
    "deadlines": lambda view: (view.next_deadline(), list(view.deadlines(3, 1))),
}
TRANSACTIONS = st.lists(
    st.builds(
        Transaction,
        st.lists(st.tuples(DECISIONS, st.sets(st.sampled_from(list(LOOKS)))), max_size=3),
        committed=st.sampled_from([True, True, False]),
    ),
    max_size=6,
)


class Undone(Exception):  # noqa: N818  # it is no error that a transaction is not committed
    pass


class Pair:
    """The same pool twice: stored by an engine, and in memory."""

    def __init__(self) -> None:
        self.engine, self.states = PlainEngine(), StateCache()
        self.memory = MemoryPool(POOL, lambda: 0)

    def do(self, transaction: Transaction) -> None:
        after = deepcopy(self.memory)
        try:
            view = self.engine.transact(partial(self._work, transaction, after), durable=True)
        except Undone:
            return
        view.committed()
        self.memory = after

    def _work(self, transaction: Transaction, after: MemoryPool) -> OverlayView:
        view = opened(self.engine, self.states)
        for number, (decision, looks) in enumerate(transaction.steps):
            for each in (view, after):
                each.apply(decision)
                each.set_projected(number)
            self.compare(view, after, looks)
        view.save()
        if not transaction.committed:
            raise Undone
        return view

    def compare(self, view: OverlayView, memory: MemoryPool, looks: Iterable[str]) -> None:
        for name in looks:
            assert LOOKS[name](view) == LOOKS[name](memory), name


def opened(engine: PlainEngine, states: StateCache) -> OverlayView:
    """Look at the pool, inside a transaction."""
    source = engine.source(POOL)
    source.load(LookUps())
    return OverlayView(source, states)


@settings(max_examples=100)
@given(TRANSACTIONS)
def test_a_view_answers_as_the_pool_in_memory_does(transactions: list[Transaction]) -> None:
    pair = Pair()
    for each in transactions:
        pair.engine.again = 0 if each.committed else 1
        pair.do(each)
    for states in (pair.states, StateCache()):
        view = OverlayView(pair.engine.look(POOL), states)
        pair.compare(view, pair.memory, LOOKS)


def apply(view: OverlayView, *payloads: AgentPoolStoreRecordPayload) -> None:
    view.apply(Decision(None, tuple(map(seal, payloads))))


def append(engine: PlainEngine, states: StateCache, *payloads: AgentPoolStoreRecordPayload) -> None:
    def work() -> OverlayView:
        view = opened(engine, states)
        apply(view, *payloads)
        view.save()
        return view

    engine.transact(work, durable=True).committed()


def test_nothing_is_looked_up_twice() -> None:
    engine, states = PlainEngine(), StateCache()
    append(engine, states, PoolOpened(AgentPoolStoreConfig()), sent(1, MessageStatus.ACCEPTED))
    source = engine.look(POOL)
    view = OverlayView(source, states)
    lists = {"members at", "records", "records of messages", "rows", "deadlines"}
    once = [name for name in LOOKS if name not in lists]
    for _ in range(3):
        for name in once:
            LOOKS[name](view)
    assert source.asked.pop("message_by_key") == source.asked.pop("wake") == 4
    assert source.asked.pop("wake_by_key") == 4
    assert set(source.asked.values()) == {1}


def test_an_append_of_a_message_asks_for_no_state() -> None:
    engine, states = PlainEngine(), StateCache()
    append(engine, states, PoolOpened(AgentPoolStoreConfig()))
    append(engine, states, sent(1, MessageStatus.ACCEPTED))
    [source] = engine.sources
    assert source.asked == {"head": 1, "projected": 1, "write": 1}


def test_a_transaction_that_fails_leaves_no_trace_in_the_kept_state() -> None:
    engine, states = PlainEngine(), StateCache()
    append(engine, states, joined("run.1", "topic.1"))
    engine.fails = 1
    with pytest.raises(PlainError):
        append(engine, states, left("run.1"), joined("run.2", "topic.2"))
    assert list(OverlayView(engine.look(POOL), states).state.members) == ["run.1"]


def test_checkpoints_come_when_enough_has_changed_and_are_only_a_short_cut() -> None:
    engine, states = PlainEngine(), StateCache()
    for number in range(200):
        append(engine, states, joined(f"run.{number % 4}", f"topic.{number}"))
        assert (engine.pools[POOL].checkpoint is not None) == (number >= 35)
    source = engine.look(POOL)
    fresh = OverlayView(source, StateCache()).state
    assert fresh.members == OverlayView(engine.look(POOL), states).state.members
    assert engine.pools[POOL].checkpoint
    engine.pools[POOL].checkpoint = Checkpoint(7, b"no state")
    assert OverlayView(engine.look(POOL), StateCache()).state.members == fresh.members


def test_a_log_that_lost_its_end_is_refused() -> None:
    engine, states = PlainEngine(), StateCache()
    append(engine, states, joined("run.1", "topic.1"), joined("run.2", "topic.1"))
    engine.pools[POOL].log.pop()
    with pytest.raises(StoreError, match="ends at record 1, but record 2 was seen"):
        OverlayView(engine.look(POOL), states)


def test_a_cursor_beyond_the_end_is_for_the_engine_to_judge() -> None:
    engine, states = PlainEngine(), StateCache()
    append(engine, states, joined("run.1", "topic.1"))
    source = engine.look(POOL)
    view = OverlayView(source, states)
    assert list(view.records(1, 5)) == []
    assert source.asked["refuse_lost"] == 0
    assert list(view.records(2, 5)) == []
    assert source.asked["refuse_lost"] == 1


def test_a_state_that_was_committed_is_not_read_again() -> None:
    engine, states = PlainEngine(), StateCache()
    for number in range(3):
        append(engine, states, joined(f"run.{number}", "topic.1"))
    [source] = engine.sources
    assert source.asked["checkpoint"] == source.asked["pool_page"] == 0
