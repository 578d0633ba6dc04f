"""A server that is stopped at once while tasks work: what was acknowledged is there, once."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing, suppress
from itertools import count

import pytest

from agentpool import (
    AgentPool,
    AgentPoolMember,
    AgentPoolStore,
    ClaimLostError,
    RetryClassification,
    RunAddress,
    StoreBusyError,
)
from agentpool.stores.postgres import PostgresAgentPoolStore, statements

from .fixtures import StartServer
from .proxy import Proxy
from .server import Server
from .working import BOUND, POOL, names, opened, pages, pattern, rounds, send, until

NOBODYS_PORT = 1
MANY = 20
STOPS = rounds("STOPS", 2)
BEFORE_EACH = 12
"""Messages that have to come through before the next stop."""


class Progress:
    """Counts what was acknowledged, and lets others wait for some of it."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._came = asyncio.Condition()

    async def note(self, name: str) -> None:
        async with self._came:
            self.names.append(name)
            self._came.notify_all()

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(BOUND), self._came:
            await self._came.wait_for(lambda: len(self.names) >= count)


def differing(found: Iterable[str], expected: Iterable[str]) -> dict[str, int]:
    """Say of which names there are more or fewer than expected, and by how many."""
    counts = Counter(found)
    counts.subtract(Counter(expected))
    return {name: count for name, count in counts.items() if count}


async def stop_now_and_then(server: Server, *progress: Progress) -> None:
    for _ in range(STOPS):
        for each in progress:
            await each.wait_for(len(each.names) + BEFORE_EACH)
        await asyncio.to_thread(server.stop, "immediate")
        await asyncio.to_thread(server.start_again)
    for each in progress:
        await each.wait_for(len(each.names) + BEFORE_EACH)


async def test_a_server_is_stopped_at_once_while_tasks_send_and_take(
    another_postgres: StartServer,
) -> None:
    server = another_postgres()
    reader = AgentPoolMember("run.reader", "agent.r")
    sent, taken, over = Progress(), Progress(), asyncio.Event()
    watched: list[int] = []

    async def sending(pool: AgentPool, task: int) -> None:
        me = AgentPoolMember(f"run.{task}", "agent.s")
        await pool.join_run(me)
        for number in count():
            if over.is_set():
                return
            name = f"message.{task}.{number}"
            await pool.acting_as(me).send(RunAddress.run("run.reader"), content_ref=name)
            await sent.note(name)

    async def taking(pool: AgentPool) -> None:
        async for delivery in pool.inbox("run.reader", lease=BOUND):
            # A claim need not survive that, so another one may have it by now.
            with suppress(ClaimLostError):
                await delivery.ack()
                await taken.note(delivery.message.content_ref)

    async def watching(store: AgentPoolStore) -> None:
        async with aclosing(store.watch(POOL)) as watcher:
            async for record in watcher:
                watched.extend([record.cursor.sequence])

    async with (
        opened(server.url(tcp=True), "agentpool") as first,
        opened(server.url(tcp=True), "agentpool") as second,
        AgentPool.open(first, POOL) as pool,
        AgentPool.open(second, POOL) as other,
    ):
        await pool.join_run(reader)
        senders = [
            asyncio.create_task(sending(each, number))
            for number, each in enumerate((pool, pool, other))
        ]
        takers = [asyncio.create_task(taking(each)) for each in (pool, other)]
        watcher = asyncio.create_task(watching(second))
        await stop_now_and_then(server, sent, taken)
        over.set()
        await asyncio.gather(*senders)
        await taken.wait_for(len(sent.names))
        head = len(pages(server, "agentpool"))
        await until(lambda: watched[-1:] == [head], "the watcher to come to the end")
        for task in (*takers, watcher):
            task.cancel()
        ended = await asyncio.gather(*takers, watcher, return_exceptions=True)
    assert {type(each) for each in ended} == {asyncio.CancelledError}
    assert watched == list(range(1, head + 1))
    assert len(sent.names) == len(set(sent.names)) > STOPS * BEFORE_EACH
    refs = [
        ref
        for _, text in pages(server, "agentpool")
        if (ref := json.loads(text).get("stored", {}).get("message", {}).get("content_ref"))
        and json.loads(text)["stored"]["receipt"]["status"] == "delivered"
    ]
    assert differing(refs, sent.names) == {}
    assert differing(taken.names, sent.names) == {}


def stop_and_start(server: Server) -> None:
    server.stop("immediate")
    server.start_again()


@pytest.mark.parametrize(
    ("go_down", "then"),
    [(stop_and_start, "SELECT 1"), (stop_and_start, "CHECKPOINT"), (Server.crash, "SELECT 1")],
)
async def test_an_ack_counts_also_where_its_transaction_is_lost_and_its_number_given_again(
    another_postgres: StartServer, go_down: Callable[[Server], None], then: str
) -> None:
    # What nobody waits for stays in memory meanwhile.
    server = another_postgres(wal_writer_delay="10s")
    reader = AgentPoolMember("run.reader", "agent.r")
    with Proxy(server.port) as proxy:
        async with (
            opened(server.url(port=proxy.port), "agentpool") as first,
            opened(server.url(tcp=True), "agentpool") as second,
            AgentPool.open(first, POOL) as pool,
            AgentPool.open(second, POOL) as other,
        ):
            await pool.join_run(reader)
            me = other.acting_as(reader)
            for turn in range(2):
                await me.send(RunAddress.run("run.reader"), content_ref=f"message.{turn}")
                delivery = await pool.inbox("run.reader", lease=BOUND).take(timeout=BOUND)
                assert delivery is not None
                await other.store.next_event_sequence(POOL)  # so the claim is on the disk, too
                proxy.lead_to(NOBODYS_PORT)
                cut = proxy.cut_at(pattern(first, statements.COMMIT))
                acking = asyncio.create_task(delivery.ack())
                await asyncio.to_thread(cut.wait)
                await asyncio.to_thread(go_down, server)
                await other.store.next_event_sequence(POOL)
                server.sql(then)
                proxy.lead_to(server.port)
                await acking
                assert await me.inbox.peek(10) == ()


@pytest.mark.parametrize("go_down", [stop_and_start, Server.crash])
async def test_a_number_is_given_once_where_that_of_its_transaction_is_given_again(
    another_postgres: StartServer, go_down: Callable[[Server], None]
) -> None:
    server = another_postgres(wal_writer_delay="10s")
    with Proxy(server.port) as proxy:
        async with (
            opened(server.url(port=proxy.port), "agentpool") as first,
            opened(server.url(tcp=True), "agentpool") as second,
        ):
            numbers = [await each.next_event_sequence(POOL) for each in (first, second)]
            proxy.lead_to(NOBODYS_PORT)
            cut = proxy.cut_at(pattern(first, statements.COMMIT))
            asking = asyncio.create_task(first.next_event_sequence(POOL))
            await asyncio.to_thread(cut.wait)
            await asyncio.to_thread(go_down, server)
            numbers.append(await second.next_event_sequence(POOL))
            for _ in range(MANY):
                server.sql("SELECT pg_current_xact_id()")
            proxy.lead_to(server.port)
            numbers += [await asking, await second.next_event_sequence(POOL)]
    assert len(set(numbers)) == len(numbers)


async def test_a_server_that_stays_away_is_a_typed_error_and_nothing_is_harmed(
    another_postgres: StartServer,
) -> None:
    server = another_postgres()
    async with (
        opened(server.url(tcp=True), "agentpool", busy_timeout=0.3) as store,
        aclosing(store.watch(POOL)) as watcher,
    ):
        body = await store.put_content(b"kept")
        assert (await anext(watcher)).cursor.sequence == 1
        waiting = asyncio.create_task(anext(watcher))
        await asyncio.to_thread(server.stop, "immediate")
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: send(store, "a"),
            lambda: store.next_event_sequence(POOL),
            lambda: store.read(POOL),
            lambda: store.snapshot(POOL),
            store.pool_ids,
            lambda: store.due([POOL]),
            lambda: store.put_content(b"new"),
            lambda: store.get_content(body),
        ]
        for call in calls:
            with pytest.raises(StoreBusyError) as busy:
                await call()
            assert busy.value.retry is RetryClassification.RETRYABLE
        with pytest.raises(StoreBusyError):
            await PostgresAgentPoolStore.open(server.url(tcp=True))
        await asyncio.to_thread(server.start_again)
        for call in calls:
            await call()
        with suppress(StoreBusyError):  # it looked while the server was away
            async with asyncio.timeout(BOUND):
                assert (await waiting).cursor.sequence == 2
    assert names(server, "agentpool") == {"a": 1}
