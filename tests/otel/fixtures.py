"""Fixtures of the tests of tracing: providers in memory, and a pool of three."""

from collections.abc import AsyncIterator, Iterator

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from agentpool import AgentPool, MemberHandle, open_pool
from agentpool.otel import instrument, uninstrument
from agentpool.testing import a_member

from .helpers import POOL, Spans


@pytest.fixture
def reader() -> InMemoryMetricReader:
    return InMemoryMetricReader()


@pytest.fixture
def spans(reader: InMemoryMetricReader) -> Iterator[Spans]:
    """Trace and count, in memory, for the length of a test."""
    spans = Spans()
    meters = MeterProvider([reader])
    instrument(tracer_provider=spans.provider, meter_provider=meters)
    yield spans
    uninstrument()
    spans.provider.shutdown()
    meters.shutdown()


@pytest.fixture
async def pool() -> AsyncIterator[AgentPool]:
    async with open_pool("memory:", POOL) as pool:
        yield pool


@pytest.fixture
async def ada(pool: AgentPool) -> AsyncIterator[MemberHandle]:
    async with pool.member(a_member("run.ada")) as ada:
        yield ada


@pytest.fixture
async def bob(pool: AgentPool) -> AsyncIterator[MemberHandle]:
    async with pool.member(a_member("run.bob")) as bob:
        yield bob
