"""The page in a real browser: it comes alive, goes on after a lost connection, and stays usable."""

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from agentpool import AgentPool, AgentPoolMember, RunAddress
from agentpool.stores.memory import InMemoryAgentPoolStore
from agentpool.web import stream
from agentpool.web.gate import Gate

from .browser import Browser, Page, chromium, find_chromium
from .scene import a_library
from .site import POOL, Site, chatter, members, served

PROGRAM: Final = find_chromium()
NEEDED: Final = os.environ.get("AGENTPOOL_NEEDS_BROWSER") == "1"
VIEWS: Final = {
    "now": f"/now?pool={POOL}",
    "log": f"/log?pool={POOL}",
    "message": f"/message?pool={POOL}&key=the.plan&body=1",
    "health": f"/health?pool={POOL}",
    "explain": f"/explain?pool={POOL}&what=run.ada",
    "pools": "/",
}
GUIDES: Final = Path(__file__).parents[2] / "examples" / "guides"

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(PROGRAM is None and not NEEDED, reason="there is no Chromium"),
    pytest.mark.slow,
]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Browser]:
    assert PROGRAM is not None, "AGENTPOOL_NEEDS_BROWSER=1, and there is no Chromium"
    async with chromium(PROGRAM, tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture(autouse=True)
def quicker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what comes be told sooner."""
    monkeypatch.setattr(stream, "_LOG_EVERY", 0.2)
    monkeypatch.setattr(stream, "_NOW_EVERY", 0.4)


@pytest_asyncio.fixture(loop_scope="module")
async def pool() -> AsyncGenerator[AgentPool]:
    async with InMemoryAgentPoolStore() as store, AgentPool.open(store, POOL) as pool:
        yield pool


@asynccontextmanager
async def opened(site: Site, browser: Browser, path: str, **how: Any) -> AsyncGenerator[Page]:
    """Open a page as a person does: by the URL with the token, and then a view."""
    async with browser.page(**how) as page:
        await page.go(site.key)
        await page.go(site.url + path)
        yield page
        assert page.complaints == []


@asynccontextmanager
async def live(browser: Browser, pool: AgentPool, view: str, **how: Any) -> AsyncGenerator[Page]:
    """Serve the page, open a view of it, and wait until what comes is shown."""
    async with (
        served(pool.store, signed_in=False) as site,
        opened(site, browser, VIEWS[view], **how) as page,
    ):
        await is_live(page)
        yield page


async def numbers(page: Page) -> list[int]:
    """List the records in the log that the page shows, from the top."""
    cells = "[...document.querySelectorAll('#lines th')].map((each) => each.textContent)"
    return [int(each) for each in await page.ask(cells)]


async def is_live(page: Page) -> None:
    await page.until("document.querySelector('.ticker span')?.textContent")


# --- how it looks


@pytest.mark.parametrize(
    ("how", "views"),
    [
        ({}, VIEWS),
        ({"wide": 390, "high": 844}, VIEWS),
        ({"dark": True}, ("now", "message")),
        ({"scripts": False}, ("now", "health")),
    ],
    ids=("light", "telephone", "dark", "without scripts"),
)
async def test_each_view_is_whole_and_the_console_is_silent(
    browser: Browser, pool: AgentPool, how: dict[str, int], views: Iterable[str]
) -> None:
    await a_library(pool)
    async with (
        served(pool.store, signed_in=False) as site,
        opened(site, browser, "/", **how) as page,
    ):
        for name in views:
            await page.go(site.url + VIEWS[name])
            assert await page.ask("document.querySelector('h1').textContent"), name
            wide = await page.ask("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, name
            back = await page.ask("getComputedStyle(document.body).backgroundColor")
            dark = sum(int(each) for each in back[4:-1].split(",")) < 3 * 128
            assert dark == bool(how.get("dark")), name


async def test_ids_and_bodies_of_others_are_only_text(browser: Browser, pool: AgentPool) -> None:
    names = [
        "<script>document.title='taken'</script>",
        "<img src=x onerror=\"document.title='taken'\">",
        "a\u202egnp.exe",
        "x" * 500,
        "W" * 300,
    ]
    for name in names:
        await pool.join_run(AgentPoolMember(name, name))
        me = pool.acting_as(AgentPoolMember(name, name))
        body = {"text": f"</script>{name}" * 5}
        await me.send(RunAddress.run(name), body, idempotency_key=name)
    async with (
        served(pool.store, signed_in=False) as site,
        opened(site, browser, VIEWS["now"], wide=390, high=844) as page,
    ):
        await is_live(page)
        await chatter(pool, names[0], 1)  # which it shows by its script, too
        links = "[...document.querySelectorAll('main a')].map((each) => each.href)"
        found = sorted(set(await page.ask(links)))
        messages = [each for each in found if "/message" in each][: len(names)]
        paths = [VIEWS["now"], VIEWS["log"], *messages, *found[: 2 * len(names)]]
        for path in paths:
            await page.go(path if path.startswith("http") else site.url + path)
            if "/message" in path:
                await page.go(f"{path}&body=1")
            assert "taken" not in await page.ask("document.title")
            assert await page.ask("document.documentElement.scrollWidth - innerWidth") <= 0, path


async def test_ten_thousand_members_are_a_page_like_any_other(
    browser: Browser, pool: AgentPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "_FIRST_LOOK", 60.0)  # at all of them
    await members(pool, 10_000)
    async with live(browser, pool, "now") as page:
        assert await page.ask("document.querySelectorAll('*').length") < 3000
        await page.until("document.body.textContent.includes('runs 10,000')")
        await page.until("document.body.textContent.includes('showing 50 of 10,000')")
        await page.follow(".pager a:last-child")
        assert "page 200 of 200" in await page.ask("document.body.textContent")


# --- how it is used


async def test_without_scripts_links_and_filters_work(browser: Browser, pool: AgentPool) -> None:
    await members(pool, 1)
    await chatter(pool, "run.00000", 60)
    async with (
        served(pool.store, signed_in=False) as site,
        opened(site, browser, VIEWS["log"], scripts=False) as page,
    ):
        before = await numbers(page)
        assert len(before) == 50
        await page.follow("nav.pager a")
        assert await numbers(page) == list(range(before[-1] - 1, before[-1] - 51, -1))
        await page.ask("document.querySelector('#at').value = '7'")
        await page.follow(".filters button")
        assert 7 in await numbers(page)
        assert await page.ask("document.querySelector('tr.here th').textContent") == "7"


async def test_the_keyboard_goes_everywhere_and_is_seen(browser: Browser, pool: AgentPool) -> None:
    await a_library(pool)
    async with live(browser, pool, "now") as page:
        seen = []
        for _ in range(12):
            await page.press("Tab")
            seen.append(await page.ask("document.activeElement.textContent.trim()"))
            assert "3px" in await page.ask("getComputedStyle(document.activeElement).outline")
        assert seen[0] == "Skip to content"
        assert {"Pools", "Now", "Log", "Health", "Explain", "Pause"} <= set(seen)
        assert await page.ask("document.activeElement.matches('#live *')")


async def test_the_focus_stays_where_it_is_while_the_page_changes(
    browser: Browser, pool: AgentPool
) -> None:
    await members(pool, 3)
    async with live(browser, pool, "now") as page:
        await page.ask("document.querySelector('#live a[href*=\"what=run.00001\"]').focus()")
        await page.ask("document.querySelector('#live').firstElementChild.id = 'old'")
        await members(pool, 1, "run.late")
        await page.until("document.body.textContent.includes('run.late')")
        assert not await page.ask("document.getElementById('old')")
        assert await page.ask("document.activeElement.textContent") == "run.00001"


async def test_what_comes_can_be_stopped_and_gone_on_with(
    browser: Browser, pool: AgentPool
) -> None:
    await members(pool, 1)
    async with live(browser, pool, "log") as page:
        await chatter(pool, "run.00000", 1)
        await page.until("document.querySelectorAll('#lines tr').length == 5")
        await page.ask("document.querySelector('.ticker button').click()")
        await chatter(pool, "run.00000", 2)
        assert await page.ask("document.querySelector('[aria-pressed=true]').textContent")
        assert len(await numbers(page)) == 5
        await page.ask("document.querySelector('.ticker button').click()")
        await page.until("document.querySelectorAll('#lines tr').length == 9")
        assert await numbers(page) == list(range(9, 0, -1))


async def test_after_a_lost_connection_it_goes_on_without_a_gap(
    browser: Browser, pool: AgentPool
) -> None:
    await members(pool, 1)
    gate = Gate()
    async with browser.page() as page:
        async with served(pool.store, gate=gate, signed_in=False) as site:
            await page.go(site.key)
            await page.go(site.url + VIEWS["log"])
            await is_live(page)
            await chatter(pool, "run.00000", 1)
            await page.until("document.querySelectorAll('#lines tr').length == 5")
            port = int(site.url.rpartition(":")[2])
        await page.until("document.querySelector('.ticker').textContent.includes('lost')")
        await chatter(pool, "run.00000", 70)  # more than come in a second
        async with served(pool.store, gate=gate, at=port, signed_in=False):
            await page.until("document.querySelectorAll('#lines tr').length == 145")
            await chatter(pool, "run.00000", 1)
            await page.until("document.querySelectorAll('#lines tr').length == 147")
            assert await numbers(page) == list(range(147, 0, -1))


async def test_of_much_it_shows_some_and_says_so(browser: Browser, pool: AgentPool) -> None:
    await members(pool, 1)
    async with live(browser, pool, "log") as page:
        await chatter(pool, "run.00000", 1)
        await page.until("document.querySelectorAll('#lines tr').length == 5")
        await chatter(pool, "run.00000", 500)
        said = await page.until(
            "document.querySelector('.ticker').textContent.match(/showing 50 of [\\d,]+/)?.[0]"
        )
        assert said == "showing 50 of 1,000"
        gap = await page.ask("document.querySelector('tr.gap a').textContent")
        assert gap.startswith("950 more came at once")
        assert await page.ask("document.querySelectorAll('#lines tr').length") <= 200
        await page.follow("tr.gap a")
        assert (await numbers(page))[0] == 1005 - 50


async def test_a_screen_reader_is_told_politely_and_seldom(
    browser: Browser, pool: AgentPool
) -> None:
    await members(pool, 1)
    async with live(browser, pool, "log") as page:
        watch = """
            window.said = [];
            window.begun = performance.now();
            new MutationObserver(() => said.push(1)).observe(
                document.querySelector('[role=status][aria-live=polite]'), { childList: true });
        """
        await page.ask(watch)
        for count in (5, 7, 9):
            await chatter(pool, "run.00000", 1)
            await page.until(f"document.querySelectorAll('#lines tr').length == {count}")
        assert await page.ask("said.length - 1 <= (performance.now() - begun) / 15000")


# --- who may not


async def test_another_site_gets_nothing_from_the_browser(
    browser: Browser, pool: AgentPool
) -> None:
    async with (
        served(pool.store, signed_in=False) as site,
        browser.page() as page,
        _another_site(site) as other,
    ):
        await page.go(site.key)
        await page.go(other)
        assert await page.until("document.title") == "no frame, no image, no answer"
        await page.follow("a")
        assert "another site asked" in await page.ask("document.body.textContent")
        page.complaints.clear()
        await page.go(site.url + VIEWS["now"])  # typed, it is there
        assert await page.ask("document.querySelector('h1').textContent") == "Now"


@asynccontextmanager
async def _another_site(site: Site) -> AsyncGenerator[str]:
    there = site.url + VIEWS["now"]
    html = f"""<!doctype html><html><body><a href="{there}">x</a><script>
        const image = new Image();
        const seen = new Promise((done) => {{
            image.onload = () => done("image");
            image.onerror = () => done("no image");
        }});
        image.src = "{site.url}/static/icon.svg";
        const frame = document.createElement("iframe");
        const framed = new Promise((done) => {{
            frame.onload = () => done(frame.contentDocument ? "frame" : "no frame");
        }});
        frame.src = "{there}";
        document.body.append(frame);
        const asked = fetch("{there}", {{ credentials: "include" }})
            .then(() => "answer", () => "no answer");
        Promise.all([framed, seen, asked]).then((all) => {{ document.title = all.join(", "); }});
    </script></body></html>"""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {len(html)}\r\n\r\n"
        writer.write((head + html).encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://localhost:{server.sockets[0].getsockname()[1]}/"


# --- pictures


@pytest.mark.parametrize(
    ("name", "view", "how"),
    [
        ("page-now.webp", "now", {"wide": 1100, "high": 1000}),
        ("page-dark.webp", "log", {"wide": 1100, "high": 700, "dark": True}),
        ("page-phone.webp", "now", {"wide": 390, "high": 844}),
    ],
)
async def test_the_pictures_of_the_guide_are_of_this_page(
    browser: Browser, pool: AgentPool, name: str, view: str, how: dict[str, int]
) -> None:
    """With ``AGENTPOOL_SCREENSHOTS=1`` they are made anew."""
    await a_library(pool)
    async with live(browser, pool, view, **how) as page:
        picture = await page.picture()
    if os.environ.get("AGENTPOOL_SCREENSHOTS") == "1":
        (GUIDES / name).write_bytes(picture)
    kept = (GUIDES / name).read_bytes()
    assert picture[8:12] == kept[8:12] == b"WEBP"
    assert len(kept) < 80_000
