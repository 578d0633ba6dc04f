"""Who may see the page, and what every answer says to the browser."""

from collections.abc import AsyncGenerator

import httpx
import pytest

from agentpool import AgentPool
from agentpool.stores.memory import InMemoryAgentPoolStore

from .site import POOL, Site, shown

PATHS = ["/", f"/now?pool={POOL}", f"/log?pool={POOL}", f"/health?pool={POOL}", "/static/page.css"]


@pytest.fixture
async def site() -> AsyncGenerator[Site]:
    async with InMemoryAgentPoolStore() as store:
        await AgentPool.open(store, POOL)
        async with shown(store, signed_in=False) as site:
            yield site


async def asked(site: Site, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await site.client.request(method, path, headers=named, follow_redirects=False)


async def test_without_the_token_nothing_is_shown(site: Site) -> None:
    for path in [*PATHS, f"/events?pool={POOL}", "/?token=wrong", "/nowhere"]:
        answer = await asked(site, path)
        assert (answer.status_code, "agentpool web" in answer.text) == (401, True)


async def test_the_token_opens_the_page_once(site: Site) -> None:
    opened = await asked(site, f"/log?pool={POOL}&token={site.gate.token}")
    assert (opened.status_code, opened.headers["location"]) == (303, f"/log?pool={POOL}")
    cookie = opened.headers["set-cookie"].lower()
    assert "samesite=strict" in cookie
    assert "httponly" in cookie
    assert site.gate.token not in opened.text + cookie
    for path in PATHS:
        assert (await asked(site, path)).status_code == 200
    site.client.cookies.clear()
    assert (await asked(site, site.key)).status_code == 401


async def test_what_looks_ahead_does_not_use_the_token_up(site: Site) -> None:
    assert (await asked(site, site.key, "HEAD")).status_code == 401
    assert (await asked(site, site.key, Sec_Purpose="prefetch")).status_code == 401
    assert (await asked(site, site.key, Sec_Fetch_Site="cross-site")).status_code == 403
    assert (await asked(site, site.key)).status_code == 303


async def test_a_cookie_is_of_one_port(site: Site) -> None:
    await asked(site, site.key)
    [(name, value)] = site.client.cookies.items()
    assert name.endswith(site.url.rpartition(":")[2])
    site.client.cookies.clear()
    assert (await asked(site, "/", Cookie=f"agentpool_1={value}")).status_code == 401
    assert (await asked(site, "/", Cookie=f"{name}={value}x")).status_code == 401
    assert (await asked(site, "/", Cookie=f"{name}={value}")).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:{}", 200),
        ("localhost:{}", 200),
        ("LOCALHOST:{}", 200),
        ("[::1]:{}", 200),
        ("evil.example", 421),
        ("evil.example:{}", 421),
        ("127.0.0.1.evil.example:{}", 421),
        ("127.0.0.1@evil.example:{}", 421),
        ("localhost.:{}", 421),
        ("localhost:99999", 421),
        ("localhost:" + "9" * 5000, 421),
        ("localhost:-1", 421),
        ("localhost:x", 421),
        ("localhost:", 421),
        ("localhost:{0}:{0}", 421),
        ("[::1]:65536", 421),
        ("[::1", 421),
        ("[", 421),
        (":{}", 421),
        ("", 421),
    ],
)
async def test_only_names_of_this_machine_are_answered(site: Site, host: str, status: int) -> None:
    await asked(site, site.key)
    host = host.format(site.url.rpartition(":")[2])
    for path in [*PATHS, f"/events?pool={POOL}"][: None if status != 200 else -1]:
        answer = await asked(site, path, Host=host)
        assert answer.status_code == status
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "X"])
async def test_nothing_but_looking_is_done(site: Site, method: str) -> None:
    await asked(site, site.key)
    for path in PATHS:
        answer = await asked(site, path, method)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_a_head_is_that_of_the_page(site: Site) -> None:
    await asked(site, site.key)
    for path in PATHS:
        answer = await asked(site, path, "HEAD")
        assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "same-origin"}, 200),
        ({"Sec_Fetch_Site": "none"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://{}"}, 403),
        ({"Origin": "http://{}"}, 200),
    ],
)
async def test_other_sites_are_refused(site: Site, headers: dict[str, str], status: int) -> None:
    await asked(site, site.key)
    own = site.url.removeprefix("http://")
    named = {name: value.format(own) for name, value in headers.items()}
    for path in PATHS:
        assert (await asked(site, path, **named)).status_code == status


async def test_every_answer_says_what_the_browser_may_do(site: Site) -> None:
    refused = [await asked(site, "/"), await asked(site, "/", Host="evil.example")]
    await asked(site, site.key)
    shown = [await asked(site, path) for path in PATHS]
    refused += [await asked(site, "/nowhere"), await asked(site, "/", "POST")]
    for answer in [*refused, *shown]:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers


async def test_a_path_that_looks_like_a_host_leads_nowhere_else(site: Site) -> None:
    answer = await asked(site, f"{site.url}//evil.example/?token={site.gate.token}")
    assert answer.headers["location"].startswith("/evil.example")
