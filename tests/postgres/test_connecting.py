"""What becomes of a connection that cannot be had: who is to try again, and who is told."""

import asyncio
import logging
from contextlib import aclosing
from typing import Any, NoReturn

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from agentpool import IncompatibleStoreError, InvalidValueError, StoreBusyError, open_store
from agentpool.stores.postgres import bell
from agentpool.stores.postgres.errors import not_connected
from agentpool.stores.postgres.opening import Options
from agentpool.stores.postgres.session import Place, checked_url
from agentpool.support.clock import wall_clock

from .server import Server
from .test_stops import NOBODYS_PORT
from .working import BOUND, POOL, opened, send, until

REFUSED = 'connection failed: connection to server at "h", port 1 failed: Connection refused'
STARTING = 'connection to server at "h", port 1 failed: FATAL:  the database system is starting up'
NO_DATABASE = 'connection to server at "h", port 1 failed: FATAL:  database "d" does not exist'
NO_ENTRY = 'failed: FATAL:  pg_hba.conf rejects connection for host "h", user "u", database "d"'


def of_several(*attempts: tuple[str, str, str]) -> str:
    """Say what psycopg says of several attempts: host, address, what is wrong."""
    lines = [
        f"- host: {host!r}, port: '1', hostaddr: {at!r}: {said}" for host, at, said in attempts
    ]
    head = (attempts[-1][2], "Multiple connection attempts failed. All failures were:")
    return "\n".join([*head, *lines])


@pytest.mark.parametrize(
    "said",
    [
        REFUSED,
        STARTING,
        REFUSED.replace('"h"', '"certificate"'),
        'connection to server on socket "/invalid path/.s.PGSQL.1" failed: No such file',
        "failed to resolve host 'authentication.invalid': [Errno -2] Name or service not known",
        of_several(("a", "1.1.1.1", REFUSED), ("b", "1.1.1.2", NO_DATABASE)),
        of_several(("a", "1.1.1.1", NO_DATABASE), ("b", "1.1.1.2", STARTING)),
    ],
)
def test_a_server_that_is_away_is_tried_again_whatever_it_is_called(said: str) -> None:
    assert type(not_connected(psycopg.OperationalError(said), "here", 1)) is StoreBusyError


@pytest.mark.parametrize(
    "said",
    [
        NO_DATABASE,
        NO_ENTRY,
        'failed: FATAL:  unrecognized configuration parameter "nope"',
        'definition of service "x" not found',
        "bad value for connect_timeout: 'abc'",
        of_several(("a", "::1", REFUSED), ("a", "127.0.0.1", NO_DATABASE)),
        of_several(("a", "1.1.1.1", NO_ENTRY), ("b", "1.1.1.2", NO_DATABASE)),
        of_several(("a", "1.1.1.1", f"no GSSAPI\n{NO_ENTRY}"), ("b", "1.1.1.2", NO_DATABASE)),
    ],
)
def test_what_somebody_has_to_mend_is_not_tried_again(said: str) -> None:
    assert type(not_connected(psycopg.OperationalError(said), "here", 1)) is IncompatibleStoreError


def test_a_host_of_which_nothing_is_said_is_away() -> None:
    """Its name leads nowhere for now, of which psycopg says nothing."""
    refused = psycopg.OperationalError(NO_DATABASE)
    for hosts, expected in ((1, IncompatibleStoreError), (2, StoreBusyError)):
        assert type(not_connected(refused, "here", hosts)) is expected


@pytest.mark.parametrize(
    ("servers", "hosts"),
    [("h", 1), ("h,g", 2), ("h:1,h:2", 2), ("h,h", 1), ("", 1), ("h:1,g", 2)],
)
def test_hosts_are_counted(servers: str, hosts: int) -> None:
    assert Place(checked_url(f"postgresql://{servers}/d", "url"), '"s"', 1).hosts == hosts


async def test_of_several_hosts_one_that_is_away_is_waited_for(postgres: Server) -> None:
    hosts = f"127.0.0.1:{NOBODYS_PORT},127.0.0.1:{postgres.port}"
    for servers, expected in (
        (hosts, StoreBusyError),
        (f"127.0.0.1:{postgres.port}", IncompatibleStoreError),
    ):
        with pytest.raises(expected):
            await open_store(f"postgresql://postgres@{servers}/nothing", busy_timeout=0)


async def test_opening_waits_no_longer_than_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def connect(conninfo: str, **_: Any) -> NoReturn:
        tried.append(str(conninfo_to_dict(conninfo)["connect_timeout"]))
        raise psycopg.OperationalError(REFUSED)

    monkeypatch.setattr(psycopg, "connect", connect)
    for seconds in (0.5, 4, 60):
        with pytest.raises(StoreBusyError):
            await open_store("postgresql://h/d", busy_timeout=seconds)
    assert tried == ["2", "4", "10"]


@pytest.mark.parametrize("seconds", [3_000_000, 1e10])
async def test_one_may_wait_for_ever(postgres: Server, schema: str, seconds: float) -> None:
    async with opened(postgres.url(), schema, busy_timeout=seconds) as store:
        assert await send(store, "a") == 2


@pytest.mark.parametrize("host", ["a..b", "a" * 64, "u\0@h"])
def test_what_can_be_no_host_is_refused(host: str) -> None:
    wrong, right = f"postgresql://{host}/d", "postgresql://h/d"
    for url, listen_url in ((wrong, right), (right, wrong)):
        with pytest.raises(InvalidValueError, match=r"^(path|url|listen_url): "):
            open_store(url, listen_url=listen_url)


@pytest.mark.parametrize("where", ["at nobody", "at another database"])
async def test_where_nothing_is_heard_it_is_looked_often_and_told_once(
    postgres: Server,
    schema: str,
    where: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(bell, "NET_SECONDS", 2 * BOUND)
    caplog.set_level(logging.INFO, "agentpool")
    nobody = f"postgresql://postgres@127.0.0.1:{NOBODYS_PORT}/postgres"
    listen_url = nobody if where == "at nobody" else postgres.url("template1")

    def warned() -> list[logging.LogRecord]:
        told = [each for each in caplog.records if each.levelno >= logging.WARNING]
        return [each for each in told if getattr(each, "action", "") == "not_listening"]

    async with (
        asyncio.timeout(BOUND),
        opened(postgres.url(), schema, listen_url=listen_url) as store,
        opened(postgres.url(), schema) as other,
        aclosing(store.watch(POOL)) as watcher,
    ):
        await anext(watcher)
        for number in range(3):
            following = asyncio.ensure_future(anext(watcher))
            last = await send(other, str(number))
            assert (await following).cursor.sequence == last
        await until(lambda: bool(warned()), "it was told")
        await watcher.aclose()
        tried = len(caplog.records)
        async with aclosing(store.watch(POOL)) as again:
            await anext(again)
            await until(lambda: len(caplog.records) > tried + 3, "it was tried again and again")
    assert len(warned()) == 1


@pytest.mark.parametrize(("busy_timeout", "most"), [(1, 1), (60, 5), (1e6, 5)])
def test_beginning_to_listen_is_not_waited_for_as_long_as_a_write(
    busy_timeout: float, most: float
) -> None:
    """A handle that is closed waits for that, and has other means meanwhile."""
    options = Options.checked(
        "postgresql://h/d", "s", busy_timeout, wall_clock, 1,
        listen=True, listen_url=None, create=True, migrate=True,
    )  # fmt: skip
    assert options.listens_at is not None
    assert options.listens_at.patience == most
    assert options.place.patience == busy_timeout
