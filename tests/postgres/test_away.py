"""Many who ask something of a server that is away: all wait together, and closing ends it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn

import pytest

from agentpool import StoreBusyError, StoreClosedError
from agentpool.stores.postgres import reconnecting, session

from .proxy import Proxy
from .server import Server
from .test_stops import NOBODYS_PORT
from .working import POOL, opened

MANY = 48


async def test_many_reads_wait_for_a_server_that_is_away_as_long_as_one(
    postgres: Server, schema: str
) -> None:
    with Proxy(postgres.port) as proxy:
        url = postgres.url(port=proxy.port)
        async with opened(url, schema, busy_timeout=0.3, listen=False) as store:
            calls: list[Callable[[], Awaitable[object]]] = [
                lambda: store.message_receipt(POOL, "key"),
                lambda: store.due([POOL]),
                lambda: store.look_at(POOL, lambda pool: pool.source.head()),
            ]
            proxy.lead_to(NOBODYS_PORT)
            proxy.cut()
            before = proxy.connections
            told = await asyncio.gather(
                *(call() for _ in range(MANY // len(calls)) for call in calls),
                return_exceptions=True,
            )
            assert {type(each) for each in told} == {StoreBusyError}
            assert 1 < proxy.connections - before < MANY / 2
            proxy.lead_to(postgres.port)
            for call in calls:
                await call()


async def test_closing_ends_all_reads_that_wait_for_a_server(
    postgres: Server, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_SLACK_SECONDS", 0.5)
    attempts: list[object] = []

    def refuse(*given: object) -> NoReturn:
        attempts.append(given)
        msg = "the server is away"
        raise StoreBusyError(msg)

    with Proxy(postgres.port) as proxy:
        url = postgres.url(port=proxy.port)
        async with opened(url, schema, busy_timeout=0.5, listen=False) as store:
            proxy.freeze()
            asked = [asyncio.create_task(store.message_receipt(POOL, "key")) for _ in range(4)]
            await asyncio.sleep(0)
            monkeypatch.setattr(reconnecting, "connect", refuse)
        told = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(each) for each in told} == {StoreClosedError}
    assert attempts == []
