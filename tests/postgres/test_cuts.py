"""Connections that are cut around a COMMIT: nothing is lost, nothing doubled, nobody gets an error.

Also without a key, since the server says what became of the transaction.
"""

import asyncio
from itertools import product
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from agentpool import StoreBusyError, StoreError
from agentpool.stores.postgres import engine, session, statements
from agentpool.stores.postgres.pipeline import Statement

from .proxy import Proxy, When
from .server import Server
from .working import HELLO, POOL, Work, come, go, left_by, names, opened, pattern, rounds, send

ROUNDS = rounds("CUT_ROUNDS", 1)
"""How often all cuts are made that there are."""
PLACES: dict[str, Statement] = {
    "the trip before": statements.LOCK,
    "the commit": statements.COMMIT,
}
MOMENTS: tuple[When, ...] = ("before", "after", "answered")


@pytest.mark.parametrize("work", [send, go])
async def test_a_call_that_was_cut_off_is_carried_out_once(
    postgres: Server, schema: str, work: Work
) -> None:
    expected: dict[str, int] = {}
    with Proxy(postgres.port) as proxy:
        async with opened(postgres.url(port=proxy.port), schema) as store:
            for turn, place, moment, also in product(
                range(ROUNDS), PLACES, MOMENTS, (None, *MOMENTS)
            ):
                name = f"{turn} {place} {moment} {also}"
                await come(store, name)
                cuts = [proxy.cut_at(pattern(store, PLACES[place]), moment)]
                if also:  # the next connection is cut too
                    cuts.append(proxy.cut_at(HELLO, also))
                await work(store, name)
                expected |= left_by(come, name) | left_by(work, name)
                assert all(cut.happened for cut in cuts)
    assert names(postgres, schema) == expected


async def test_batches_that_were_cut_off_are_carried_out_once(
    postgres: Server, schema: str
) -> None:
    expected: dict[str, int] = {}
    numbers: list[int] = []
    with Proxy(postgres.port) as proxy:
        async with opened(postgres.url(port=proxy.port), schema) as store:
            await store.open_pool("pool.other")
            for turn, place, moment in product(range(2 * ROUNDS), PLACES, MOMENTS):
                cut = proxy.cut_at(pattern(store, PLACES[place]), moment)
                batch = [f"{turn} {place} {moment} {each}" for each in range(8)]
                more = [store.next_event_sequence(POOL) for _ in batch]
                others = [send(store, name, "pool.other") for name in batch]
                found = await asyncio.gather(
                    *more, *others, *(send(store, name) for name in batch),
                    *(come(store, name) for name in batch), *(go(store, name) for name in batch),
                )  # fmt: skip
                numbers += [each for each in found[: len(more)] if each is not None]
                for name in batch:
                    expected |= left_by(send, name) | left_by(come, name) | left_by(go, name)
                assert cut.happened
    assert names(postgres, schema) == expected
    assert set(names(postgres, schema, "pool.other").values()) == {1}
    assert numbers == list(range(1, len(numbers) + 1))


async def test_a_transaction_without_records_is_carried_out_once(
    postgres: Server, schema: str
) -> None:
    with Proxy(postgres.port) as proxy:
        async with opened(postgres.url(port=proxy.port), schema) as store:
            numbers = []
            for place, moment in product(PLACES, MOMENTS):
                cut = proxy.cut_at(pattern(store, PLACES[place]), moment)
                numbers.append(await store.next_event_sequence(POOL))
                assert cut.happened
    assert numbers == list(range(1, len(numbers) + 1))


async def test_a_call_that_is_cut_off_again_and_again_ends_with_an_error(
    postgres: Server, schema: str
) -> None:
    with Proxy(postgres.port) as proxy:
        async with opened(postgres.url(port=proxy.port), schema, busy_timeout=0.1) as store:
            await store.read(POOL)
            proxy.cut()
            for begin in (statements.BEGIN_READING, statements.BEGIN_WRITING):
                for _ in range(500):
                    proxy.cut_at(begin.sql.encode())
            for call in (send(store, "a"), store.read(POOL)):
                with pytest.raises(StoreBusyError):
                    await call
            proxy.lead_to(postgres.port)
            assert await send(store, "b") == 2
    assert names(postgres, schema) == {"b": 1}


@pytest.mark.parametrize("is_writing", [False, True])
async def test_a_silent_network_is_not_waited_for_much_longer_than_was_asked(
    postgres: Server, schema: str, monkeypatch: pytest.MonkeyPatch, *, is_writing: bool
) -> None:
    monkeypatch.setattr(session, "_SLACK_SECONDS", 0.1)
    tried: list[int] = []
    connecting = psycopg.connect

    def connect(conninfo: str, **options: Any) -> Any:
        tried.append(int(conninfo_to_dict(conninfo)["connect_timeout"] or 0))
        return connecting(conninfo, **options)

    with Proxy(postgres.port) as proxy:
        url = postgres.url(port=proxy.port)
        async with opened(url, schema, busy_timeout=0.1, listen=False) as store:
            await store.read(POOL)
            monkeypatch.setattr(psycopg, "connect", connect)
            proxy.freeze()
            with pytest.raises(StoreBusyError):
                await (send(store, "a") if is_writing else store.read(POOL))
            proxy.thaw()
    assert set(tried) == {2}


async def test_what_cannot_be_told_is_told_as_that(
    postgres: Server, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_OUTCOME_SECONDS", 0.1)
    with Proxy(postgres.port) as proxy:
        async with opened(postgres.url(port=proxy.port), schema, busy_timeout=0) as store:
            proxy.cut_at(pattern(store, statements.COMMIT), "after")
            away = [proxy.cut_at(HELLO) for _ in range(100)]
            with pytest.raises(StoreError, match="not known whether that was carried out"):
                await send(store, "a")
            assert away[0].happened
            with pytest.raises(StoreBusyError):
                await send(store, "b")
        async with opened(postgres.url(), schema) as store:
            assert await send(store, "a") == 2


async def test_what_is_read_and_kept_goes_on_after_a_cut(postgres: Server, schema: str) -> None:
    body = bytes(range(256)) * 9000
    with Proxy(postgres.port) as proxy:
        async with opened(postgres.url(port=proxy.port), schema) as store:
            await send(store, "a")
            for _ in range(3):
                assert proxy.cut()
                assert len(await store.read(POOL)) == 2
            putting = asyncio.create_task(store.put_content(body))
            for _ in range(5):
                proxy.cut()
                await asyncio.sleep(0.05)
            assert await store.get_content(await putting) == body
