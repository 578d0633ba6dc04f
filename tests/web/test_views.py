"""Each view shows what is there, bounded, and nothing of it is anything but text."""

import re
import sqlite3
import sys
from collections.abc import AsyncGenerator
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from agentpool import (
    AgentPool,
    AgentPoolMember,
    EventFilter,
    MemberHandle,
    RunAddress,
    open_pool,
    open_store,
)
from agentpool.rules.explaining import inboxes
from agentpool.stores.memory import InMemoryAgentPoolStore
from agentpool.testing.conformance.pool_kit import ManualClock
from agentpool.wire.records import MessageResponseContract, RunMessage, WakeCondition

from .site import POOL, Site, members, shown

HOSTILE = [
    "<script>document.title='taken'</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "a\u202egnp.exe\u202c\u200b",
    "</script><!--",
    "&lt;b&gt;&#60;",
    "javascript:alert(1)",
    "../../etc/passwd?x=1&pool=other#here",
    "x" * 500,
    "שלום",
]


class Reader(HTMLParser):
    """Reads a page as a browser does: its elements, its text, and what each table says."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "input", "br", "hr"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def ids(self) -> list[str]:
        return [str(each["id"]) for _, each in self.tags if each.get("id")]


@pytest.fixture
async def store() -> AsyncGenerator[InMemoryAgentPoolStore]:
    async with InMemoryAgentPoolStore() as store:
        yield store


@pytest.fixture
async def pool(store: InMemoryAgentPoolStore) -> AsyncGenerator[AgentPool]:
    async with AgentPool.open(store, POOL) as pool:
        yield pool


@pytest.fixture
async def site(pool: AgentPool) -> AsyncGenerator[Site]:
    async with shown(pool.store) as site:
        yield site


async def joined(pool: AgentPool, run_id: str, topics: tuple[str, ...] = ()) -> MemberHandle:
    member = AgentPoolMember(run_id, "agent.any", topics=topics)
    await pool.join_run(member)
    return pool.acting_as(member)


async def test_the_pools_of_a_store_are_listed(site: Site, store: InMemoryAgentPoolStore) -> None:
    await AgentPool.open(store, "pool.<b>other")
    page = Reader(await site.text("/"))
    assert "pools: 2" in page.text
    assert "pool.<b>other" in page.text
    [there] = [each["href"] for each in page.all("a") if "other" in str(each["href"])]
    answer = await site.client.get(str(there))
    assert (answer.status_code, "pool.&lt;b&gt;other" in answer.text) == (200, True)


async def test_however_many_pools_are_listed_they_are_asked_for_once(
    site: Site, store: InMemoryAgentPoolStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in range(10):
        await AgentPool.open(store, f"pool.{each}")
    asked = AsyncMock(side_effect=store.pool_ids)
    monkeypatch.setattr(store, "pool_ids", asked)
    assert "pools: 11" in Reader(await site.text("/")).text
    assert asked.await_count == 1


async def question(pool: AgentPool, sender: str, to: str, millis: int | None = 60_000) -> str:
    """Ask something, of which nothing in this process waits for the answer."""
    name = f"question.{sender}.{to}"
    message = RunMessage(
        message_id=name,
        sender=sender,
        to=RunAddress.run(to),
        content_ref="ref.nothing",
        response_contract=MessageResponseContract(1, millis),
        idempotency_key=name,
    )
    await pool.send(message)
    return name


async def test_now_shows_who_is_stuck_and_on_whom(site: Site, pool: AgentPool) -> None:
    ada, bob = await joined(pool, "run.ada"), await joined(pool, "run.bob")
    asked = [
        await question(pool, *each) for each in (("run.ada", "run.bob"), ("run.bob", "run.ada"))
    ]
    queue = await pool.queue("work")
    await ada.send(queue.address, "to do")
    taken = await bob.queue("work").take()
    page = Reader(await site.text("/now"))
    assert "runs 2, here 0, queues 1, unread 3, claimed 1, dead 0, waits 0, overdue 0" in page.text
    assert page.text.count("in a circle") == 2 + 1  # and once below the picture
    assert all(each in page.text for each in asked)
    assert taken.message.message_id in page.text
    assert len([each for each in page.all("path") if "edge circling" in str(each["class"])]) == 2
    await taken.ack()


async def test_now_shows_what_is_dead_and_what_happened_last(site: Site, pool: AgentPool) -> None:
    ada = await joined(pool, "run.ada")
    await ada.send(RunAddress.run("run.ada"), "it fails", idempotency_key="the.dead")
    await (await pool.inbox("run.ada", max_attempts=1).take()).nack(0)
    page = Reader(await site.text("/now"))
    assert "dead letters: 1" in page.text
    assert any("key=the.dead" in str(each["href"]) for each in page.all("a"))
    assert "run message delivered" in page.text
    assert "agent pool run joined" in page.text


async def test_what_is_overdue_comes_first_and_is_not_carried_out() -> None:
    clock = ManualClock()
    async with InMemoryAgentPoolStore(clock=clock) as store:
        async with AgentPool.open(store, POOL) as pool:
            for each in ("run.ada", "run.bob"):
                await joined(pool, each)
            await pool.suspend_until("run.ada", a_condition("wake.late", "run.ada", 1000))
            late = await question(pool, "run.ada", "run.bob", 2000)
        clock.advance(60_000)  # and nobody has the pool open
        head = await store.query(POOL, lambda view: view.head)
        async with shown(store) as site:
            page = Reader(await site.text("/now"))
            assert page.ids().index("overdue") < page.ids().index("waiting")
            assert "overdue: 2" in page.text
            assert page.text.index("wake.late") < page.text.index(late)
            assert "overdue: 2" not in Reader(await site.text("/log")).text
        assert await store.query(POOL, lambda view: view.head) == head


async def test_who_has_outlived_its_lease_is_lost_and_not_here() -> None:
    clock = ManualClock()
    async with InMemoryAgentPoolStore(clock=clock) as store:
        pool = await AgentPool.open(store, POOL)
        await pool.member(AgentPoolMember("run.gone", "agent.any"), lease=3600)
        async with shown(store) as site:
            before = Reader(await site.text("/now"))
            clock.advance(3 * 3_600_000)
            after = Reader(await site.text("/now"))
        await pool.aclose()
    assert "runs 1, here 1" in before.text
    assert "lost" not in before.text
    assert "runs 1, here 0" in after.text
    assert "run.gone agent.any lost" in after.text


async def test_what_was_not_counted_to_the_end_has_a_plus(
    site: Site, pool: AgentPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inboxes, "_MOST_COUNTED", 2)
    ada = await joined(pool, "run.ada")
    for _ in range(3):
        await ada.send(RunAddress.run("run.ada"), "a")
    page = Reader(await site.text("/now"))
    assert "unread 2+, claimed 0+, dead 0" in page.text
    assert "2 unread" not in Reader(await site.text("/health")).text
    assert "2+ unread" in Reader(await site.text("/health")).text


async def test_open_waits_are_shown_with_what_they_wait_for(site: Site, pool: AgentPool) -> None:
    await joined(pool, "run.ada")
    await pool.suspend_until("run.ada", a_condition("wake.1", "run.ada", 60_000))
    page = Reader(await site.text("/now"))
    assert "open waits: 1" in page.text
    assert "build.done" in page.text
    explained = Reader(await site.text("/explain", what="wake.1"))
    assert "it still waits" in explained.text


def a_condition(name: str, run_id: str, millis: int) -> WakeCondition:
    return WakeCondition(
        condition_id=name,
        run_id=run_id,
        filter=EventFilter.named("build.done"),
        timeout_millis=millis,
        idempotency_key=name,
    )


async def test_ten_thousand_members_are_a_page_like_any_other(site: Site, pool: AgentPool) -> None:
    names = await members(pool, 10_000)
    ada = await joined(pool, "run.zz")  # the last to be looked at
    await ada.send(RunAddress.run("run.zz"), "unread")
    html = await site.text("/now")
    assert len(html) < 200_000
    page = Reader(html)
    assert re.search(r"showing 50 of 10,001|Looked at [\d,]+ of 10,001 members so far", page.text)
    while "so far" in page.text:
        page = Reader(await site.text("/now"))
    assert "runs 10,001" in page.text
    assert page.text.index("run.zz") < page.text.index(names[0])  # which has something unread
    last = Reader(await site.text("/now", page=201))
    assert "page 201 of 201" in last.text
    assert names[-1] in last.text
    assert Reader(await site.text("/now", page=10**9)).text.count("page 201 of 201") == 1


async def test_the_log_has_pages_filters_and_a_way_to_a_number(site: Site, pool: AgentPool) -> None:
    ada = await joined(pool, "run.ada")
    await ada.send_many([(RunAddress.run("run.ada"), "x")] * 100)
    await ada.publish("build.done")
    page = Reader(await site.text("/log"))
    assert "showing 50 of 204" in page.text
    assert page.all("main")[0]["data-live"] is not None
    [older] = [str(each["href"]) for each in page.all("a") if "before=" in str(each["href"])]
    before = Reader((await site.client.get(older)).text)
    assert "showing 50 of 204" in before.text
    assert before.all("main")[0].get("data-live") is None
    at = Reader(await site.text("/log", at=42))
    assert len([each for each in at.all("tr") if each.get("class") == "here"]) == 1
    found = Reader(await site.text("/log", kind="run_checkpointed"))
    assert "build.done" in found.text
    assert "1 that match" in found.text
    nothing = Reader(await site.text("/log", id="run.nobody"))
    assert "0 that match" in nothing.text


WRONG = ("x", "-1", "9" * 40, "1e9", "²", "\x00", "2026-13-45", "a&b")


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("kind", "is not one that the Log lists, such as "),
        ("at", "is not the number of a record"),
        ("time", "is not a time, such as "),
        ("before", "is not a place in the log, such as "),
    ],
)
async def test_what_an_address_says_wrongly_is_told(
    site: Site, name: str, what: str, value: str
) -> None:
    answer = await site.client.get("/log", params={"pool": POOL, name: value})
    page = Reader(answer.text)
    assert (answer.status_code, f"{name}: " in page.text, what in page.text) == (400, True, True)
    assert page.ids().count("lines") == 0
    assert (await site.client.get("/log", params={"pool": POOL, name: " "})).status_code == 200


@pytest.mark.parametrize("value", ["", *WRONG])
async def test_a_page_of_the_members_that_there_is_not_is_the_first(site: Site, value: str) -> None:
    given = {"pool": POOL, "page": value}
    assert (await site.client.get("/now", params=given)).status_code == 200


async def test_what_is_not_there_is_said_to_be_not_there(site: Site, pool: AgentPool) -> None:
    await joined(pool, "run.ada")
    for path, status in (
        ("/now", 404),
        ("/now?pool=pool.nowhere", 404),
        (f"/message?pool={POOL}&key=nothing", 404),
        (f"/message?pool={POOL}&seq=1", 404),
        (f"/message?pool={POOL}", 404),
        (f"/explain?pool={POOL}", 400),
        ("/nowhere", 404),
        ("/static/../app.py", 404),
        ("/static/%2e%2e/app.py", 404),
    ):
        assert (await site.client.get(path)).status_code == status, path
    assert "nothing in pool" in await site.text("/explain", what="run.adda")


async def test_a_message_shows_whom_it_reached_and_its_thread(site: Site, pool: AgentPool) -> None:
    ada, bob = await joined(pool, "run.ada"), await joined(pool, "run.bob")
    await ada.send(RunAddress.run("run.bob"), "Where is Dune?", idempotency_key="first")
    delivery = await bob.inbox.take()
    await delivery.reply("Shelf 42.", idempotency_key="second")
    await delivery.ack()
    page = Reader(await site.text("/message", key="first"))
    assert "run.bob acked" in page.text
    assert "thread: 2" in page.text
    assert "Dune" not in page.text
    answer = Reader(await site.text("/message", key="second"))
    assert "thread: 2" in answer.text
    [shows] = [str(each["href"]) for each in page.all("a") if "body=1" in str(each["href"])]
    assert "Where is Dune?" in Reader((await site.client.get(shows)).text).text


async def test_bodies_are_shown_as_they_are_and_only_so_much_of_them(
    site: Site, pool: AgentPool
) -> None:
    ada = await joined(pool, "run.ada")
    to = RunAddress.run("run.ada")
    script = {"html": "</script><script>document.title='taken'</script>"}
    for key, body, said in (
        ("json", script, "document.title"),
        ("bytes", b"\xff\x00<b>", "ff 00 3c 62 3e"),
        ("long", "é" * 100_000, "the first 65,536 bytes é"),
        ("cut", "x" + "é" * 100_000, "the first 65,536 bytes xé"),
        ("many bytes", b"\xff\x00" * 100_000, "which are no text, in hexadecimal ff 00 ff"),
        ("huge", b"x" * 3_000_000, "the first 65,536 bytes"),
        ("empty", "", "0 bytes"),
    ):
        await ada.send(to, body, idempotency_key=key)
        html = await site.text("/message", key=key, body=1)
        page = Reader(html)
        assert said in page.text
        assert len(page.all("script")) == 1
        assert len(html) < 210_000
    await ada.send(to, content_ref="elsewhere", idempotency_key="none")
    assert "The store keeps none" in await site.text("/message", key="none", body=1)


async def test_nothing_that_others_wrote_is_more_than_text(site: Site, pool: AgentPool) -> None:
    """On every view, also as part of addresses, and found again by the links that are there."""
    for name in HOSTILE:
        await joined(pool, name, topics=(f"topic {name}"[:500],))
        if len(name) < 200:
            await question(pool, name, name)
        me = pool.acting_as(AgentPoolMember(name, name))
        await me.send(RunAddress.run(name), name, idempotency_key=name)
        await me.publish(name[:100], name, tags=[name[:100]], summary=name[:100])
    seen = set[str]()
    paths = [f"/now?pool={POOL}", f"/log?pool={POOL}", f"/health?pool={POOL}", "/"]
    while paths:
        path = paths.pop()
        answer = await site.client.get(path)
        assert answer.status_code == 200, path
        page = Reader(answer.text)
        assert not set("\u202e\u202c\u200b") & set(answer.text)
        assert [each["src"] for each in page.all("script")] == ["/static/page.js"]
        assert page.all("img") == page.all("b") == []
        assert all(not name.startswith("on") for _, each in page.tags for name in each)
        assert all("style" not in each for _, each in page.tags)
        links = {str(each["href"]) for each in page.all("a")}
        assert all(each.startswith(("/", "#")) for each in links)
        own = {each for each in links if each.startswith(("/explain", "/message"))}
        paths += sorted(own - seen)
        seen |= own
    assert len(seen) > 2 * len(HOSTILE)


async def test_each_view_can_be_read_without_scripts_and_by_a_screen_reader(
    site: Site, pool: AgentPool
) -> None:
    ada = await joined(pool, "run.ada")
    await ada.send(RunAddress.run("run.ada"), "x", idempotency_key="key")
    more = {"key": "key", "what": "run.ada"}
    for path in ("/now", "/log", "/health", "/message", "/explain"):
        page = Reader(await site.text(path, **more))
        assert page.all("html") == [{"lang": "en"}]
        for landmark in ("header", "nav", "main", "footer", "h1"):
            assert page.all(landmark)
        assert len(page.all("h1")) == len(page.all("main")) == 1
        assert len(page.all("caption")) == len(page.all("table"))
        assert len(page.ids()) == len(set(page.ids()))
        assert all(each.get("scope") for each in page.all("th"))
        fields = {each["id"] for each in page.all("input") if each.get("type") != "hidden"}
        fields |= {each["id"] for each in page.all("select")}
        assert fields <= {each["for"] for each in page.all("label")}
        assert page.all("a")[0]["href"] == "#main"
        assert page.open == []


async def test_health_says_what_a_check_says(site: Site, pool: AgentPool) -> None:
    ada = await joined(pool, "run.ada")
    await ada.send(RunAddress.run("run.ada"), "it fails")
    await (await pool.inbox("run.ada", max_attempts=1).take()).nack(0)
    page = Reader(await site.text("/health"))
    assert "note dead letters 1 were put aside" in page.text
    assert "records in the last minute" in page.text


async def test_the_doctor_is_told_the_place_where_no_other_user_sees_it(
    store: InMemoryAgentPoolStore,
    pool: AgentPool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    doctor = tmp_path / "doctor"
    doctor.write_text('#!/bin/sh\necho "called: $@; told: $AGENTPOOL_STORE"\n', "utf-8")
    doctor.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(doctor))
    place = "postgresql://ada:hidden@db.example/agents"
    async with shown(store, place) as site:
        said = Reader(await site.text("/health", examine=1)).text
    assert f"called: -P -m agentpool doctor --text; told: {place}" in said
    assert pool.pool_id in said


async def test_nothing_of_the_current_folder_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pool.db"
    async with open_pool(file, POOL):
        pass
    (tmp_path / "agentpool.py").write_text("print('taken over')\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    async with open_store(file) as store, shown(store, file.name) as site:
        said = Reader(await site.text("/health", examine=1)).text
    assert "every page is in its place" in said


async def test_what_is_damaged_hides_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "pool.db"
    async with open_pool(file, POOL) as pool:
        ada = await joined(pool, "run.ada")
        for each in ("first", "second"):
            await ada.send(RunAddress.run("run.ada"), each, idempotency_key=each)
    with closing(sqlite3.connect(file)) as connection, connection:
        damaged = "UPDATE agent_pool_records SET payload_json = ? WHERE seq = ?"
        connection.execute(damaged, ("{<b>", 5))
        connection.execute(damaged, ('{"type":"of_tomorrow"}', 6))
        connection.execute("UPDATE agent_pool_records SET kind='of_tomorrow' WHERE seq = 6")
    async with open_store(file) as store, shown(store, str(file)) as site:
        log = Reader(await site.text("/log"))
        assert "unreadable" in log.text
        assert "unknown" in log.text
        assert "run message delivered" in log.text
        assert "unread 2" in Reader(await site.text("/now")).text
        assert "the file has one name" in Reader(await site.text("/health")).text
        assert "run.ada waiting" in Reader(await site.text("/message", key="second")).text


async def test_damaged_events_hide_no_others(tmp_path: Path) -> None:
    file = tmp_path / "pool.db"
    async with open_pool(file, POOL) as pool:
        ada = await joined(pool, "run.ada")
        await ada.send_many([(RunAddress.run("run.ada"), "x")] * 3)
        for each in range(60):
            await ada.publish(f"event.{each}", tags=[f"tag.{each}"])
        await ada.send_many([(RunAddress.run("run.ada"), "x")] * 3)
    damaged = "UPDATE agentpool_rows SET value = '{' WHERE kind = 'event' AND number % 2 = ?"
    for odd, left in ((1, 30), (0, 0)):
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute(damaged, [odd])
        async with open_store(file) as store, shown(store, str(file)) as site:
            found, path = "", f"/log?pool={POOL}"
            while path:
                page = Reader((await site.client.get(path)).text)
                found += page.text
                links = [str(each["href"]) for each in page.all("a")]
                path = next((each for each in links if "before=" in each), "")
            assert len(set(re.findall(r"tag\.[0-9]+", found))) == left
            assert found.count("run message delivered") - found.count("Kind") == 6
            assert "run.ada" in Reader(await site.text("/log", at=5)).text
