"""Nothing is carried out in a long transaction, and what is done in pieces ends as if in one."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from plain_engine import PlainEngine, PlainError
from samples import condition, envelope, member, message, receipt

from agentpool import (
    AgentPoolStoreCursor,
    EventCursor,
    EventFamily,
    EventFilter,
    InvalidTransitionError,
    MessageResponseContract,
    MessageStatus,
    RunAddress,
    WakeRegistrationStatus,
    include,
)
from agentpool.rules.asking import Asking
from agentpool.rules.command import Command
from agentpool.rules.consequences import PIECE, CatchUp
from agentpool.rules.host_events import Publish
from agentpool.rules.membership import JoinRun, LeaveMember
from agentpool.rules.messages import RecordMessage
from agentpool.rules.pool_opening import OpenPool
from agentpool.rules.replay import PoolState
from agentpool.rules.sending import Send
from agentpool.rules.waits import CancelWake, SuspendUntil
from agentpool.stores.batch.committer import BatchCommitter, Refusal, Request
from agentpool.stores.batch.states import KeptState, StateCache
from agentpool.stores.batch.view import OverlayView
from agentpool.wire.payload import seal
from agentpool.wire.records import (
    AgentPoolStoredMessage,
    AgentPoolStoreRecordPayload,
    MemberJoined,
    RunMessageRecorded,
)

POOL, MANY = "pool.a", 200
"""So many that they take several pieces."""
DELIVERED, TIMED_OUT = MessageStatus.DELIVERED, MessageStatus.TIMED_OUT
OF_POOL, OF_RUNS = (
    EventFilter(families=include(each)) for each in (EventFamily.AGENT_POOL, EventFamily.RUN)
)


class Store:
    """A pool of two runs in an engine, and how much each transaction has written there."""

    def __init__(self) -> None:
        self.engine, self.committer = PlainEngine(), BatchCommitter()
        self.written: list[int] = []
        self.do_all(CatchUp(), OpenPool(), *(JoinRun(member(f"run.{each}")) for each in "ab"))

    def do_all(self, *commands: Command[Any]) -> None:
        """Do many things, as many in one transaction as it takes."""
        requests = [Request(POOL, command) for command in commands]
        while requests:
            outcomes, _ = self.committer.commit(self.engine, requests[:64])
            requests = requests[len(outcomes) :]

    def do(self, command: Command[Any]) -> Any:
        [outcome], _ = self.committer.commit(self.engine, [Request(POOL, command)])
        [source] = self.engine.sources
        self.written.append(source.written)
        if isinstance(outcome, Refusal):
            raise outcome.error
        return outcome

    def finish(self) -> None:
        """Do what there is to do, in as many pieces as that takes, each by another process."""
        while not self.do(CatchUp()).done:
            self.committer = BatchCommitter()

    def append(self, *payloads: AgentPoolStoreRecordPayload) -> None:
        """Append as another implementation does."""
        log = self.engine.pools[POOL].log
        for payload in payloads:
            sealed = seal(payload)
            log.append((len(log) + 1, sealed.kind, sealed.payload_json.encode()))

    def look(self) -> OverlayView:
        return OverlayView(self.engine.look(POOL), StateCache())

    def kinds(self) -> Counter[str]:
        return Counter(kind for _, kind, _ in self.engine.pools[POOL].log)

    def wakes(self) -> Counter[str]:
        view = self.look()
        found = (view.wake(f"wake.{number}") for number in range(MANY))
        return Counter(str(each.stored.registration.status) for each in found if each)

    def rows(self, kind: str) -> int:
        return sum(key.kind == kind for key in self.engine.pools[POOL].rows)


def delivered(number: object, **fields: Any) -> RunMessageRecorded:
    sent = message(f"msg.{number}", **fields)
    return RunMessageRecorded(
        AgentPoolStoredMessage(sent, receipt(sent.message_id, DELIVERED, delivered_to=("run.b",)))
    )


def suspend(number: int, wanted: EventFilter = OF_RUNS, **fields: Any) -> SuspendUntil:
    """Wait for what comes from now on."""
    waits = condition(f"wake.{number}", filter=wanted, **fields)
    return SuspendUntil(waits, AgentPoolStoreCursor(10**9))


def owe_expiries(store: Store) -> None:
    store.do_all(
        *(Send(message(f"msg.{number}", expires_at_millis=1000)) for number in range(MANY))
    )
    store.engine.now = 1000


def owe_timeouts(store: Store) -> None:
    store.do_all(*(suspend(number, timeout_millis=1000) for number in range(MANY)))
    store.engine.now = 1000


def leave(store: Store) -> None:
    store.do_all(*map(suspend, range(MANY)))
    store.do(LeaveMember("run.a"))


def publish(store: Store) -> None:
    store.do_all(*map(suspend, range(MANY)))
    store.do(Publish(envelope()))


def match_a_record(store: Store) -> None:
    store.do_all(*(suspend(number, OF_POOL) for number in range(MANY)))
    store.do(Send(message("msg.match")))


def append_as_others(store: Store) -> None:
    store.append(*(delivered(number) for number in range(MANY)))


def is_expired(store: Store) -> bool:
    return store.kinds()["run_message"] == 3 * MANY and store.rows("deadline") == 0


WORK: dict[str, tuple[Callable[[Store], None], Callable[[Store], bool]]] = {
    "expiries": (owe_expiries, is_expired),
    "timeouts": (owe_timeouts, lambda store: store.wakes() == {"timed_out": MANY}),
    "waits of who leaves": (leave, lambda store: store.wakes() == {"failed": MANY}),
    "waits for an event": (publish, lambda store: store.wakes() == {"triggered": MANY}),
    "waits for a record": (match_a_record, lambda store: store.wakes() == {"triggered": MANY}),
    "records of others": (append_as_others, lambda store: store.rows("inbox") == MANY),
}


@pytest.fixture(params=[*WORK])
def work(request: pytest.FixtureRequest) -> tuple[Store, Callable[[Store], bool]]:
    """Make a store where much waits to be done, and how to see that it is done."""
    prepare, is_done = WORK[request.param]
    store = Store()
    prepare(store)
    return store, is_done


def test_much_is_done_in_many_short_transactions(
    work: tuple[Store, Callable[[Store], bool]],
) -> None:
    store, is_done = work
    assert not is_done(store)
    store.finish()
    assert is_done(store)
    assert max(store.written) <= PIECE
    log = len(store.engine.pools[POOL].log)
    store.finish()
    assert len(store.engine.pools[POOL].log) == log


def test_no_command_does_much_of_it_first(work: tuple[Store, Callable[[Store], bool]]) -> None:
    store, is_done = work
    store.do(Send(message("msg.mine", sender="run.b")))
    assert not is_done(store)
    assert store.written[-1] <= PIECE
    store.finish()
    known = store.look().message_by_key("key.msg.mine")
    assert known is not None
    assert known.stored.receipt.status is DELIVERED


def test_killed_in_the_middle_it_goes_on_where_it_was(
    work: tuple[Store, Callable[[Store], bool]],
) -> None:
    store, is_done = work
    for _ in range(3):
        store.engine.fails = 1
        with pytest.raises(PlainError):
            store.do(CatchUp())
        store.committer = BatchCommitter()
        store.do(CatchUp())
    store.finish()
    assert is_done(store)


# --- what is late, though nobody has carried out its end


def late(store: Store, *commands: Command[Any]) -> None:
    """Do things at a time at which many ends stand before those that matter."""
    store.do_all(
        *(Send(message(f"msg.early.{number}", expires_at_millis=900)) for number in range(MANY))
    )
    store.engine.now = 1000
    for command in commands:
        store.do(command)


@pytest.mark.parametrize(
    "event", [Publish(envelope()), Send(message("msg.event", sender="run.b"))], ids=["host", "log"]
)
def test_a_wait_whose_time_is_up_is_not_ended_by_a_later_event(event: Command[Any]) -> None:
    store = Store()
    store.do(suspend(0, OF_RUNS if isinstance(event, Publish) else OF_POOL, timeout_millis=1000))
    assert store.wakes() == {"registered": 1}
    store.engine.now = 1000
    store.do(event)
    store.finish()
    assert store.wakes() == {"timed_out": 1}


def test_a_wait_whose_time_is_up_cannot_be_cancelled() -> None:
    store = Store()
    store.do(suspend(0, timeout_millis=1000))
    late(store)
    with pytest.raises(InvalidTransitionError, match="timed_out"):
        store.do(CancelWake("wake.0"))
    assert store.wakes() == {"timed_out": 1}
    assert store.do(suspend(0, timeout_millis=1000)).status is WakeRegistrationStatus.TIMED_OUT


def test_an_answer_that_comes_too_late_is_none() -> None:
    store = Store()
    question = message("msg.q", response_contract=MessageResponseContract(1, 1000))
    store.do(Send(question, asking=Asking(late_to_inbox=True)))
    answer = message("msg.r", sender="run.b", to=RunAddress.run("run.a"), reply_to="msg.q")
    late(store, Send(answer))
    assert store.do(Send(question)).status is TIMED_OUT
    store.finish()
    assert store.look().next_due("run.a") == 0, "it is in the inbox"


def test_a_retry_is_told_what_has_become_of_it() -> None:
    store = Store()
    question = message("msg.q", response_contract=MessageResponseContract(1, 1000))
    store.do(Send(question))
    late(store)
    assert store.do(Send(question)).status is TIMED_OUT


def test_an_event_before_its_end_ends_a_wait_though_it_is_worked_in_after_it() -> None:
    store = Store()
    store.do(suspend(0, OF_POOL, timeout_millis=1000))
    append_as_others(store)
    store.engine.now = 1000
    store.finish()
    assert store.wakes() == {"triggered": 1}


def test_time_runs_from_the_registration_though_it_is_worked_in_later() -> None:
    store = Store()
    append_as_others(store)
    store.do(suspend(0, timeout_millis=1000))
    store.do(Send(message("msg.q", response_contract=MessageResponseContract(1, 1000))))
    store.engine.now = 999
    store.finish()
    assert store.wakes() == {"registered": 1}
    store.engine.now = 1000
    store.finish()
    assert store.wakes() == {"timed_out": 1}
    known = store.look().message_by_key("key.msg.q")
    assert known is not None
    assert known.stored.receipt.status is TIMED_OUT


def test_who_joins_again_while_its_waits_fail_waits_anew() -> None:
    store = Store()
    store.do_all(*map(suspend, range(1, MANY)))
    store.do(LeaveMember("run.a"))
    store.do(JoinRun(member("run.a"), 5000))
    store.do(suspend(0))
    store.finish()
    assert store.wakes() == {"registered": 1, "failed": MANY - 1}
    assert store.look().next_deadline() == 3334, "two thirds of its new lease"


def test_a_wait_that_begins_after_an_event_is_not_ended_by_it() -> None:
    store = Store()
    store.do_all(*map(suspend, range(1, MANY)))
    store.do(Publish(envelope()))
    head = store.look().head
    from_here = condition("wake.0", filter=OF_RUNS)
    store.do(SuspendUntil(from_here, EventCursor(head, 1)))
    store.finish()
    assert store.wakes() == {"registered": 1, "triggered": MANY - 1}


# --- what other implementations leave


def test_what_stays_accepted_for_long_is_delivered() -> None:
    store = Store()
    accepted = receipt("msg.1", MessageStatus.ACCEPTED)
    store.do(RecordMessage(message("msg.1"), accepted))
    store.engine.now = 4999
    store.finish()
    assert store.rows("inbox") == 0
    store.engine.now = 5000
    store.finish()
    known = store.look().message_by_key("key.msg.1")
    assert known is not None
    assert (known.stored.receipt.status, known.stored.receipt.delivered_to) == (
        DELIVERED,
        ("run.b",),
    )
    assert store.rows("inbox") == 1
    assert store.rows("deadline") == 0


def test_what_is_delivered_soon_is_not_delivered_again() -> None:
    store = Store()
    accepted = receipt("msg.1", MessageStatus.ACCEPTED)
    store.do(RecordMessage(message("msg.1"), accepted))
    store.append(delivered(1))
    store.engine.now = 5000
    store.finish()
    assert store.rows("inbox") == 1
    assert store.kinds()["run_message"] == 2
    assert store.rows("deadline") == 0


# --- the state of a pool


def test_a_large_state_is_read_before_others_are_locked_out() -> None:
    store = Store()
    store.do_all(*map(suspend, range(600)))
    store.committer = BatchCommitter()
    store.engine.durable.clear()
    store.engine.reads = 0
    assert store.do(LeaveMember("run.b")) is not None
    assert store.engine.reads == 1
    assert len(store.engine.durable) == 2, "the one that met it, and the one that knows it"
    [source] = store.engine.sources
    assert source.asked["checkpoint"] == 0
    store.do(LeaveMember("run.a"))
    assert store.engine.reads == 1


@pytest.mark.parametrize(("size", "is_kept"), [(1000, True), (1001, False)])
def test_a_state_that_would_take_long_to_write_down_is_not(size: int, is_kept: bool) -> None:
    kept = KeptState(PoolState(POOL))
    for number in range(size):
        kept.state.apply(number + 1, MemberJoined(member(f"run.{number}")))
    assert kept.checkpoint(31 + size) is None
    assert (kept.checkpoint(1) is not None) == is_kept
