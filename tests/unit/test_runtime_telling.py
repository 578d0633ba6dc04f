"""What the log of the program is told: a stable `action`, and the fields that go with it."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import pytest
from coordination.helpers import Clock
from recording_store import Call, RecordingStore

from agentpool import (
    AgentPool,
    Draft,
    EventFilter,
    InMemoryAgentPoolStore,
    MembershipLostError,
    RunAddress,
    StoreBusyError,
    include,
)
from agentpool.rules.command import RowKey
from agentpool.rules.deadlines import CarryOutDue
from agentpool.runtime import telling
from agentpool.support.clock import wall_clock
from agentpool.support.process import process_name
from agentpool.testing import a_member

POOL: Final = "pool.told"
GUIDE: Final = Path(__file__).parents[2] / "examples/guides/tracing.md"
A: Final = "run.a"
TO_A: Final = RunAddress.run(A)

Told = dict[str, Any]


class Log:
    """What was told, by its fields."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def listen(self, level: int) -> None:
        self._caplog.set_level(level, "agentpool")

    async def until(self, action: str, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Wait until something is told of."""
        async with asyncio.timeout(60):
            while not self.told(action):
                meanwhile()
                await asyncio.sleep(0.01)

    def told(self, *actions: str) -> list[Told]:
        """List what was told of these actions, in order; each says of which pool."""
        own = {*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"}
        found = [
            {name: value for name, value in record.__dict__.items() if name not in own}
            for record in self._caplog.records
            if record.name == "agentpool" and getattr(record, "action", None) in actions
        ]
        assert all(each.pop("pool_id") == POOL for each in found)
        return found


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    log = Log(caplog)
    log.listen(logging.DEBUG)
    return log


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def pool(clock: Clock) -> AsyncIterator[AgentPool]:
    async with (
        InMemoryAgentPoolStore(clock=clock) as store,
        AgentPool.open(store, POOL) as pool,
    ):
        yield pool


async def test_who_comes_and_goes(pool: AgentPool, log: Log) -> None:
    async with pool.member(a_member(A)):
        pass
    await pool.join_run(a_member("run.b"))
    await pool.join_run(a_member("run.b"))  # which changes nothing
    await pool.leave_run("run.b")
    b = {"run_id": "run.b", "agent_id": a_member("run.b").agent_id}
    a = {"run_id": A, "agent_id": a_member(A).agent_id}
    assert log.told("joined", "left", "taken_over") == [
        {"action": "joined", **a},
        {"action": "left", **a, "deadline": None},
        {"action": "joined", **b},
        {"action": "left", **b, "deadline": None},
    ]


async def test_a_run_that_is_taken_over(pool: AgentPool, log: Log) -> None:
    async with pool.member(a_member(A)) as former:
        async with pool.member(a_member(A)):
            assert log.told("taken_over") == [
                {"action": "taken_over", "run_id": A, "former": process_name()}
            ]
            with pytest.raises(MembershipLostError):
                await former.send(TO_A, "still here?")
        assert log.told("membership_lost") == [{"action": "membership_lost", "run_id": A}]


async def test_a_run_whose_lease_runs_out(pool: AgentPool, clock: Clock, log: Log) -> None:
    async with pool.member(a_member(A), rejoin=False):

        def look_later() -> None:  # before it is gone, a lease is given time, and again
            clock.advance(10_000)
            pool.store.notify([POOL])

        await log.until("left", look_later)
        [left] = log.told("left")
        assert (left["run_id"], left["deadline"]) == (A, "lease")
        assert log.told("deadline_carried_out") == []  # that is said already


async def test_what_becomes_of_a_message(pool: AgentPool, log: Log) -> None:
    async with pool.member(a_member(A), max_attempts=2) as me:
        await me.send(TO_A, "work", message_id="message.1", idempotency_key="key.1")
        first = await me.inbox.take()
        await first.nack(delay=0)
        second = await me.inbox.take()
        await second.nack(delay=0)
        await me.send_many([Draft(TO_A, "more", message_id="message.2")])
        third = await me.inbox.take()
        await me.inbox.ack(third.token)
        await me.send(TO_A, "last", message_id="message.3")
        fourth = await me.inbox.take()
    seq, other, last = first.claim.seq, third.claim.seq, fourth.claim.seq

    def about(action: str, seq: int, attempt: int, **more: str) -> Told:
        return {"action": action, "run_id": A, "seq": seq, "attempt": attempt, **more}

    def sent(message_id: str) -> Told:
        return {"action": "sent", "run_id": A, "message_id": message_id, "status": "delivered"}

    assert log.told("sent", "claimed", "done", "returned", "dead") == [
        sent("message.1"),
        about("claimed", seq, 1, message_id="message.1"),
        about("returned", seq, 1),
        about("claimed", seq, 2, message_id="message.1"),
        about("dead", seq, 2),
        about("returned", seq, 2),
        sent("message.2"),
        about("claimed", other, 1, message_id="message.2"),
        about("done", other, 1),
        sent("message.3"),
        about("claimed", last, 1, message_id="message.3"),
        about("returned", last, 1),
    ]


async def test_a_message_whose_last_attempt_died_is_told_of_by_who_comes_upon_it(
    pool: AgentPool, clock: Clock, log: Log
) -> None:
    await pool.join_run(a_member(A))
    me = pool.acting_as(a_member(A), max_attempts=1)
    await me.send(TO_A, "work")
    delivery = await me.inbox.take()
    me.inbox.forget(delivery)
    clock.advance(60_000)
    assert await me.inbox.take(timeout=0) is None
    about = {"run_id": A, "seq": delivery.claim.seq, "attempt": 1}
    assert log.told("dead") == [{"action": "dead", **about}]


@pytest.mark.parametrize("by_upkeep", [True, False])
async def test_a_deadline_is_told_of_once_whoever_carries_it_out(
    pool: AgentPool, clock: Clock, log: Log, by_upkeep: bool
) -> None:
    async with pool.member(a_member(A), lease=None) as me:
        await me.send(TO_A, "soon", idempotency_key="key.soon", expires_in=30)
        clock.advance(31_000)
        if not by_upkeep:
            await me.send(TO_A, "another")
        pool.store.notify([POOL])
        await log.until("deadline_carried_out")
    assert log.told("deadline_carried_out") == [
        {"action": "deadline_carried_out", "deadline": "expiry", "subject": "key.soon"}
    ]


async def test_a_wait_that_times_out_is_told_of(pool: AgentPool, log: Log) -> None:
    async with pool.member(a_member(A)) as me:
        never = EventFilter(run_ids=include("run.nobody"))
        outcome = await me.wait_until(never, timeout=0.01)
    wake = outcome.registration.condition_id
    assert log.told("deadline_carried_out") == [
        {"action": "deadline_carried_out", "deadline": "wake", "subject": wake}
    ]


async def test_a_call_that_waits_for_long_is_told_of(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "_LONG_SECONDS", -1.0)
    async with RecordingStore(clock=wall_clock) as store, AgentPool.open(store, POOL) as pool:

        async def refuse(call: Call) -> None:
            if call.what == "JoinRun":
                msg = "the file is busy"
                raise StoreBusyError(msg)

        store.before = refuse
        with pytest.raises(StoreBusyError):
            await pool.join_run(a_member(A))
    told = [each for each in log.told("busy") if each["command"] == "JoinRun"]
    assert [sorted(each) for each in told] == [["action", "command", "seconds"]]
    assert told[0]["seconds"] >= 0


async def test_at_info_nothing_is_told_of_each_message(pool: AgentPool, log: Log) -> None:
    log.listen(logging.INFO)
    async with pool.member(a_member(A)) as me:
        await me.send(TO_A, "work")
        async with await me.inbox.take():
            pass
    assert log.told("sent", "claimed", "done", "returned") == []
    assert [each["action"] for each in log.told("joined", "left")] == ["joined", "left"]


async def test_where_nobody_listens_nothing_stands_between(
    pool: AgentPool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING, "agentpool")
    executed = asyncio.get_running_loop().create_future()
    with monkeypatch.context() as patched:
        patched.setattr(pool.store, "execute", lambda *_: executed)
        command = CarryOutDue(RowKey("deadline", "expiry key.none"))
        assert telling.told(pool.store, POOL, command) is executed


def test_every_action_is_in_the_table_and_that_in_the_guide() -> None:
    rows = re.findall(r"^\| ``.*", str(telling.__doc__), re.MULTILINE)[1:]
    told = "joined left taken_over dead deadline_carried_out busy sent claimed done returned"
    assert [re.findall(r"\w+", row)[0] for row in rows] == told.split()
    guide = GUIDE.read_text("utf-8")
    assert all(row.replace("``", "`") in guide for row in rows)
