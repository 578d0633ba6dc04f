"""What comes: sampled and told so, resumed without a gap, ended with the server."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from agentpool import AgentPool
from agentpool.stores.memory import InMemoryAgentPoolStore
from agentpool.web import stream
from agentpool.web.html import Html

from .site import PATIENCE, POOL, Site, Told, chatter, events, members, served


@pytest.fixture
async def pool(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[AgentPool]:
    for name in ("_LOG_EVERY", "_NOW_EVERY"):
        monkeypatch.setattr(stream, name, 0.05)
    monkeypatch.setattr(stream, "_REST", 1)
    async with InMemoryAgentPoolStore() as store, AgentPool.open(store, POOL) as pool:
        await members(pool, 1)
        yield pool


async def first(stream_: AsyncGenerator[Told], count: int = 1) -> list[Told]:
    async with asyncio.timeout(PATIENCE), aclosing(stream_):
        return [await anext(stream_) for _ in range(count)]


def numbers(told: Told) -> list[int]:
    """List the records whose rows an event brings."""
    rows = Html(told.values["rows"]).split("<tr>")[1:]
    return [int(each.split("at=")[1].split('"')[0]) for each in rows]


async def test_what_comes_is_told_with_its_number(pool: AgentPool) -> None:
    async with served(pool.store) as site:
        following = events(site, {}, view="log", after="2")
        told = [await anext(following)]
        await chatter(pool, "run.00000", 2)
        told.append(await anext(following))
        await following.aclose()
    assert [each.name for each in told] == ["rows", "rows"]
    assert [each.id for each in told] == ["3", "7"]
    assert [numbers(each) for each in told] == [[3], [7, 6, 5, 4]]
    assert told[1].values["said"] == "showing 4 of 4 that came"


async def test_what_came_while_the_connection_was_lost_is_told_whole(pool: AgentPool) -> None:
    async with served(pool.store) as site:
        [before] = await first(events(site, {}, view="log", after="0"))
        await chatter(pool, "run.00000", 100)
        lost = {"last-event-id": before.id}
        [after] = await first(events(site, lost, view="log", after="0"))
    assert numbers(after) == list(range(203, 3, -1))
    assert after.id == "203"


async def test_of_much_the_newest_is_told_and_how_much_it_was(pool: AgentPool) -> None:
    async with served(pool.store) as site:
        following = events(site, {}, view="log", after="2")
        await anext(following)
        await chatter(pool, "run.00000", 400)
        told = await anext(following)
        await following.aclose()
    assert told.values["said"] == "showing 50 of 800 that came"
    assert numbers(told) == list(range(803, 753, -1))
    assert "750 more came at once" in told.values["rows"]
    assert "before=753" in told.values["rows"]


async def test_a_page_that_is_no_number_is_the_first(pool: AgentPool) -> None:
    async with served(pool.store) as site:
        [told] = await first(events(site, {}, view="now", page="9" * 5000))
    assert told.name == "now"


async def test_filters_hold_for_what_comes(pool: AgentPool) -> None:
    async with served(pool.store) as site:
        following = events(site, {}, view="log", after="3", kind="run_message_delivered")
        await chatter(pool, "run.00000", 5)
        told = await anext(following)
        await following.aclose()
    assert numbers(told) == [13, 11, 9, 7, 5] or len(numbers(told)) == 5
    assert "and match" in told.values["said"]


async def test_now_is_written_anew_when_something_changes(pool: AgentPool) -> None:
    async with served(pool.store) as site:
        following = events(site, {}, view="now")
        before = await anext(following)
        await members(pool, 1, "run.late")
        after = await anext(following)
        await following.aclose()
    assert before.name == after.name == "now"
    assert ("run.late" in before.values["html"], "run.late" in after.values["html"]) == (0, 1)
    assert after.values["said"].startswith("runs 2,")
    assert int(after.id) > int(before.id)


async def test_streams_end_with_the_server_and_leave_no_task(pool: AgentPool) -> None:
    before = asyncio.all_tasks()
    async with served(pool.store) as site:
        following = [events(site, {}, view=view, after="0") for view in ("log", "now")]
        for each in following:
            await anext(each)
        site.stop()
        for each in following:
            async with asyncio.timeout(PATIENCE):
                assert all([told.name == "now" async for told in each])
    assert asyncio.all_tasks() == before


async def test_a_head_is_no_stream(pool: AgentPool) -> None:
    async with served(pool.store) as site:
        answer = await site.client.head("/events", params={"pool": POOL})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")


async def test_only_so_many_pages_are_followed(pool: AgentPool) -> None:
    async with served(pool.store) as site:
        following = [events(site, {}, view="log", after="0") for _ in range(16)]
        for each in following:
            await anext(each)
        refused = await site.client.get("/events", params={"pool": POOL, "view": "log"})
        assert (refused.status_code, "too many" in refused.text) == (503, True)
        for each in following:
            await each.aclose()
        await _until_followed(site)


async def _until_followed(site: Site) -> None:
    """Wait until a place is free again, which the server learns from the connection."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await first(events(site, {}, view="log", after="0"))
            except AssertionError:
                continue
            return


@pytest.mark.parametrize("place", ["", "x", "-1", "1.2.3", "9" * 30, "99999999"])
async def test_a_place_that_is_none_is_the_end_of_the_log(pool: AgentPool, place: str) -> None:
    async with served(pool.store) as site:
        following = events(site, {"last-event-id": place}, view="log")
        coming = asyncio.ensure_future(anext(following))
        head = await pool.store.query(POOL, lambda view: view.head)
        while not coming.done():  # it begins when it is answered
            await chatter(pool, "run.00000", 1)
            await asyncio.wait([coming], timeout=0.1)
        assert min(numbers(await coming)) > head
        await following.aclose()
