"""Whatever a URL with a password in it is given to, and however it is written: nobody shows it."""

import asyncio
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from agentpool import open_store
from agentpool.cli import main
from agentpool.doctor import examine
from agentpool.errors import AgentPoolError, InvalidValueError
from agentpool.stores.postgres import PostgresAgentPoolStore
from agentpool.stores.postgres.opening import Options
from agentpool.stores.postgres.session import checked_url
from agentpool.support.clock import wall_clock
from agentpool.support.places import has_password, without_secrets

SECRET: Final = "hunter2secret"  # noqa: S105  # of nothing
NOBODY: Final = "127.0.0.1:1"
REFUSED: Final = [
    f"postgresql://me:{SECRET}%zz@{NOBODY}/db",
    f"postgresql://me:{SECRET}%00@{NOBODY}/db",
    f"postgresql://me:{SECRET}@[::1]x/db",
    f"postgresql://me:{SECRET}@[::1/db",
    f"postgresql://me:{SECRET}@[]/db",
    f"postgresql:/me:{SECRET}@{NOBODY}/db",
    f"postgresql:me:{SECRET}@{NOBODY}/db",
    f"postgresql://me:p/{SECRET}@{NOBODY}/db",
    f"postgresql://me:1/{SECRET}@{NOBODY}/db",
    f"postgresql://me:{SECRET}/p@{NOBODY}/db",
    f"postgresql://me:p@{SECRET}@{NOBODY}/db",
    f"postgresql://me:{SECRET}@p@{NOBODY}/db",
    f"postgresql://me:p@p/{SECRET}@{NOBODY}/db",
    f"postgresql://me:p@{SECRET}/p@{NOBODY}/db",
    f"postgresql://me:p@p:{SECRET}@{NOBODY}/db",
    f"postgresql://me:{SECRET}@{NOBODY}/db?sslmod=require",
    f"postgresql://me@{NOBODY}/db?password={SECRET}&x",
    f"postgresql://me@{NOBODY}/db?password={SECRET}=x",
    f"postgresql://me@{NOBODY}/db?passwort={SECRET}",
    f"postgresql:host=127.0.0.1 password={SECRET} foo",
    f"postgresql:host=127.0.0.1 password='{SECRET}",
    f"postgresql+psycopg://me:{SECRET}@{NOBODY}/db",
    f"mysql://me:{SECRET}@{NOBODY}/db",
]
TAKEN: Final = [
    f"postgresql://me:{SECRET}@{NOBODY}/db",
    f"postgresql://me:{SECRET}?@{NOBODY}/db",
    f"postgresql://me:{SECRET}#%2F%40@{NOBODY}/db",
    f"postgresql://me@{NOBODY}/db?password={SECRET}",
    f"postgresql://{NOBODY}/db?user=me@there&password={SECRET}",
    f"postgresql://me:{SECRET}@{NOBODY}/db?sslmode=bogus",
    f"postgresql://me:{SECRET}@127.0.0.1:99999/db",
    f"PostgreSQL://me:{SECRET}@{NOBODY}/db",
    f"postgres://me:{SECRET}@{NOBODY}/db",
    f" postgresql://me:{SECRET}@{NOBODY}/db",
]
VERBS: Final[dict[str, Callable[[str], list[str]]]] = {
    "pools": lambda url: ["pools", "--store", url],
    "check": lambda url: ["check", "--store", url],
    "doctor": lambda url: ["doctor", url],
    "backup": lambda url: ["backup", "copy.db", "--store", url],
    "setup": lambda url: ["setup", "claude", "--store", url, "--pool", "pool.a"],
    "copy from": lambda url: ["copy", url, "copy.db"],
    "copy to": lambda url: ["copy", "pool.db", url],
    "one too many": lambda url: ["pools", "--store", "pool.db", url],
    "another verb": lambda url: [url],
}


@pytest.fixture(params=REFUSED + TAKEN)
def url(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def tracebacks(calls: Iterator[Callable[[], object]]) -> Iterator[str]:
    """Give all that is said of calls that fail."""
    for call in calls:
        try:
            yield str(call())
        except AgentPoolError as error:
            yield "".join(traceback.format_exception(type(error), error, None))


async def _open(*places: str) -> None:
    async with open_store(places[0] if len(places) == 1 else places, busy_timeout=0):
        pass


def test_no_secret_is_told_by_the_library(url: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: asyncio.run(_open(url)),
        lambda: asyncio.run(_open(url, url)),
        lambda: PostgresAgentPoolStore.open(url),
        lambda: PostgresAgentPoolStore.open("postgresql://h/db", listen_url=url),
        lambda: examine(url),
        lambda: repr(examine(url)),
        lambda: without_secrets(url),
    ]
    told = "\n".join(tracebacks(iter(calls)))
    assert told.count("\n") >= len(calls) - 1
    assert SECRET not in told


@pytest.mark.parametrize("verb", VERBS)
def test_no_secret_is_told_by_the_command_line(
    url: str,
    verb: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with suppress(SystemExit):
        main(VERBS[verb](url))
    told = capsys.readouterr()
    assert told.out + told.err
    assert SECRET not in told.out + told.err


@pytest.mark.parametrize("url", REFUSED)
def test_a_url_with_which_a_password_may_be_mistaken_is_refused(url: str) -> None:
    with pytest.raises(InvalidValueError):
        asyncio.run(_open(url))


@pytest.mark.parametrize("url", TAKEN)
def test_a_url_with_a_password_is_known_as_that(url: str) -> None:
    assert has_password(url)
    how = Options.checked(
        f"postgresql:{url.partition(':')[2]}", "agentpool", 1, wall_clock, 100,
        listen=True, listen_url=None, create=True, migrate=True,
    )  # fmt: skip
    assert SECRET not in f"{how!r} {how} {how.place!r} {how.place}"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///db",
        "postgresql://me@/db",
        "postgresql://%2Ftmp%2Fsocket:5/d%2F%40b",
        "postgresql://[::1]:5,h:6,g/db?user=a@b",
        "host=h dbname=a/@b",
    ],
)
def test_what_is_certain_is_taken(url: str) -> None:
    assert checked_url(url, "url")
