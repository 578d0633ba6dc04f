"""On a server, all of it is as on a file; there is no write-ahead log of the pool's own."""

import asyncio

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from agentpool import RunAddress, open_pool
from agentpool.otel import gauges
from agentpool.testing import a_member

from .helpers import POOL, Spans, answering, entries, ids, parent_id, traceparent
from .test_gauges import values

pytest.importorskip("psycopg")


async def test_a_trace_and_gauges_on_a_server(
    spans: Spans, reader: InMemoryMetricReader, postgres_url: str, schema: str
) -> None:
    async with (
        open_pool(postgres_url, POOL, schema=schema) as pool,
        pool.member(a_member("run.ada")) as ada,
        pool.member(a_member("run.bob")) as bob,
    ):
        async with answering(bob):
            answer = await ada.ask_one(RunAddress.run("run.bob"), "Where is Dune?")
        question, answer_sent = spans.all("send")
        assert entries(answer) == {"traceparent": traceparent(answer_sent)}
        assert ids(answer_sent)[0] == ids(question)[0]
        assert parent_id(spans.one("process")) == ids(question)[1]
        await ada.send(RunAddress.run("run.bob"), "hello")
        async with asyncio.timeout(200), gauges(pool):
            found = values(reader)
    assert found.pop("inbox.oldest.age") >= 0
    assert found == {
        "inbox.unread": 1,
        "inbox.claimed": 0,
        "inbox.redelivered": 0,
        "waits.open": 0,
    }
