"""A store on a server is a store; also far away, and where it cannot listen.

``AGENTPOOL_DELAY=0.0005`` has all that goes either way come so many seconds later,
``AGENTPOOL_LISTEN=0`` has nobody listen.
"""

import itertools
import os
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager

import pytest
from postgres.proxy import Proxy
from postgres.server import Server

from agentpool import AgentPoolStore, open_store
from agentpool.support.clock import Clock
from agentpool.testing import PoolConformance, SharedStoreConformance, StoreConformance

DELAY = float(os.environ.get("AGENTPOOL_DELAY", "0"))
LISTEN = os.environ.get("AGENTPOOL_LISTEN") != "0"


@pytest.fixture(scope="session")
def reached(postgres: Server) -> Iterator[str]:
    """Say how to connect, from as far away as is wanted."""
    if not DELAY:
        yield postgres.url()
        return
    with Proxy(postgres.port, delay=DELAY) as proxy:
        yield postgres.url(port=proxy.port)


class OnServer:
    """Every store gets a schema of its own."""

    @pytest.fixture(autouse=True)
    def _new_schemas(self, reached: str, schema: str) -> None:
        self._url = reached
        self._schemas = (f"{schema}_{number}" for number in itertools.count())


class TestPostgresAgentPoolStore(OnServer, StoreConformance):
    def open_store(self) -> AbstractAsyncContextManager[AgentPoolStore]:
        return open_store(self._url, schema=next(self._schemas), listen=LISTEN)


class TestPoolsInPostgres(OnServer, PoolConformance):
    def open_store(self, clock: Clock) -> AbstractAsyncContextManager[AgentPoolStore]:
        return open_store(self._url, schema=next(self._schemas), clock=clock, listen=LISTEN)


def open_postgres(place: str) -> AbstractAsyncContextManager[AgentPoolStore]:
    url, _, schema = place.partition(" ")
    return open_store(url, schema=schema, listen=LISTEN)


class TestSharedPostgres(OnServer, SharedStoreConformance):
    factory = "test_postgres:open_postgres"

    def new_place(self) -> str:
        return f"{self._url} {next(self._schemas)}"
