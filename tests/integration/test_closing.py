"""Closing: in order, in the middle of things, twice, from elsewhere, and not at all."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from agentpool import AgentPool, SqliteAgentPoolStore, StoreClosedError
from agentpool.testing import a_condition, a_message, a_registration
from agentpool.testing.conformance.kit import Append, message_record

from .helpers import (
    BOUND,
    POOL,
    join_new_threads,
    member,
    records,
    send,
    take,
    worker,
    worker_threads,
)

CONDITION = a_condition()

CALLS: dict[str, Callable[[SqliteAgentPoolStore], Awaitable[object]]] = {
    "open_pool": lambda store: store.open_pool(POOL),
    "snapshot": lambda store: store.snapshot(POOL),
    "record_pool_created": lambda store: store.record_pool_created(POOL),
    "join_member": lambda store: store.join_member(POOL, member(1)),
    "leave_member": lambda store: store.leave_member(POOL, "run.1"),
    "message_receipt": lambda store: store.message_receipt(POOL, "key.a"),
    "record_message": lambda store: send(store, "a"),
    "record_messages": lambda store: store.record_messages(POOL, []),
    "wake_registration": lambda store: store.wake_registration(POOL, "key.wake.1"),
    "wake": lambda store: store.wake(POOL, "wake.1"),
    "record_wake": lambda store: store.record_wake(
        POOL, CONDITION, CONDITION.filter.compile(), a_registration(CONDITION)
    ),
    "read": lambda store: store.read(POOL),
    "next_event_sequence": lambda store: store.next_event_sequence(POOL),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
async def test_every_call_after_close_is_refused(
    store: SqliteAgentPoolStore, call: Callable[[SqliteAgentPoolStore], Awaitable[object]]
) -> None:
    await store.aclose()
    with pytest.raises(StoreClosedError):
        await call(store)


async def test_watching_after_close_is_refused(store: SqliteAgentPoolStore) -> None:
    await store.aclose()
    with pytest.raises(StoreClosedError):
        await anext(store.watch(POOL))


async def test_closing_again_does_nothing(store: SqliteAgentPoolStore) -> None:
    await asyncio.gather(store.aclose(), store.aclose())
    await store.aclose()


async def test_closing_ends_both_threads(path: Path) -> None:
    before = worker_threads()
    store = await SqliteAgentPoolStore.open(path)
    assert len(worker_threads() - before) == 2
    await store.aclose()
    join_new_threads(before)
    assert worker_threads() == before


async def test_an_append_in_flight_is_written_whole_or_refused(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    first = [asyncio.create_task(send(store, f"first.{n}")) for n in range(50)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # the first batch is on its way
    second = [asyncio.create_task(send(store, f"second.{n}")) for n in range(50)]
    await asyncio.sleep(0)
    await store.aclose()
    outcomes = await asyncio.gather(*first, *second, return_exceptions=True)
    acknowledged = [each for each in outcomes if isinstance(each, int)]
    refused = [each for each in outcomes if isinstance(each, StoreClosedError)]
    assert len(acknowledged) + len(refused) == 100
    assert acknowledged
    assert [seq for seq, _, _ in records(path)] == [1, *sorted(acknowledged)]


MANY = Append(*(message_record(a_message(f"message.{number}")) for number in range(4500)))


@pytest.mark.parametrize("turns", range(0, 12, 2))
async def test_reading_in_flight_is_finished_or_refused(
    store: SqliteAgentPoolStore, turns: int
) -> None:
    await store.execute(POOL, MANY)
    reading = [
        asyncio.ensure_future(each)
        for each in (store.read(POOL), store.snapshot(POOL), take(store.watch(POOL), 4501))
    ]
    for _ in range(turns):
        await store.message_receipt(POOL, "key.1")
    await store.aclose()
    async with asyncio.timeout(BOUND):
        outcomes = await asyncio.gather(*reading, return_exceptions=True)
    errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert {type(error) for error in errors} <= {StoreClosedError}


async def test_a_waiting_watcher_is_told(store: SqliteAgentPoolStore) -> None:
    watchers = [store.watch(POOL) for _ in range(3)]
    for watcher in watchers:
        await take(watcher, 1)
    waiting = [asyncio.ensure_future(anext(watcher)) for watcher in watchers]
    await asyncio.sleep(0)
    await store.aclose()
    async with asyncio.timeout(BOUND):
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StoreClosedError}


async def test_a_cancelled_close_closes_all_the_same(path: Path) -> None:
    before = worker_threads()
    store = await SqliteAgentPoolStore.open(path)
    await store.open_pool(POOL)
    closing = asyncio.create_task(store.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    join_new_threads(before)
    assert worker_threads() == before
    with pytest.raises(StoreClosedError):
        await send(store, "a")


def test_a_store_belongs_to_the_event_loop_that_opened_it(path: Path) -> None:
    with asyncio.Runner() as its_own, asyncio.Runner() as another:
        store = its_own.run(_opened(path))
        for call in CALLS.values():
            with pytest.raises(StoreClosedError, match="event loop"):
                another.run(_awaited(call, store))
        assert its_own.run(send(store, "a")) == 2
        its_own.run(store.aclose())


def test_a_store_can_be_closed_from_another_event_loop(path: Path) -> None:
    before = worker_threads()
    with asyncio.Runner() as its_own:
        store = its_own.run(_opened(path))
    with asyncio.Runner() as another:
        another.run(asyncio.wait_for(store.aclose(), BOUND))
    join_new_threads(before)
    assert worker_threads() == before


def test_a_pool_can_be_closed_after_the_end_of_its_event_loop(path: Path) -> None:
    before = worker_threads()

    async def open_all() -> tuple[SqliteAgentPoolStore, AgentPool]:
        store = await SqliteAgentPoolStore.open(path)
        pool = await AgentPool.open(store, POOL)
        waiting = asyncio.create_task(pool.inbox("run.1").take())
        await asyncio.wait([waiting], timeout=0.1)
        return store, pool

    with asyncio.Runner() as its_own:
        store, pool = its_own.run(open_all())
    with asyncio.Runner() as another:
        another.run(asyncio.wait_for(pool.aclose(), BOUND))
        another.run(asyncio.wait_for(pool.aclose(), BOUND))
        another.run(asyncio.wait_for(store.aclose(), BOUND))
    join_new_threads(before)
    assert worker_threads() == before


async def test_closing_from_another_event_loop_while_its_own_runs_is_refused(path: Path) -> None:
    store = await _opened(path)
    pool = await _opened_pool(store)
    for closing in (store.aclose, pool.aclose, store.aclose):
        with pytest.raises(StoreClosedError, match="event loop"):
            await asyncio.to_thread(asyncio.run, closing())
    async with asyncio.timeout(BOUND):
        await send(store, "a")
        await pool.aclose()
        await store.aclose()
        await store.aclose()


async def _opened_pool(store: SqliteAgentPoolStore) -> AgentPool:
    return await AgentPool.open(store, POOL)


async def _opened(path: Path) -> SqliteAgentPoolStore:
    store = await SqliteAgentPoolStore.open(path)
    await store.open_pool(POOL)
    return store


async def _awaited(
    call: Callable[[SqliteAgentPoolStore], Awaitable[object]], store: SqliteAgentPoolStore
) -> object:
    return await call(store)


async def test_a_store_that_nobody_closed_is_warned_of(path: Path) -> None:
    before = worker_threads()
    with pytest.warns(ResourceWarning):  # noqa: PT031  # the warning comes from the collector
        store = await SqliteAgentPoolStore.open(path)
        del store
        await asyncio.sleep(0)  # the event loop lets go of what it woke us with
        gc.collect()
    join_new_threads(before)
    assert worker_threads() == before


@pytest.mark.parametrize("how", ["quietly", "watching", "appending"])
async def test_a_program_that_does_not_close_its_store_ends(path: Path, how: str) -> None:
    async with worker("no_close.py", path, how) as process:
        code, _, errors = await process.finish()
    assert code == 0, errors
    assert records(path)[0][1] == "pool_opened"


async def test_a_program_that_fails_without_closing_its_store_ends(path: Path) -> None:
    async with worker("no_close.py", path, "raising") as process:
        code, _, errors = await process.finish()
    assert code == 1
    assert "the program failed" in errors
    assert len(records(path)) == 1


async def test_a_fork_takes_the_store_from_the_child_and_leaves_it_to_the_parent(
    path: Path,
) -> None:
    async with worker("fork.py", path) as process:
        code, lines, errors = await process.finish()
    assert code == 0, errors
    assert lines == [
        "ok",
        "child, closed before: 0",
        "parent: ok",
        "child: StoreClosedError",
        "child, opened again: StoreClosedError, spawn: True",
        "child, by a link: StoreClosedError, spawn: True",
        "child, another file: ok",
        "grandchild: StoreClosedError, spawn: True",
        "after exec: 0",
        "parent, after the fork: ok",
    ]
