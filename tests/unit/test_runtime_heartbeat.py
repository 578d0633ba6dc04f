"""Heartbeats: in time, for all that is held; what fails is tried again and stops nothing else."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest
from recording_store import Call, RecordingStore
from virtual_time import loop_clock, settled, virtual_time

from agentpool import RunAddress, StoreBusyError
from agentpool.rules.claiming import ClaimNext
from agentpool.rules.claims import Acknowledge, Claim
from agentpool.rules.consequences import CatchUp
from agentpool.rules.holding import Holding
from agentpool.rules.membership import HoldRun, JoinRun, LeaveMember
from agentpool.rules.rows import LEASE, deadline_key
from agentpool.rules.sending import Send
from agentpool.runtime.heartbeat import Heartbeats
from agentpool.stores.turns import Ending
from agentpool.support.clock import Clock
from agentpool.testing import a_member, a_message
from agentpool.testing.conformance.pool_kit import ManualClock

X, Y = "pool.x", "pool.y"
BUSY: Final = "busy"
BEATS: Final = {"Heartbeat", "RenewClaims"}
SECONDS: Final = 30


class Delivered:
    """A claim that somebody holds."""

    def __init__(self, claim: Claim, lease: int) -> None:
        self.claim = claim
        self.lease = lease
        self.limit: int | None = None


class Beating:
    """The heartbeats of a store that remembers them."""

    def __init__(self, store: RecordingStore) -> None:
        self.store = store
        self.beats = Heartbeats(store)
        self.held: dict[tuple[str, str], Holding] = {}
        self._sent = 0

    async def open(self) -> None:
        for pool_id in (X, Y):
            await self.store.open_pool(pool_id)
            await self.store.execute(pool_id, CatchUp())

    async def join(self, millis: int, pool_id: str = X, run_id: str = "run.a") -> None:
        """Let a run join under a lease that is renewed."""
        held = Holding(a_member(run_id), "1", "test", millis)
        await self.store.execute(pool_id, HoldRun(held))
        self.beats.add_holding(pool_id, held, Ending("lost"))
        self.held[pool_id, run_id] = held

    async def claim(self, millis: int, pool_id: str = X) -> Delivered:
        """Send a message and claim it; the claim is renewed."""
        for run_id in ("run.s", "run.t"):
            await self.store.execute(pool_id, JoinRun(a_member(run_id)))
        self._sent += 1
        message = a_message(f"m.{self._sent}", sender="run.s", to=RunAddress.run("run.t"))
        await self.store.execute(pool_id, Send(message))
        claim = await self.store.execute(pool_id, ClaimNext("run.t", "test", millis))
        assert claim is not None
        delivered = Delivered(claim, millis)
        self.beats.add_delivery(pool_id, delivered)
        return delivered

    async def end_of(self, kind: str, name: str, pool_id: str = X) -> int | None:
        query = super(RecordingStore, self.store).query
        row = await query(pool_id, lambda view: view.row(deadline_key(kind, name)))
        return None if row is None else row.due_at

    def since(self, begun: float) -> list[tuple[str, str, float]]:
        """Say which beats there were, and how many seconds after a time."""
        beats = [call for call in self.store.calls if call.what in BEATS]
        self.store.calls.clear()
        return [(call.what, *call.about, round(call.at / 1000 - begun, 1)) for call in beats]  # type: ignore[misc]


@asynccontextmanager
async def beating(clock: Clock = loop_clock) -> AsyncIterator[Beating]:
    async with RecordingStore(clock=clock) as store:
        made = Beating(store)
        await made.open()
        task = store.spawn(made.beats.run())
        await settled()
        yield made
        task.cancel()
        await asyncio.wait([task])


def now() -> float:
    return asyncio.get_running_loop().time()


def times(beats: list[tuple[str, str, float]], what: str = "Heartbeat") -> list[float]:
    return [at for kind, _, at in beats if kind == what]


@virtual_time
async def test_whatever_is_held_is_renewed_three_times_in_its_lease() -> None:
    async with beating() as it:
        begun = now()
        await it.join(SECONDS * 1000)
        await asyncio.sleep(51)
        assert times(it.since(begun)) == [10, 20, 30, 40, 50]
        assert await it.end_of(LEASE, "run.a") == round((begun + 50 + SECONDS * 2 / 3) * 1000)
    async with beating() as it:
        begun = now()
        kept = await it.claim(600)
        await asyncio.sleep(1.1)
        assert times(it.since(begun), "RenewClaims") == [0.2, 0.4, 0.6, 0.8, 1.0]
        await it.store.execute(X, Acknowledge(kept.claim))


@virtual_time
async def test_everything_is_renewed_together_in_the_time_of_the_shortest() -> None:
    async with beating() as it:
        await it.join(9000)
        await it.join(30_000, X, "run.b")
        await it.join(30_000, Y)
        kept = await it.claim(20_000, Y)
        begun = now()
        await asyncio.sleep(3.1)
        assert sorted(it.since(begun)) == [
            ("Heartbeat", X, 3.0),
            ("Heartbeat", Y, 3.0),
            ("RenewClaims", Y, 3.0),
        ]
        assert await it.end_of(LEASE, "run.b") == round((begun + 23) * 1000)
        await it.store.execute(Y, Acknowledge(kept.claim))


@virtual_time
async def test_renewals_do_not_wait_for_each_other() -> None:
    async with beating() as it:
        await it.join(3000, X)
        await it.join(3000, Y)
        kept = await it.claim(3000, X)
        under_way, most = 0, 0

        async def hold_up(call: Call) -> None:
            nonlocal under_way, most
            if call.what in BEATS:
                under_way += 1
                most = max(most, under_way)
                await settled()
                under_way -= 1

        it.store.before = hold_up
        await asyncio.sleep(1.1)
        assert most == 3
        it.beats.remove_delivery(X, kept)


@virtual_time
async def test_what_is_added_last_and_runs_out_first_is_renewed_in_time() -> None:
    async with beating() as it:
        await it.join(60_000)
        await asyncio.sleep(1)
        begun = now()
        await it.join(300, X, "run.b")
        await asyncio.sleep(0.35)
        assert times(it.since(begun)) == [0.1, 0.2, 0.3]
        await it.join(60_000, X, "run.c")
        await asyncio.sleep(0.1)
        assert times(it.since(begun)) == [0.4], "what runs out later changes nothing"


@virtual_time
async def test_what_was_added_before_the_beats_began_is_renewed() -> None:
    async with RecordingStore() as store:
        it = Beating(store)
        await it.open()
        begun = now()
        await it.join(3000)
        task = store.spawn(it.beats.run())
        await asyncio.sleep(1.1)
        assert times(it.since(begun)) == [1]
        task.cancel()
        await asyncio.wait([task])


@virtual_time
async def test_without_anything_to_renew_nothing_is_written() -> None:
    async with beating() as it:
        await it.join(3000)
        kept = await it.claim(3000)
        it.beats.remove_holding(X, it.held[X, "run.a"])
        it.beats.remove_holding(Y, it.held[X, "run.a"])
        it.beats.remove_delivery(X, kept)
        it.beats.remove_delivery(X, kept)
        it.since(0)
        await asyncio.sleep(100)
        assert it.since(0) == []
        begun = now()
        await it.join(3000, X, "run.b")
        await asyncio.sleep(1.1)
        assert times(it.since(begun)) == [1]


@virtual_time
async def test_a_claim_is_renewed_for_as_long_as_somebody_holds_its_delivery() -> None:
    async with beating() as it:
        kept = await it.claim(3000)
        begun = now()
        await asyncio.sleep(1.1)
        assert times(it.since(begun), "RenewClaims") == [1]
        del kept
        gc.collect()
        await asyncio.sleep(10)
        assert it.since(begun) == []


@virtual_time
async def test_a_lease_that_was_lost_is_told_of_and_renewed_no_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with beating() as it:
        await it.join(3000, X, "run.lost")
        await it.join(3000)
        await it.store.execute(X, LeaveMember("run.lost"))
        begun = now()
        await asyncio.sleep(3.1)
        assert times(it.since(begun)) == [1, 2, 3]
        [told] = caplog.records
        assert "run 'run.lost' is not held by this block any more: it was let go" in told.message
        assert set(it.beats._held) == {(X, it.held[X, "run.a"])}


@virtual_time
async def test_a_claim_that_was_lost_is_renewed_no_more() -> None:
    async with beating() as it:
        lost, kept = await it.claim(3000), await it.claim(3000)
        await it.store.execute(X, Acknowledge(lost.claim))
        await asyncio.sleep(1.1)
        assert [claim for _, claim in it.beats._deliveries] == [kept.claim]
        await it.store.execute(X, Acknowledge(kept.claim))
        await asyncio.sleep(1)
        it.since(0)
        await asyncio.sleep(10)
        assert it.since(0) == []


@virtual_time
async def test_a_pool_that_fails_is_tried_again_soon_and_keeps_no_other_from_being_renewed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with beating() as it:
        await it.join(30_000, X)
        await it.join(30_000, Y)
        begun = now()

        async def fail(call: Call) -> None:
            if call.what == "Heartbeat" and call.about == (X,):
                raise StoreBusyError(BUSY)

        it.store.before = fail
        await asyncio.sleep(11.1)
        beats = it.since(begun)
        of_x = [at for _, pool_id, at in beats if pool_id == X]
        assert of_x == pytest.approx([10, 10.2, 10.4, 10.6, 10.8, 11.0])
        assert await it.end_of(LEASE, "run.a", Y) == round((begun + 11 + 20) * 1000)
        assert [record.message for record in caplog.records] == ["cannot renew: busy"]
        it.store.before = nothing
        await asyncio.sleep(0.2)
        assert await it.end_of(LEASE, "run.a", X) == round((begun + 11.2 + 20) * 1000)
        it.since(begun)
        await asyncio.sleep(10)
        assert times(it.since(begun)) == pytest.approx([21.2] * 2), "the haste is over"
        it.store.before = fail
        await asyncio.sleep(10.1)
        told = [record.message for record in caplog.records]
        assert told == ["cannot renew: busy"] * 2, "the same error is told again after it was gone"


async def nothing(_call: Call) -> None:
    pass


@virtual_time
async def test_a_member_outlives_errors_that_end_within_its_lease() -> None:
    async with beating() as it:
        await it.join(900)

        async def fail(call: Call) -> None:
            if call.what == "Heartbeat":
                raise StoreBusyError(BUSY)

        it.store.before = fail
        await asyncio.sleep(0.65)
        it.store.before = nothing
        await asyncio.sleep(1)
        await it.store.execute(X, CatchUp())
        end = await it.end_of(LEASE, "run.a")
        assert end is not None
        assert end > it.store.clock()


@virtual_time
async def test_a_clock_that_jumps_is_noticed_within_five_seconds() -> None:
    """As after the machine slept: what is left of the leases is renewed soon."""
    clock = ManualClock()
    async with beating(clock) as it:
        await it.join(30_000)
        await asyncio.sleep(7)
        clock.advance(20_000)
        await asyncio.sleep(5)
        assert it.store.count("Heartbeat") == 1
        assert await it.end_of(LEASE, "run.a") == clock() + 20_000


@virtual_time
async def test_a_beat_that_takes_long_does_not_put_off_the_next() -> None:
    async with beating() as it:
        await it.join(3000)
        begun = now()

        async def slow(call: Call) -> None:
            if call.what == "Heartbeat":
                await asyncio.sleep(0.9)

        it.store.before = slow
        await asyncio.sleep(4.5)
        assert times(it.since(begun)) == [1, 2, 3, 4]


@virtual_time
async def test_beats_end_with_their_store_even_in_the_middle_of_one() -> None:
    async with RecordingStore() as store:
        it = Beating(store)
        await it.open()
        await it.join(3000)
        task = store.spawn(it.beats.run())

        async def close(call: Call) -> None:
            if call.what == "Heartbeat":
                store.tail.ending.close()

        store.before = close
        await asyncio.sleep(1.1)
        assert task.done()
        assert task.exception() is None


@virtual_time
async def test_nobody_is_asked_what_there_is_to_renew() -> None:
    """A question may have to wait behind a long one; a lease must not."""
    async with beating() as it:
        await it.join(3000)
        it.store.calls.clear()
        await asyncio.sleep(10)
        assert {call.what for call in it.store.calls} == {"Heartbeat"}
