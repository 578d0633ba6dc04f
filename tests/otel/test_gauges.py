"""What waits in a pool, as gauges show it: sampled by short questions, and never out of date."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from integration.helpers import BOUND
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from agentpool import (
    AgentPool,
    EventFilter,
    InMemoryAgentPoolStore,
    InvalidValueError,
    MemberHandle,
    RunAddress,
    StoreBusyError,
    StoreClosedError,
    include,
    open_pool,
)
from agentpool.otel import gauges, instrument, uninstrument
from agentpool.rules.command import PoolView
from agentpool.stores.base import Bulk
from agentpool.testing import a_condition, a_member

from .helpers import POOL, measured

OF_POOL: Final = {"messaging.system": "agentpool", "messaging.destination.name": POOL}
SOON: Final = 0.001

pytestmark = pytest.mark.usefixtures("spans")


def values(reader: InMemoryMetricReader) -> dict[str, float]:
    """Give the values of the gauges of the pool."""
    found = {name: points for name, points in measured(reader).items() if "agentpool" in name}
    assert all(of == OF_POOL for points in found.values() for of, _ in points)
    return {name.removeprefix("agentpool."): points[0][1].value for name, points in found.items()}


async def until(look: Callable[[], bool]) -> None:
    """Wait until something is so, after a look of the task."""
    async with asyncio.timeout(BOUND):
        while True:
            if look():
                return
            await asyncio.sleep(0.01)


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now

    elapsed = __call__


async def test_what_waits_in_a_pool(reader: InMemoryMetricReader) -> None:
    clock = Clock()
    async with InMemoryAgentPoolStore(clock=clock) as store, AgentPool.open(store, POOL) as pool:
        await pool.join_run(a_member("run.a"))
        me = pool.acting_as(a_member("run.a"))
        to_me = RunAddress.run("run.a")
        await me.send(to_me, "oldest")
        clock.now += 2500
        await me.send_many([(to_me, "claimed"), (to_me, "came back"), (to_me, "fresh")])
        await pool.queue("work")
        await me.send(RunAddress.run("queue.work"), "work")
        first, second, third = await me.inbox.take_many(3)
        await first.give_back()  # which is no attempt
        await third.nack(delay=0)
        condition = a_condition(run_id="run.a", filter=EventFilter(run_ids=include("run.nobody")))
        await pool.suspend_until("run.a", condition)
        async with gauges(pool):
            assert values(reader) == {
                "inbox.unread": 5,
                "inbox.oldest.age": 2.5,
                "inbox.claimed": 1,
                "inbox.redelivered": 1,
                "waits.open": 1,
            }
        assert values(reader) == {}
        assert second.attempt == 1


async def test_an_empty_pool(reader: InMemoryMetricReader, pool: AgentPool) -> None:
    async with gauges(pool):
        found = values(reader)
    assert set(found.values()) == {0}


async def test_they_follow_the_pool(
    reader: InMemoryMetricReader, pool: AgentPool, ada: MemberHandle
) -> None:
    async with gauges(pool, every=SOON):
        await ada.send(RunAddress.run("run.ada"), "hello")
        await until(lambda: values(reader)["inbox.unread"] == 1)
        await (await ada.inbox.take()).ack()
        await until(lambda: values(reader)["inbox.unread"] == 0)


async def test_the_write_ahead_log_of_a_file(reader: InMemoryMetricReader, tmp_path: Path) -> None:
    path = tmp_path / "pool.db"
    link = tmp_path / "link.db"
    link.symlink_to(path)
    async with open_pool(path, POOL), open_pool(link, POOL) as pool, gauges(pool):
        size = (tmp_path / "pool.db-wal").stat().st_size
        assert values(reader)["wal.size"] == size > 0


async def test_much_is_counted_in_short_pieces(
    reader: InMemoryMetricReader,
    pool: AgentPool,
    ada: MemberHandle,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agentpool.rules.backlog._ROWS_AT_ONCE", 3)
    monkeypatch.setattr("agentpool.rules.backlog._MEMBERS_AT_ONCE", 2)
    for number in range(5):
        await pool.join_run(a_member(f"run.{number}"))
    each = [RunAddress.run(f"run.{number}") for number in range(5)]
    await ada.send_many([(to, f"{number}") for to in each for number in range(4)])
    asked: list[bool] = []
    query = pool.store.query

    async def counting(pool_id: str, question: Callable[[PoolView], Any]) -> Any:
        asked.append(isinstance(question, Bulk))
        return await query(pool_id, question)

    monkeypatch.setattr(pool.store, "query", counting)
    async with gauges(pool):
        assert values(reader)["inbox.unread"] == 20
    assert len(asked) > 20 / 3
    assert all(asked)  # others may be answered first


async def test_what_cannot_be_seen_is_not_shown(
    reader: InMemoryMetricReader,
    pool: AgentPool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    query = pool.store.query

    async def refuse(*_: Any) -> Any:
        msg = "the file is busy"
        raise StoreBusyError(msg)

    async with gauges(pool, every=SOON):
        monkeypatch.setattr(pool.store, "query", refuse)
        await until(lambda: values(reader) == {})
        [told, *_] = [each for each in caplog.records if each.levelno == logging.WARNING]
        assert (vars(told)["action"], vars(told)["pool_id"]) == ("sampling_failed", POOL)
        monkeypatch.setattr(pool.store, "query", query)
        await until(lambda: values(reader) != {})


async def test_of_a_store_that_is_closed_nothing_is_shown(reader: InMemoryMetricReader) -> None:
    async with InMemoryAgentPoolStore() as store, AgentPool.open(store, POOL) as pool:
        async with gauges(pool, every=SOON):
            await store.aclose()
            await until(lambda: values(reader) == {})
        with pytest.raises(StoreClosedError):
            async with gauges(pool):
                pass


async def test_no_task_is_left_behind(pool: AgentPool) -> None:
    before = asyncio.all_tasks()
    async with gauges(pool):
        assert asyncio.all_tasks() != before
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("every", [0, -1, "often"])
async def test_how_often_has_to_make_sense(pool: AgentPool, every: Any) -> None:
    with pytest.raises(InvalidValueError, match="every"):
        async with gauges(pool, every=every):
            pass


async def test_they_are_reported_to_the_last_provider_only(
    reader: InMemoryMetricReader, pool: AgentPool
) -> None:
    other = InMemoryMetricReader()
    provider = MeterProvider([other])
    async with gauges(pool):
        instrument(meter_provider=provider)
        assert (values(reader) == {}, values(other) == {}) == (True, False)
        uninstrument()
        assert values(other) == {}
        instrument(meter_provider=provider)
        assert values(other) != {}
    provider.shutdown()
