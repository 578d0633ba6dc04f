"""The verb, as a process: what it prints, what it leaves alone, how it ends."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from agentpool import AgentPool, AgentPoolMember, RunAddress, open_pool, open_store
from agentpool.cli import main

from .site import PATIENCE, POOL

pytestmark = pytest.mark.slow
WEB = (sys.executable, "-m", "agentpool", "web")


class Served(NamedTuple):
    """A page that another process serves, and a client that has the cookie."""

    process: asyncio.subprocess.Process
    url: str
    client: httpx.AsyncClient

    async def ended(self, how: int = signal.SIGINT) -> tuple[int, str]:
        self.process.send_signal(how)
        async with asyncio.timeout(PATIENCE):
            out, err = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, (out + err).decode()


@asynccontextmanager
async def web(store: Path, *more: str) -> AsyncGenerator[Served]:
    process = await asyncio.create_subprocess_exec(
        *WEB, "--store", str(store), *more, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            url = (await process.stdout.readline()).decode().removesuffix("\n")
        async with httpx.AsyncClient(
            base_url=url.partition("/?")[0],
            timeout=PATIENCE,
            follow_redirects=True,
            trust_env=False,
        ) as client:
            yield Served(process, url, client)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "pool.db"


@pytest.fixture
async def pool(place: Path) -> AsyncGenerator[AgentPool]:
    async with open_pool(place, POOL) as pool:
        await pool.join_run(AgentPoolMember("run.ada", "agent.any"))
        yield pool


@pytest.mark.usefixtures("pool")
async def test_one_line_is_printed_which_opens_the_page(place: Path) -> None:
    async with web(place) as served:
        assert served.url.startswith("http://127.0.0.1:")
        answer = await served.client.get(served.url)
        assert (answer.status_code, POOL in answer.text) == (200, True)
        now = await served.client.get("/now", params={"pool": POOL})
        assert "run.ada" in now.text
        assert await served.ended() == (0, "")


_BROWSER = """
import sys, urllib.error, urllib.request
try:
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1])
except urllib.error.HTTPError as error:
    print(error.code)  # for it keeps no cookies
"""


@pytest.mark.usefixtures("pool")
async def test_a_browser_may_wait_for_the_page(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = tmp_path / "browser.py"
    browser.write_text(_BROWSER, "utf-8")
    monkeypatch.setenv("BROWSER", f"{sys.executable} {browser} %s")
    async with web(place, "--open") as served:
        assert served.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            assert await served.process.stdout.readline() == b"401\n"
        assert await served.ended() == (0, "")


@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_quietly_while_pages_are_followed(place: Path, how: int) -> None:
    async with web(place) as served:
        await served.client.get(served.url)
        streams = [
            await served.client.send(
                served.client.build_request("GET", "/events", params={"pool": POOL, "view": view}),
                stream=True,
            )
            for view in ("log", "now")
        ]
        assert await served.ended(how) == (0, "")
        for each in streams:
            async with asyncio.timeout(PATIENCE):
                assert b"retry" in await each.aread()


async def test_it_reads_only_also_what_is_due(pool: AgentPool, place: Path) -> None:
    await pool.aclose()
    async with open_store(place) as store:
        unkept = AgentPool(store, POOL)  # in which nobody carries out what is due
        me = unkept.acting_as(AgentPoolMember("run.ada", "agent.any"))
        await me.send(RunAddress.run("run.ada"), "x", expires_in=1, idempotency_key="key")
        await asyncio.sleep(1.1)  # now it has expired, and nobody says so
        before = await store.query(POOL, lambda view: (view.head, view.deadlines(2**62, 10)))
        async with web(place) as served:
            await served.client.get(served.url)
            for path in ("/now", "/log", "/health", "/message?key=key&body=1"):
                answer = await served.client.get(path, params={"pool": POOL, "key": "key"})
                assert answer.status_code == 200
        after = await store.query(POOL, lambda view: (view.head, view.deadlines(2**62, 10)))
    assert before == after
    assert len(before[1]) == 1


@pytest.mark.usefixtures("pool")
async def test_the_doctor_looks_in_a_process_of_its_own(place: Path) -> None:
    async with web(place) as served:
        await served.client.get(served.url)
        plain = await served.client.get("/health", params={"pool": POOL})
        assert "the write-ahead log has" in plain.text
        assert "integrity" not in plain.text
        asked = await served.client.get("/health", params={"pool": POOL, "examine": 1})
        assert "every page is in its place" in asked.text


def test_nothing_is_made_where_nothing_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["web", "--store", str(tmp_path / "none.db")]) == 3
    out, err = capsys.readouterr()
    assert (out, "agentpool init" in err) == ("", True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "no address"),  # noqa: S104  # which is refused
        (["--host", "::"], "no address"),
        (["--host", "192.0.2.1"], "cannot be had"),
        (["--host", "nowhere.invalid"], "cannot be had"),
        (["--port", "70000"], "to 65535"),
        (["--port", "-1"], "to 65535"),
        (["--port", "{taken}"], "cannot be had"),
    ],
)
def test_an_address_that_cannot_be_had_is_refused_in_a_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        given = [each.format(taken=port) for each in arguments]
        assert main(["web", "--store", "none.db", *given]) == 2
    out, err = capsys.readouterr()
    assert (out, said in err, len(err.splitlines())) == ("", True, 1)


def test_without_its_packages_it_says_in_a_line_what_to_install(tmp_path: Path) -> None:
    hidden = tmp_path / "starlette.py"
    hidden.write_text("raise ModuleNotFoundError('no starlette')\n", "utf-8")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [*WEB, "--store", "none.db"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'agentpool-store[web]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
