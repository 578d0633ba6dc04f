import itertools
from contextlib import AbstractAsyncContextManager

import pytest

from agentpool import AgentPoolStore, open_store
from agentpool.support.clock import Clock
from agentpool.testing import PoolConformance, SharedStoreConformance, StoreConformance


class OnServer:
    """Every store gets a schema of its own."""

    @pytest.fixture(autouse=True)
    def _new_schemas(self, postgres_url: str, schema: str) -> None:
        self._url = postgres_url
        self._schemas = (f"{schema}_{number}" for number in itertools.count())


class TestPostgresAgentPoolStore(OnServer, StoreConformance):
    def open_store(self) -> AbstractAsyncContextManager[AgentPoolStore]:
        return open_store(self._url, schema=next(self._schemas))


class TestPoolsInPostgres(OnServer, PoolConformance):
    def open_store(self, clock: Clock) -> AbstractAsyncContextManager[AgentPoolStore]:
        return open_store(self._url, schema=next(self._schemas), clock=clock)


def open_postgres(place: str) -> AbstractAsyncContextManager[AgentPoolStore]:
    url, _, schema = place.partition(" ")
    return open_store(url, schema=schema)


class TestSharedPostgres(OnServer, SharedStoreConformance):
    factory = "test_postgres:open_postgres"

    def new_place(self) -> str:
        return f"{self._url} {next(self._schemas)}"
