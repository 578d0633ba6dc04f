"""Who waits for a deadline carries it out, where whoever does that for all has not come to it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from agentpool import (
    AgentPool,
    AskOutcome,
    EventFilter,
    InMemoryAgentPoolStore,
    MemberHandle,
    NoAnswerError,
    RunAddress,
    WakeRegistrationStatus,
    include,
)
from agentpool.rules.deadlines import CarryOutDue
from agentpool.rules.membership import JoinRun
from agentpool.rules.rows import WAKE, deadline_key
from agentpool.runtime.upkeep import Upkeep
from agentpool.support.clock import wall_clock
from agentpool.testing import a_condition, a_member

POOL = "pool.test"
NOBODY = EventFilter(run_ids=include("run.nobody"))
BOUND = 60.0


class StoppedClock:
    """The machine's clock, but while it is stopped."""

    def __init__(self) -> None:
        self._stopped_at: int | None = None

    def __call__(self) -> int:
        return wall_clock() if self._stopped_at is None else self._stopped_at

    elapsed = __call__

    @contextmanager
    def stopped(self) -> Iterator[None]:
        self._stopped_at = wall_clock()
        yield
        self._stopped_at = None


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
async def pool(clock: StoppedClock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AgentPool]:
    """Open a pool whose upkeep is behind, for ever."""

    async def nothing(_: Upkeep) -> None:
        pass

    monkeypatch.setattr(Upkeep, "_step", nothing)
    async with (
        InMemoryAgentPoolStore(clock=clock) as store,
        AgentPool.open(store, POOL) as pool,
        asyncio.timeout(BOUND),
    ):
        yield pool


@pytest.fixture
async def me(pool: AgentPool) -> AsyncIterator[MemberHandle]:
    """Be a member, beside one who never answers."""
    async with pool.member(a_member()) as me, pool.member(a_member("run.silent")):
        yield me


async def test_a_wait_ends_in_time(me: MemberHandle) -> None:
    outcome = await me.wait_until(NOBODY, timeout=0.01)
    assert outcome.registration.status is WakeRegistrationStatus.TIMED_OUT


async def test_a_question_ends_in_time(me: MemberHandle) -> None:
    answers = await me.ask(RunAddress.run("run.silent"), "hello?", timeout=0.01)
    assert answers.outcome is AskOutcome.TIMED_OUT


async def test_so_does_one_whose_answers_come_one_by_one(me: MemberHandle) -> None:
    to = RunAddress.run("run.silent")
    assert [each async for each in me.ask_each(to, "hello?", timeout=0.01)] == []
    with pytest.raises(NoAnswerError):
        await me.ask_one(to, "hello?", timeout=0.01)


async def test_what_is_not_due_yet_is_left_alone(pool: AgentPool, me: MemberHandle) -> None:
    registration = await pool.suspend_until(
        me.run_id, a_condition(filter=NOBODY, timeout_millis=10**6)
    )
    await pool.store.execute(POOL, CarryOutDue(deadline_key(WAKE, registration.condition_id)))
    found = await pool.poll_wake(registration.condition_id)
    assert found.status is WakeRegistrationStatus.REGISTERED


async def test_what_others_appended_before_comes_first(
    pool: AgentPool, me: MemberHandle, clock: StoppedClock
) -> None:
    """It may hold what ends the wait, which came in time, however much there is of it."""
    wanted = EventFilter(run_ids=include("run.500"))
    appended = pool.store._pools[POOL]  # type: ignore[attr-defined]
    with clock.stopped():
        waiting = asyncio.create_task(me.wait_until(wanted, timeout=0.2))
        while not len(appended.state.open_wakes):  # noqa: ASYNC110  # the pool tells nobody
            await asyncio.sleep(0)
        for number in range(501):
            appended.apply(JoinRun(a_member(f"run.{number}")).decide(appended))
    assert (await waiting).triggered
