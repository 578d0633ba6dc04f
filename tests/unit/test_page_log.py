"""The log of the live page: every entry on one page, and what comes, sampled and never lost."""

from collections.abc import AsyncGenerator
from functools import partial
from itertools import product
from unittest.mock import Mock

import pytest

from agentpool import AgentPool, AgentPoolMember, MemberHandle, RunAddress
from agentpool.stores.memory import InMemoryAgentPoolStore
from agentpool.testing.conformance.pool_kit import ManualClock
from agentpool.web import entries
from agentpool.web.entries import (
    Entry,
    Filters,
    LogPage,
    Place,
    before_time,
    entry_at,
    page_before,
    place_behind,
    place_now,
    tail,
)

POOL = "pool.log"
ALL = Filters()


@pytest.fixture
async def pool() -> AsyncGenerator[AgentPool]:
    async with InMemoryAgentPoolStore() as store, AgentPool.open(store, POOL) as pool:
        yield pool


async def joined(pool: AgentPool, run_id: str = "run.me") -> MemberHandle:
    member = AgentPoolMember(run_id, f"agent of {run_id}")
    await pool.join_run(member)
    return pool.acting_as(member)


async def page(
    pool: AgentPool, end: Place | None = None, limit: int = 10, filters: Filters = ALL
) -> LogPage:
    question = partial(page_before, end=end, limit=limit, filters=filters)
    return await pool.store.query(POOL, question)


async def all_pages(pool: AgentPool, limit: int, filters: Filters = ALL) -> list[Entry]:
    """Go back through the whole log."""
    found, end = list[Entry](), None
    for _ in range(1000):
        seen = await page(pool, end, limit, filters)
        assert len(seen.entries) <= limit
        found += seen.entries
        end = seen.begin
        if end == Place(0, 0):
            return found
    raise AssertionError(end)


async def mixed(pool: AgentPool) -> int:
    """Fill a log with records and with events between them, here many and there none."""
    me = await joined(pool)
    for burst in (0, 3, 25, 1, 0, 60):
        await me.send(RunAddress.run("run.me"), f"{burst}")
        for number in range(burst):
            await me.publish(f"event.{burst}.{number}")
    return 2 + 1 + 6 * 2 + 89


@pytest.mark.parametrize("limit", [1, 2, 7, 50, 500])
async def test_each_entry_is_on_one_page_the_newest_first(pool: AgentPool, limit: int) -> None:
    count = await mixed(pool)
    found = await all_pages(pool, limit)
    places = [each.place for each in found]
    assert len(places) == len(set(places)) == count
    assert places == sorted(places, reverse=True)
    events = [each.place.events for each in found if each.is_published]
    assert events == list(range(89, 0, -1))


@pytest.mark.parametrize("limit", [1, 7, 500])
async def test_filters_find_the_same_however_large_the_pages_are(
    pool: AgentPool, limit: int
) -> None:
    await mixed(pool)
    await joined(pool, "run.other")
    for filters, count in (
        (Filters(kind="run_message_delivered"), 6),
        (Filters(name="run.other"), 1),
        (Filters(name="agent of run.me"), 1),
        (Filters("run_checkpointed", "run.me"), 89),
        (Filters(name="nobody"), 0),
    ):
        found = await all_pages(pool, limit, filters)
        assert len(found) == count
        assert all(map(filters.match, found))


async def test_a_page_is_looked_for_only_so_far(pool: AgentPool) -> None:
    me = await joined(pool)
    for _ in range(3):
        await me.send_many([(RunAddress.run("run.me"), "x")] * 1000)
    seen = await page(pool, filters=Filters(name="run.nobody"))
    assert seen.entries == []
    assert 0 < seen.begin.sequence < seen.newest.sequence - 4000
    assert len(await all_pages(pool, 10, Filters(kind="agent_pool_run_joined"))) == 1


async def test_a_place_that_no_log_has_is_looked_back_from_only_so_far(
    pool: AgentPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = await mixed(pool)
    me = await joined(pool)
    await me.send_many([(RunAddress.run("run.me"), "x")] * 100)
    monkeypatch.setattr(entries, "_STRETCH", 10)
    monkeypatch.setattr(entries, "_MOST_READ", 40)
    seen = Mock(side_effect=entry_at)
    monkeypatch.setattr(entries, "entry_at", seen)
    nothing = Filters(kind="unknown")
    for sequence, events in product((0, 1, 9, count - 89, count + 50, 10**6), (0, 1, 9, 89, 10**6)):
        seen.reset_mock()
        found = await page(pool, Place(sequence, events), filters=nothing)
        assert all(begin <= end for begin, end in zip(found.begin, found.end, strict=True))
        assert found.begin != found.end or found.end == Place(0, 0)
        assert seen.call_count <= 50


async def test_what_comes_is_told_whole_and_in_order_while_it_is_little(pool: AgentPool) -> None:
    place = await pool.store.query(POOL, place_now)
    await mixed(pool)
    found = list[Entry]()
    whole = await page(pool, limit=500)
    seen = await pool.store.query(POOL, partial(tail, after=place, limit=500, filters=ALL))
    found += seen.entries
    assert found == [each for each in reversed(whole.entries) if each.place > place]
    again = await pool.store.query(POOL, partial(tail, after=seen.place, limit=5, filters=ALL))
    assert (again.came, again.entries, again.place) == (0, [], seen.place)


async def test_what_comes_is_sampled_when_it_is_much_and_says_so(pool: AgentPool) -> None:
    me = await joined(pool)
    place = await pool.store.query(POOL, place_now)
    await me.send_many([(RunAddress.run("run.me"), "x")] * 500)
    seen = await pool.store.query(POOL, partial(tail, after=place, limit=50, filters=ALL))
    head = place.sequence + 1000
    assert (len(seen.entries), seen.wanted, seen.came) == (50, 1000, 1000)
    assert [each.seq for each in seen.entries] == list(range(head - 49, head + 1))
    assert seen.entries[0].before == Place(head - 50, 0)  # where the rest is to be had
    delivered = Filters(kind="run_message_delivered")
    seen = await pool.store.query(POOL, partial(tail, after=place, limit=50, filters=delivered))
    assert (len(seen.entries), seen.wanted, seen.looked_at) == (50, 500, 1000)


async def test_every_place_of_a_page_is_one_to_go_on_from(pool: AgentPool) -> None:
    await mixed(pool)
    whole = await page(pool, limit=500)
    for number, each in enumerate(whole.entries):
        seen = await pool.store.query(POOL, partial(tail, after=each.place, limit=500, filters=ALL))
        assert seen.entries == whole.entries[:number][::-1]
        assert Place.read(str(each.place)) == each.place


@pytest.mark.parametrize("text", ["", "x", "-1", "1.", ".1", "1.2.3", "1e3", "9" * 30, "²", "1 "])
def test_what_is_no_place_is_none(text: str) -> None:
    assert Place.read(text) is None


async def test_a_place_is_found_by_time() -> None:
    clock = ManualClock()
    async with (
        InMemoryAgentPoolStore(clock=clock) as store,
        AgentPool.open(store, POOL) as pool,
    ):
        await joined(pool)
        clock.advance(1)
        head = await store.query(POOL, lambda view: view.head)
        now = await store.query(POOL, lambda view: view.now)
        clock.advance(1)
        await joined(pool, "run.late")
        behind = await store.query(POOL, lambda view: before_time(view, now))
        assert behind == Place(head, 0)
        assert await store.query(POOL, lambda view: place_behind(view, 10**9)) == Place(head + 1, 0)
