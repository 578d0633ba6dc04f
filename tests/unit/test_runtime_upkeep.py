"""Upkeep: all pools at once, only those where something happens, and whatever fails is retried."""

import asyncio
from collections import Counter
from itertools import pairwise
from typing import Final

import pytest
from recording_store import Call, RecordingStore
from virtual_time import settled, virtual_time

from agentpool import AgentPool, EventFilter, InMemoryAgentPoolStore, StoreBusyError, encode
from agentpool.rules.command import Command, Decision, PoolView
from agentpool.rules.consequences import CatchUp
from agentpool.rules.holding import Holding
from agentpool.rules.membership import HoldRun, JoinMember, JoinRun, LeaveMember
from agentpool.rules.pool_opening import OpenPool
from agentpool.rules.rows import LEASE, Lease, deadline
from agentpool.rules.topics import DEADLINES
from agentpool.rules.waits import SuspendUntil
from agentpool.runtime.upkeep import Upkeep
from agentpool.stores.turns import Ending
from agentpool.testing import a_condition, a_member

X, Y, Z = "pool.x", "pool.y", "pool.z"
ALL: Final = (X, Y, Z)
BUSY: Final = "busy"
UPKEEP: Final = {"due", "CatchUp"}
HELD_RUN: Final = Holding(a_member(), "1", "test", 3000)


class LastChance(Command[None]):
    """Let a member be gone after some time: no heartbeat of its is waited for any more."""

    def __init__(self, run_id: str, millis: int) -> None:
        self._run_id, self._millis = run_id, millis

    def decide(self, view: PoolView) -> Decision[None]:
        row = deadline(LEASE, self._run_id, view.now + self._millis)
        lease = encode(Lease(missed=3)).decode()
        return Decision(None, puts=(row._replace(value=lease),))


class Kept:
    """Pools under upkeep, in a store that remembers what that does."""

    def __init__(self) -> None:
        self.store = RecordingStore()
        self.upkeep = Upkeep.of(self.store)
        self.begun = self.store.clock()

    async def open(self, *pool_ids: str) -> None:
        for pool_id in pool_ids:
            await self.store.open_pool(pool_id)
            await self.store.execute(pool_id, CatchUp())
            self.upkeep.add_pool(pool_id)
        await asyncio.sleep(0.1)
        self.forget()

    def forget(self) -> None:
        self.store.calls.clear()
        self.begun = self.store.clock()

    def did(self) -> list[tuple[str, tuple[str, ...]]]:
        """Say what upkeep did since the last time."""
        found = [(call.what, call.about) for call in self.store.calls if call.what in UPKEEP]
        self.forget()
        return found

    def since(self, what: str) -> list[int]:
        """Say how many milliseconds after the last time it did something."""
        return [at - self.begun for at in self.store.times(what)]

    async def owe(self, millis: int, pool_id: str, run_id: str = "run.lost") -> None:
        """Let something be due after some time."""
        await self.store.execute(pool_id, JoinRun(a_member(run_id)))
        await self.store.execute(pool_id, LastChance(run_id, millis))

    async def members(self, pool_id: str) -> list[str]:
        query = super(RecordingStore, self.store).query
        return await query(pool_id, lambda view: sorted(view.state.members))


async def kept(*pool_ids: str) -> Kept:
    made = Kept()
    await made.open(*pool_ids)
    return made


@virtual_time
async def test_nothing_is_asked_of_pools_where_nothing_happens_but_every_half_minute() -> None:
    it = await kept(*ALL)
    await asyncio.sleep(121)
    assert it.store.abouts("due") == [ALL] * 4
    gaps = [b - a for a, b in zip(it.since("due"), it.since("due")[1:], strict=False)]
    assert gaps == [30_000] * 3
    assert it.store.count("CatchUp") == 0
    await it.store.aclose()


@virtual_time
async def test_one_question_asks_of_all_pools_that_were_told_of_and_of_no_others() -> None:
    it = await kept(*ALL)
    for pool_id in (X, Z, X):
        it.store.notify([pool_id])
    await asyncio.sleep(1)
    assert it.did() == [("due", (X, Z))]
    it.store.notify([Y])
    await asyncio.sleep(0.01)
    assert it.did() == [], "what comes just after is to be asked of with it"
    it.store.notify([X])
    await asyncio.sleep(0.1)
    assert it.did() == [("due", (X, Y))]
    await it.store.aclose()


@virtual_time
async def test_a_commit_makes_nobody_ask_before_what_it_tells_of_is_due() -> None:
    it = await kept(*ALL)
    await it.store.join_member(X, a_member())
    await it.owe(3000, Y)
    await it.owe(9000, Y, "run.later")
    it.forget()
    await asyncio.sleep(2.9)
    assert it.did() == []
    await asyncio.sleep(0.2)
    assert it.did() == [("due", (Y,)), ("CatchUp", (Y,)), ("due", (Y,))]
    assert await it.members(Y) == ["run.later"]
    await it.store.aclose()


@virtual_time
async def test_a_time_that_was_told_of_is_looked_at_even_when_a_look_before_finds_nothing() -> None:
    """Others tell of no later one, for they count on that look."""
    it = await kept(X)
    it.store.tail.touch({X: {DEADLINES: it.store.clock() + 2000}})
    it.store.notify([X])
    await asyncio.sleep(1)
    assert it.did() == [("due", (X,))]
    await asyncio.sleep(1.1)
    assert it.did() == [("due", (X,))]
    await it.store.aclose()


@virtual_time
async def test_opening_many_pools_asks_of_them_together() -> None:
    it = Kept()
    for number in range(100):
        await it.store.open_pool(f"pool.{number:03}")
        await it.store.execute(f"pool.{number:03}", CatchUp())
    for number in range(100):
        it.upkeep.add_pool(f"pool.{number:03}")
    it.forget()
    await settled()
    assert it.did() == [("due", tuple(f"pool.{number:03}" for number in range(100)))]
    await it.store.aclose()


@virtual_time
async def test_what_changes_during_a_question_is_asked_of_next() -> None:
    it = await kept(*ALL)

    async def change(call: Call) -> None:
        if call.what == "due" and it.store.count("due") == 1:
            it.store.notify([Y])

    it.store.after = change
    it.store.notify([X])
    await asyncio.sleep(1)
    assert it.did() == [("due", (X,)), ("due", (Y,))]
    await it.store.aclose()


@virtual_time
async def test_what_is_due_is_carried_out_to_the_moment_in_its_pool_only() -> None:
    it = await kept(*ALL)
    await it.owe(3456, X)
    await it.owe(7000, Y)
    it.forget()
    await asyncio.sleep(8)
    assert (await it.members(X), await it.members(Y)) == ([], [])
    assert it.store.abouts("CatchUp") == [(X,), (Y,)]
    assert it.since("CatchUp") == pytest.approx([3456, 7000], abs=1)
    await it.store.aclose()


@virtual_time
async def test_the_later_of_two_deadlines_of_a_pool_is_not_forgotten() -> None:
    it = await kept(X)
    await it.owe(1000, X, "run.1")
    await it.owe(2000, X, "run.2")
    it.forget()
    await asyncio.sleep(2.1)
    assert await it.members(X) == []
    assert it.since("CatchUp") == pytest.approx([1000, 2000], abs=1)
    await it.store.aclose()


@virtual_time
async def test_what_is_due_in_many_pools_is_carried_out_at_once() -> None:
    it = await kept(*ALL)
    for pool_id in ALL:
        await it.owe(1000, pool_id)
    at_once, most = 0, 0

    async def enter(call: Call) -> None:
        nonlocal at_once, most
        if call.what == "CatchUp":
            at_once += 1
            most = max(most, at_once)
            await settled()

    async def leave(call: Call) -> None:
        nonlocal at_once
        at_once -= call.what == "CatchUp"

    it.store.before, it.store.after = enter, leave
    await asyncio.sleep(2)
    assert most == 3
    await it.store.aclose()


@virtual_time
async def test_what_others_appended_is_worked_in_to_the_last() -> None:
    """In pieces: after each of them it is asked what there is left."""
    it = await kept(X)
    store = it.store
    for number in range(2000):
        await InMemoryAgentPoolStore.execute(store, X, JoinRun(a_member(f"run.{number}")))
    pool = store._pools[X]
    await asyncio.sleep(1)
    it.forget()
    pool.projected = 0  # as if another implementation had appended them
    store.notify([X])
    await asyncio.sleep(1)
    assert pool.projected == pool.head
    assert it.store.count("CatchUp") >= 1
    assert it.did()[-1] == ("due", (X,))
    await it.store.aclose()


@virtual_time
async def test_a_pool_at_fault_is_asked_again_soon_and_the_others_are_looked_after(
    caplog: pytest.LogCaptureFixture,
) -> None:
    it = await kept(*ALL)
    await it.owe(3000, Z)
    await asyncio.sleep(0.1)
    it.forget()

    async def fail(call: Call) -> None:
        if call.what == "due" and Y in call.about:
            raise StoreBusyError(BUSY)

    it.store.before = fail
    for pool_id in ALL:
        await it.store.join_member(pool_id, a_member())
    it.store.notify(ALL)
    await asyncio.sleep(1)
    asked = it.store.abouts("due")
    assert asked[:4] == [ALL, (X,), (Y,), (Z,)]
    # The one at fault alone from then on: all of it together, which fails, and then it alone.
    assert set(asked[4:]) == {(Y,)}
    gaps = [b - a for a, b in zip(it.since("due")[2::2], it.since("due")[4::2], strict=False)]
    assert gaps == pytest.approx([200] * len(gaps), abs=2)
    assert len(gaps) >= 3
    await asyncio.sleep(3)
    assert await it.members(Z) == ["run.a"]
    assert [record.message for record in caplog.records] == ["cannot keep up: busy"]
    it.store.before = nothing
    await asyncio.sleep(1)
    it.did()
    await asyncio.sleep(3)
    assert it.did() == []
    it.store.before = fail
    it.store.notify([Y])
    await asyncio.sleep(0.1)
    assert len(caplog.records) == 2, "the same error is told again after it was gone"
    await it.store.aclose()


async def nothing(_call: Call) -> None:
    pass


@virtual_time
async def test_what_cannot_be_carried_out_is_tried_again_and_holds_up_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    it = await kept(*ALL)
    for pool_id in ALL:
        await it.owe(1000, pool_id)
    it.forget()

    async def fail(call: Call) -> None:
        if call == ("CatchUp", (Y,), call.at):
            raise LookupError(BUSY)

    it.store.before = fail
    await asyncio.sleep(2)
    assert (await it.members(X), await it.members(Z)) == ([], [])
    tried = Counter(it.store.abouts("CatchUp"))
    assert (tried[X,], tried[Z,]) == (1, 1)
    assert 4 <= tried[Y,] <= 6
    it.store.before = nothing
    await asyncio.sleep(0.21)
    assert await it.members(Y) == []
    assert [record.message for record in caplog.records] == ["cannot keep up: busy"]
    await it.store.aclose()


@virtual_time
async def test_a_pool_is_looked_after_until_it_was_removed_as_often_as_added() -> None:
    it = await kept(X, Y)
    it.upkeep.add_pool(X)
    await asyncio.sleep(0.1)
    it.forget()
    await it.upkeep.remove_pool(X)
    assert set(it.store.tail.pool_ids) == {X, Y}
    await it.store.join_member(X, a_member())
    it.store.notify([X])
    await asyncio.sleep(0.1)
    assert it.did() == [("due", (X,))]
    await it.owe(1000, X)
    await asyncio.sleep(0.1)
    it.forget()
    await it.upkeep.remove_pool(X)
    assert set(it.store.tail.pool_ids) == {Y}
    await it.store.join_member(X, a_member("run.b"))
    await asyncio.sleep(40)
    assert {call.about for call in it.store.calls if call.what in UPKEEP} == {(Y,)}
    it.upkeep.add_pool(X)
    await asyncio.sleep(0.1)
    assert await it.members(X) == ["run.a", "run.b"], "what fell due meanwhile"
    await it.store.aclose()


@virtual_time
async def test_a_pool_that_is_removed_while_it_is_told_of_or_asked_of_is_let_be() -> None:
    it = await kept(X, Y)
    await it.store.join_member(X, a_member())
    await settled()
    await it.upkeep.remove_pool(X)
    await asyncio.sleep(1)
    assert it.did() == []
    await it.open(X)

    async def remove(call: Call) -> None:
        if call.about == (X,) and X in it.upkeep._pools:
            await it.upkeep.remove_pool(X)

    await it.owe(1000, X)
    it.store.after = remove
    await asyncio.sleep(2)
    assert it.upkeep._deadlines == {}
    await it.store.aclose()


@virtual_time
async def test_with_the_last_pool_the_task_ends_and_with_the_next_there_is_another() -> None:
    before = asyncio.all_tasks()
    it = await kept(X)
    for _ in range(3):
        assert asyncio.all_tasks() - before
        await it.upkeep.remove_pool(X)
        assert not asyncio.all_tasks() - before
        assert not list(it.store.tail.pool_ids)
        it.forget()
        it.upkeep.add_pool(X)
        await settled()
        assert it.did() == [("due", (X,))]
    await it.store.aclose()
    assert not asyncio.all_tasks() - before


@virtual_time
async def test_whoever_comes_while_the_last_pool_is_removed_is_looked_after() -> None:
    it = await kept(X)
    removing = asyncio.create_task(it.upkeep.remove_pool(X))
    await asyncio.sleep(0)
    it.upkeep.add_pool(Y)
    await it.store.open_pool(Y)
    await removing
    await it.store.execute(Y, CatchUp())
    await it.owe(1000, Y)
    await asyncio.sleep(1.1)
    assert await it.members(Y) == []
    await it.store.aclose()


@virtual_time
async def test_upkeep_that_broke_is_begun_anew_with_the_next_pool() -> None:
    it = await kept(X)
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))

    async def fail(call: Call) -> None:
        if call.what == "due":
            raise LookupError(BUSY)

    it.store.before = fail
    it.store.notify([X])
    await asyncio.sleep(1)
    it.store.before = nothing
    it.upkeep.add_pool(Y)
    await it.store.open_pool(Y)
    it.forget()
    await asyncio.sleep(1)
    assert it.did()
    await it.store.aclose()


@virtual_time
async def test_a_store_that_is_closed_ends_upkeep_wherever_it_is() -> None:
    before = asyncio.all_tasks()
    for what in ("rest", "due", "CatchUp", "Heartbeat"):
        it = await kept(X)
        await it.store.execute(X, HoldRun(HELD_RUN))
        it.upkeep.heartbeats.add_holding(X, HELD_RUN, Ending("lost"))
        await it.owe(1000, X)

        async def close(call: Call, what: str = what, it: Kept = it) -> None:
            if call.what == what:
                it.store.before = nothing
                it.store.tail.ending.close()

        it.store.before = close
        if what == "rest":
            it.store.tail.ending.close()
        await asyncio.sleep(60)
        assert not asyncio.all_tasks() - before, what
        await it.store.aclose()


@virtual_time
async def test_there_is_one_upkeep_for_a_store_and_one_for_each() -> None:
    async with RecordingStore() as store, RecordingStore() as other:
        assert Upkeep.of(store) is Upkeep.of(store)
        assert Upkeep.of(store) is not Upkeep.of(other)


@virtual_time
async def test_what_is_wrong_is_told_once_although_something_else_is_wrong_elsewhere(
    caplog: pytest.LogCaptureFixture,
) -> None:
    it = await kept(X, Y)
    await it.owe(1000, X)
    it.store.notify([Y])

    async def fail(call: Call) -> None:
        if call.what == "CatchUp" or (call.what == "due" and Y in call.about):
            raise StoreBusyError(call.what)

    it.store.before = fail
    await asyncio.sleep(3)
    told = Counter(record.message for record in caplog.records)
    assert told == {f"cannot keep up: {what}": 1 for what in UPKEEP}
    await it.store.aclose()


@virtual_time
async def test_a_clock_that_is_ahead_of_the_one_that_decides_makes_nobody_try_all_the_time() -> (
    None
):
    it = await kept(X)
    it.store._pools[X]._clock = lambda: it.store.clock() - 60_000
    it.store.before = lambda _: asyncio.sleep(0.001)
    await it.owe(3000, X)
    await asyncio.sleep(2.9)
    assert 1 <= it.store.count("CatchUp") <= 15
    assert await it.members(X) == ["run.lost"]
    await asyncio.sleep(0.2)
    assert await it.members(X) == []
    await it.store.aclose()


async def append_as_others(it: Kept, count: int, every: float = 0.0) -> None:
    """Append records that are not worked in, one after another."""
    pool = it.store._pools[X]
    for _ in range(count):
        pool.apply(JoinRun(a_member(f"run.{pool.head}")).decide(pool))
        it.store.notify([X])
        await asyncio.sleep(every)


@virtual_time
async def test_a_burst_of_others_is_left_to_settle() -> None:
    it = await kept(X)
    await append_as_others(it, 10, every=0.03)
    assert it.store.count("CatchUp") == 0
    await asyncio.sleep(0.2)
    assert it.store.count("CatchUp") == 1
    assert 300 <= it.since("CatchUp")[0] <= 400
    await it.store.aclose()


@virtual_time
async def test_a_burst_that_does_not_end_is_not_waited_for() -> None:
    it = await kept(X)
    await append_as_others(it, 100, every=0.03)
    caught_up = it.since("CatchUp")
    assert caught_up[0] == pytest.approx(1000, abs=100)
    assert len(caught_up) == 2
    await it.store.aclose()


@virtual_time
async def test_others_that_never_stop_are_answered_once_in_a_second() -> None:
    it = await kept(X)

    async def more(call: Call) -> None:
        if call.what == "due":
            pool = it.store._pools[X]
            pool.apply(JoinRun(a_member(f"run.{pool.head}")).decide(pool))

    it.store.before = more
    await append_as_others(it, 1)
    await asyncio.sleep(5)
    assert it.store.count("CatchUp") == pytest.approx(5, abs=1)
    await it.store.aclose()


@virtual_time
async def test_others_that_go_on_between_two_pieces_are_left_to_settle_again() -> None:
    it = await kept(X)
    await append_as_others(it, 300)
    await asyncio.sleep(0.1)
    pool = it.store._pools[X]
    assert 0 < (pool.projected or 0) < pool.head
    it.forget()
    await append_as_others(it, 10, every=0.03)
    assert it.store.count("CatchUp") <= 1
    await asyncio.sleep(1)
    assert pool.projected == pool.head
    await it.store.aclose()


@virtual_time
async def test_what_is_due_does_not_wait_for_a_burst_to_end() -> None:
    it = await kept(X)
    await it.owe(100, X)
    it.forget()
    await append_as_others(it, 20, every=0.03)
    assert it.since("CatchUp")[0] == pytest.approx(100, abs=25)
    await it.store.aclose()


@virtual_time
async def test_between_two_pieces_others_have_their_turn() -> None:
    it = await kept(X, Y)
    await append_as_others(it, 500)
    for number in range(300):
        await InMemoryAgentPoolStore.execute(
            it.store, Y, JoinRun(a_member(f"run.{number}"), 1000 + number // 300)
        )
    await asyncio.sleep(0.5)
    it.forget()

    async def take_time(call: Call) -> None:
        if call.what == "CatchUp":
            await asyncio.sleep(0.04)

    it.store.before = take_time
    await asyncio.sleep(5)
    assert await it.members(Y) == []
    gaps = [b - a for a, b in zip(it.since("CatchUp"), it.since("CatchUp")[1:], strict=False)]
    assert len(gaps) >= 5
    assert min(gaps) >= 80, "it rests for as long as a piece took"
    await it.store.aclose()


@virtual_time
async def test_opening_does_not_wait_for_all_that_waits_to_be_done() -> None:
    store = RecordingStore()
    for number in range(1000):
        await store.execute(X, OpenPool())
        await store.execute(X, JoinMember(a_member(f"run.{number}")))
    begun = store.clock()

    async def take_time(call: Call) -> None:
        if call.what == "CatchUp":
            await asyncio.sleep(0.3)

    store.before = take_time
    async with AgentPool.open(store, X):
        assert store.clock() - begun <= 1000
        assert store._pools[X].projected != store._pools[X].head
        await asyncio.sleep(10)
        assert store._pools[X].projected == store._pools[X].head
    await store.aclose()


@virtual_time
async def test_records_that_come_of_what_is_done_are_no_burst_of_others() -> None:
    it = await kept(X)
    store = it.store
    await store.execute(X, JoinRun(a_member("run.waits")))
    for number in range(300):
        waits = a_condition(
            f"wake.{number}", run_id="run.waits", filter=EventFilter.run("run.none")
        )
        await store.execute(X, SuspendUntil(waits))
    await asyncio.sleep(1)
    it.forget()
    pool = store._pools[X]
    pool.apply(LeaveMember("run.waits").decide(pool))  # as another implementation does
    store.notify([X])
    await asyncio.sleep(1)
    assert pool.projected == pool.head
    assert not len(pool.state.open_wakes)
    await store.aclose()


@virtual_time
async def test_what_nobody_adds_to_is_worked_in_soon_and_in_longer_pieces() -> None:
    it = await kept(X)
    pool = it.store._pools[X]
    await append_as_others(it, 20_000)
    await asyncio.sleep(1.2)
    left = pool.head - (pool.projected or 0)
    it.forget()
    await asyncio.sleep(3)
    assert pool.projected == pool.head
    pieces = it.since("CatchUp")
    assert len(pieces) <= left / 200 + 5
    assert max(b - a for a, b in pairwise(pieces)) < 20, (
        "its own commits are not what it waits for to settle"
    )
    await it.store.aclose()
