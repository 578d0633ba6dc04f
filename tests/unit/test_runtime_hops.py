"""What waiting costs on a file: hops to the worker threads, and calls about pools at rest."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest

from agentpool import AgentPool, RunAddress, SqliteAgentPoolStore
from agentpool.inbox import Inbox
from agentpool.rules.claims import ClaimTerms
from agentpool.rules.consequences import CatchUp
from agentpool.rules.sending import Send
from agentpool.rules.topics import ANY, DEADLINES, LOG, inbox_topic
from agentpool.runtime import upkeep
from agentpool.runtime.opened import OpenedPool
from agentpool.stores.sqlite import foreign_writes
from agentpool.stores.sqlite.connection import WorkerConnection
from agentpool.stores.sqlite.doorbell import slot_of
from agentpool.stores.sqlite.foreign_writes import Lookout
from agentpool.testing import a_member, a_message

POOL: Final = "pool.test"
RUN: Final = "run.b"
POOLS: Final = 100
NEVER: Final = 3_600
LONG_ENOUGH: Final = 0.3
"""Seconds of the loop after which all that it had put off for milliseconds has been begun."""


@pytest.fixture
def no_nets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what looks at everything now and then, told or not."""
    monkeypatch.setattr(upkeep, "_LOOK_AT_ALL_EVERY", float(NEVER))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteAgentPoolStore]:
    async with SqliteAgentPoolStore.open(tmp_path / "pool.db") as store:
        yield store


class Calls:
    """Notes the calls on a handle: about which pool, and how many are under way."""

    def __init__(self, store: SqliteAgentPoolStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.about: list[str] = []
        self._under_way = 0
        for name in ("query", "read_page"):
            monkeypatch.setattr(store, name, self._noting(getattr(store, name)))
        due = store.due

        async def noting_due(pool_ids: list[str]) -> Any:
            self.about += pool_ids
            return await self._counted(due(pool_ids))

        monkeypatch.setattr(store, "due", noting_due)

    def _noting(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def noting(pool_id: str, *arguments: Any) -> Any:
            self.about.append(pool_id)
            return await self._counted(call(pool_id, *arguments))

        return noting

    async def _counted(self, call: Awaitable[Any]) -> Any:
        self._under_way += 1
        try:
            return await call
        finally:
            self._under_way -= 1

    async def rest(self) -> None:
        """Wait until nothing is under way and nothing new begins."""
        before = -1
        while self._under_way or before != len(self.about):
            before = len(self.about)
            await asyncio.sleep(LONG_ENOUGH)


def hops(store: SqliteAgentPoolStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the hops to the worker threads, by the name of the connection."""
    found: list[str] = []
    run = WorkerConnection.run
    names = {id(store._reader): "reader", id(store._writer): "writer"}

    async def noting(self: WorkerConnection, function: Callable[..., Any]) -> Any:
        found.append(names[id(self)])
        return await run(self, function)

    monkeypatch.setattr(WorkerConnection, "run", noting)
    return found


async def test_a_message_that_is_there_is_taken_in_two_hops_and_in_one_while_messages_flow(
    store: SqliteAgentPoolStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.open_pool(POOL)
    await store.execute(POOL, CatchUp())
    for run_id in ("run.a", RUN):
        await store.join_member(POOL, a_member(run_id))
    for number in range(4):
        await store.execute(POOL, Send(a_message(f"message.{number}", to=RunAddress.run(RUN))))
    inbox = Inbox(OpenedPool(store, POOL), RUN, ClaimTerms(30_000))
    monkeypatch.setattr(Lookout, "_run", nothing)
    found = hops(store, monkeypatch)
    for expected in (["reader", "writer"], ["writer"], ["writer"], ["writer"]):
        found.clear()
        delivery = await inbox.take()
        assert found == expected
        await delivery.ack()


async def nothing(_lookout: Lookout) -> None:
    pass


async def joined(stack: AsyncExitStack, store: SqliteAgentPoolStore, pool_id: str) -> AgentPool:
    pool = await stack.enter_async_context(AgentPool.open(store, pool_id))
    for run_id in ("run.a", RUN):
        await pool.join_run(a_member(run_id))
    return pool


def names_apart(names: list[str]) -> Iterator[str]:
    """Give names of pools that share no place in the bell with others, who are woken together."""
    taken = {slot for name in names for slot in slots(name)}
    for number in count():
        name = f"apart.{number}"
        if not slots(name) & taken:
            taken |= slots(name)
            yield name


def slots(pool_id: str) -> set[int]:
    return {slot_of(pool_id, topic) for topic in (ANY, LOG, DEADLINES, inbox_topic(RUN))}


@pytest.mark.parametrize("poll_seconds", [NEVER, 0.01])
@pytest.mark.usefixtures("no_nets")
async def test_one_send_costs_a_process_that_waits_in_a_hundred_other_pools_no_store_call(
    store: SqliteAgentPoolStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    poll_seconds: float,
) -> None:
    """The other handle stands for another process: nothing but the file tells of what it sends."""
    monkeypatch.setattr(foreign_writes, "NET_SECONDS", poll_seconds)
    names = [f"pool.{number}" for number in range(POOLS)]
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(SqliteAgentPoolStore.open(tmp_path / "pool.db"))
        pools = await asyncio.gather(*(joined(stack, store, name) for name in names))
        tasks = [asyncio.create_task(pool.inbox(RUN).take()) for pool in pools]
        apart = names_apart(names)
        sends = await joined(stack, other, next(apart))
        tells = await joined(stack, store, next(apart))
        told = await stack.enter_async_context(AgentPool.open(other, tells.pool_id))
        witness = asyncio.create_task(tells.inbox(RUN).take())
        calls = Calls(store, monkeypatch)
        await calls.rest()
        calls.about.clear()

        await sends.send(a_message(to=RunAddress.run(RUN)))
        await told.send(a_message(to=RunAddress.run(RUN)))
        await witness  # so the send before it was heard of too
        await calls.rest()
        assert set(calls.about) <= {tells.pool_id}
        assert not any(task.done() for task in tasks)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
