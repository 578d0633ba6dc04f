"""A subscription that catches up lets others go first, and makes no event that nobody wants."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, TypeVar

import pytest
from samples import envelope
from virtual_time import settled

from agentpool import (
    AgentPool,
    AgentPoolStoreCursor,
    EventFilter,
    EventKind,
    InMemoryAgentPoolStore,
    RunAddress,
    include,
)
from agentpool.rules import history, record_events
from agentpool.rules.command import PoolView
from agentpool.stores import Bulk
from agentpool.testing import a_member

R = TypeVar("R")
POOL = "pool.test"
RUNS = ("run.a", "run.b")


class Asked(InMemoryAgentPoolStore):
    """Notes of each question whether it may wait for others."""

    def __init__(self) -> None:
        super().__init__()
        self.bulk: list[bool] = []

    async def query(self, pool_id: str, question: Callable[[PoolView], R]) -> R:
        self.bulk.append(isinstance(question, Bulk))
        return await super().query(pool_id, question)


@pytest.fixture
async def store() -> AsyncIterator[Asked]:
    async with Asked() as store:
        yield store


@pytest.fixture
async def pool(store: Asked) -> AsyncIterator[AgentPool]:
    """Open a pool with two members and ten messages of each."""
    async with AgentPool.open(store, POOL) as pool:
        for run_id in RUNS:
            await pool.join_run(a_member(run_id))
        for number in range(10):
            for run_id in RUNS:
                me = pool.acting_as(a_member(run_id))
                await me.send(RunAddress.run(run_id), content_ref=f"file:{number}")
        yield pool


async def taken(pool: AgentPool, wanted: EventFilter, count: int) -> list[tuple[str, EventKind]]:
    async with asyncio.timeout(60), aclosing(pool.subscribe(wanted)) as events:
        found = [await anext(events) for _ in range(count)]
    return [(event.run_id, event.event_kind) for event in found]


async def test_no_event_is_made_that_the_filter_refuses(
    pool: AgentPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def event_of(view: PoolView, seq: int, payload: Any) -> Any:
        made.append(seq)
        return record_events.event_of(view, seq, payload)

    monkeypatch.setattr(history, "event_of", event_of)
    wanted = EventFilter(run_ids=include("run.b"), kinds=include(EventKind.RUN_MESSAGE_DELIVERED))
    expected = [("run.b", EventKind.RUN_MESSAGE_DELIVERED)] * 10
    assert await taken(pool, wanted, 10) == expected
    assert len(made) == 10


async def test_the_past_is_read_in_bulk_and_what_is_new_is_not(
    pool: AgentPool, store: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "_PAGE", 10)
    async with asyncio.timeout(60), aclosing(pool.subscribe(EventFilter())) as events:
        for _ in range(len(await store.read(POOL)) - 1):  # the opening is no event
            await anext(events)
        coming = asyncio.ensure_future(anext(events))
        await settled()
        assert store.bulk.count(True) >= 5
        store.bulk.clear()
        await pool.publish(envelope(event_id="event.new", run_id="run.a"))
        assert (await coming).event_id == "event.new"
    assert True not in store.bulk


async def test_two_filters_at_one_place_get_each_its_own(pool: AgentPool) -> None:
    wanted = [EventFilter(run_ids=include(run_id)) for run_id in RUNS]
    found = await asyncio.gather(*(taken(pool, each, 5) for each in wanted))
    assert [{run_id for run_id, _ in each} for each in found] == [{"run.a"}, {"run.b"}]


async def test_a_place_beyond_the_end_shows_what_is_new(pool: AgentPool) -> None:
    end = AgentPoolStoreCursor(await pool.store.query(POOL, lambda view: view.head))
    async with asyncio.timeout(60), aclosing(pool.subscribe(EventFilter(), end)) as events:
        coming = asyncio.ensure_future(anext(events))
        await settled()
        await pool.join_run(a_member("run.c"))
        assert (await coming).run_id == "run.c"
