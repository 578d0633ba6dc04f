"""Fixtures of all tests that need a PostgreSQL server, wherever they are.

Where there is none they are skipped; with ``CI=true`` and ``AGENTPOOL_NEEDS_POSTGRES=1`` they fail.
``AGENTPOOL_TEST_DELAY`` is how many milliseconds away it is, each way; what starts a server of its
own has it at hand.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn, Protocol
from uuid import uuid4

import pytest

from .programs import NoPostgresError
from .proxy import Proxy
from .server import Server, Setting

__all__ = ("StartServer", "another_postgres", "far_port", "postgres", "postgres_url", "schema")


class StartServer(Protocol):
    """Starts a server with these settings of ``postgresql.conf``."""

    def __call__(self, folder: Path | None = None, **settings: Setting) -> Server: ...


def _missing(reason: NoPostgresError) -> NoReturn:
    if os.environ.get("CI") == "true" and os.environ.get("AGENTPOOL_NEEDS_POSTGRES") == "1":
        pytest.fail(str(reason), pytrace=False)
    pytest.skip(str(reason))


def _start(folder: Path | None = None, **settings: Setting) -> Server:
    try:
        return Server.start(folder, **settings)
    except NoPostgresError as reason:
        _missing(reason)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """Start a server that all tests of this process share; so none of them stops it."""
    with _start() as server:
        yield server


@pytest.fixture(scope="session")
def far_port(postgres: Server) -> Iterator[int | None]:
    """Listen where the server is farther away, if that was asked for."""
    millis = float(os.environ.get("AGENTPOOL_TEST_DELAY", "0"))
    if not millis:
        yield None
        return
    with Proxy(postgres.port, delay=millis / 1000) as proxy:
        yield proxy.port


@pytest.fixture
def postgres_url(postgres: Server, far_port: int | None) -> str:
    """Say how to connect to a database in UTF-8 with the collation "C", which tests share."""
    return postgres.url(port=far_port)


@pytest.fixture
def schema(postgres: Server) -> Iterator[str]:
    """Name a schema that is not there yet; it is gone after the test."""
    name = f"test_{uuid4().hex}"
    yield name
    postgres.sql(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')


@pytest.fixture
def another_postgres() -> Iterator[StartServer]:
    """Start servers that a test has for itself, and may stop and kill; they end with it."""
    with ExitStack() as servers:

        def start(folder: Path | None = None, **settings: Setting) -> Server:
            return servers.enter_context(_start(folder, **settings))

        yield start
