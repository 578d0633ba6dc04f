"""Stores of several files: where pools are, what goes on when one is away, how a list grows."""

import asyncio
from collections import Counter
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from agentpool import (
    AgentPool,
    AgentPoolMember,
    AgentPoolStore,
    ContentNotFoundError,
    IncompatibleStoreError,
    InMemoryAgentPoolStore,
    InvalidValueError,
    RunAddress,
    StoreBusyError,
    StoreClosedError,
    StoreError,
    open_pool,
    open_store,
)
from agentpool.copying import copy_pools
from agentpool.stores.sharded import OpenStore, ShardedAgentPoolStore, place_of
from agentpool.support.clock import wall_clock
from agentpool.wire.content import MAX_BODY

IDS = [f"pool.{number}" for number in range(30)]
ADA = AgentPoolMember("run.ada", "agent.ada")


def files(folder: Path, count: int) -> AbstractAsyncContextManager[AgentPoolStore]:
    return open_store([folder / f"{number}.db" for number in range(count)])


def test_a_pool_is_where_its_id_says_for_ever() -> None:
    assert [place_of(pool_id, 3) for pool_id in IDS[:9]] == [1, 2, 2, 0, 2, 0, 2, 1, 2]
    assert place_of("pool.é", 1) == 0
    many = Counter(place_of(f"pool.{number}", 4) for number in range(4000))
    assert all(900 < count < 1100 for count in many.values())


def test_a_longer_list_moves_pools_to_what_is_new_only() -> None:
    moved = [pool_id for pool_id in IDS if place_of(pool_id, 3) != place_of(pool_id, 4)]
    assert moved
    assert {place_of(pool_id, 4) for pool_id in moved} == {3}


async def test_all_of_a_pool_is_in_its_own_file(tmp_path: Path) -> None:
    async with files(tmp_path, 3) as store:
        for pool_id in IDS:
            async with AgentPool.open(store, pool_id) as pool, pool.member(ADA) as me:
                await me.send(RunAddress.run("run.ada"), f"to {pool_id}")
                async with await me.inbox.take() as delivery:
                    assert await delivery.text() == f"to {pool_id}"
                ref = delivery.message.content_ref
                assert await store.get_content(ref) == f"to {pool_id}".encode()
                assert pool.store is await store.store_of(pool_id)
        assert sorted(await store.pool_ids()) == sorted(IDS)
        assert [each.pool_id for each in await store.pools()] == sorted(IDS)
        assert (await store.due(IDS)).keys() == set(IDS)
    for number in range(3):
        async with open_store(tmp_path / f"{number}.db") as alone:
            there = [pool_id for pool_id in IDS if place_of(pool_id, 3) == number]
            assert sorted(await alone.pool_ids()) == sorted(there)


async def test_a_body_of_no_pool_can_be_named_in_any(tmp_path: Path) -> None:
    async with files(tmp_path, 3) as store:
        ref = await store.put_content(b"for all", media_type="text/x")
        for pool_id in IDS[:6]:
            assert await (await store.store_of(pool_id)).get_content(ref) == b"for all"
        assert await store.content_type(ref) == "text/x"
        assert [piece async for piece in store.open_content(ref)] == [b"for all"]
        missing = f"sha256:{'0' * 64}"
        for call in (store.get_content(missing), store.content_type(missing)):
            with pytest.raises(ContentNotFoundError):
                await call


async def test_pools_move_with_a_list_that_grows(tmp_path: Path) -> None:
    async with files(tmp_path, 2) as three:
        for pool_id in IDS:
            await three.open_pool(pool_id)
            await three.record_pool_created(pool_id)
        async with files(tmp_path, 3) as four:
            copied = await copy_pools(three, four)
            moved = [each.pool_id for each in copied if not each.was_there]
            assert moved == [each for each in sorted(IDS) if place_of(each, 3) == 2]
            assert sorted(await four.pool_ids()) == sorted(IDS)
            assert all(each.records == 2 for each in await four.pools())


class Away:
    """Three stores in memory, one of which can be away when it is to be opened."""

    def __init__(self) -> None:
        self.is_away = True
        self.attempts = 0
        self.stores = [InMemoryAgentPoolStore() for _ in range(3)]

    async def open(self, number: int) -> AgentPoolStore:
        if self.is_away and number == 1:
            self.attempts += 1
            await asyncio.sleep(0.01)
            msg = "it is away"
            raise StoreBusyError(msg)
        return self.stores[number]

    async def sharded(self) -> ShardedAgentPoolStore:
        openers = [lambda number=number: self.open(number) for number in range(3)]
        return await ShardedAgentPoolStore.open(openers, wall_clock, MAX_BODY)


async def test_a_store_that_is_away_stops_its_own_pools_until_it_is_back() -> None:
    away = Away()
    there, missing = (next(each for each in IDS if place_of(each, 3) == n) for n in (0, 1))
    async with await away.sharded() as store:
        await store.open_pool(there)
        refused = (
            lambda: store.open_pool(missing),
            lambda: store.read(missing),
            lambda: anext(store.watch(missing)),
            store.pool_ids,
            lambda: store.due([there, missing]),
            lambda: store.put_content(b""),
            lambda: store.get_content(f"sha256:{'0' * 64}"),
        )
        for call in refused:
            with pytest.raises(StoreBusyError, match="it is away"):
                await call()
        with pytest.raises(StoreBusyError, match="away"):
            store.changes(missing)
        async with AgentPool.open(store, there) as pool, pool.member(ADA):
            pass
        away.is_away = False
        await store.open_pool(missing)
        assert sorted(await store.pool_ids()) == sorted([there, missing])
        with store.changes(missing):
            pass
    assert all(each.is_closed for each in away.stores)
    with pytest.raises(StoreClosedError):
        await store.open_pool(missing)


async def test_all_who_wait_for_a_store_that_is_away_wait_for_one_attempt() -> None:
    away = Away()
    missing = next(each for each in IDS if place_of(each, 3) == 1)
    async with await away.sharded() as store:
        before = away.attempts
        given_up = asyncio.create_task(store.read(missing))
        await asyncio.sleep(0)
        given_up.cancel()
        calls = (store.read(missing) for _ in range(8))
        told = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(each) for each in told} == {StoreBusyError}
        assert len(set(map(id, told))) == len(told)
        assert away.attempts - before == 1
        away.is_away = False
        await asyncio.gather(*(store.open_pool(missing) for _ in range(8)))


async def test_a_body_is_looked_for_last_in_a_store_that_is_not_open() -> None:
    away = Away()
    ref = await away.stores[2].put_content(b"kept")
    async with await away.sharded() as store:
        before = away.attempts
        assert await store.get_content(ref) == b"kept"
        assert away.attempts == before


async def test_a_body_is_looked_for_last_in_a_store_that_was_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    away, asked = Away(), list[str]()
    away.is_away = False
    ref = await away.stores[2].put_content(b"kept")

    async def refuse(ref: str) -> str:
        asked.append(ref)
        msg = "it is away"
        raise StoreBusyError(msg)

    async with await away.sharded() as store:
        monkeypatch.setattr(away.stores[1], "content_type", refuse)
        for _ in range(3):
            assert await store.get_content(ref) == b"kept"
    assert asked == [ref]


async def test_what_cannot_be_opened_at_all_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "1.db").write_bytes(b"no store" * 100)
    with pytest.raises(IncompatibleStoreError):
        async with files(tmp_path, 3):
            pass


@pytest.mark.parametrize("paths", [[], (), ["a.db", "a.db"], [3], [""], ["nowhere://x"]])
def test_a_list_is_of_stores_each_once(paths: list[str]) -> None:
    with pytest.raises(InvalidValueError, match=r"^path"):
        open_store(paths)


async def test_a_pool_and_the_stores_are_opened_and_closed_together(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.db" for number in range(3)]
    async with open_pool(paths, IDS[0]) as pool, pool.member(ADA) as me:
        await me.send(RunAddress.run("run.ada"), "to me")
        store = pool.store
    assert store.is_closed
    async with files(tmp_path, 3) as again:
        assert await again.pool_ids() == [IDS[0]]


async def test_one_that_cannot_be_closed_leaves_no_other_open() -> None:
    class Stubborn(InMemoryAgentPoolStore):
        async def finish(self) -> None:
            msg = "it cannot be closed"
            raise StoreError(msg)

    stores = [Stubborn(), InMemoryAgentPoolStore(), Stubborn()]

    def opener(of: InMemoryAgentPoolStore) -> OpenStore:
        async def open_() -> AgentPoolStore:
            return of

        return open_

    store = await ShardedAgentPoolStore.open([*map(opener, stores)], wall_clock, MAX_BODY)
    with pytest.raises(StoreError, match="cannot be closed"):
        await store.aclose()
    assert [each.is_closed for each in stores] == [True] * 3


async def test_all_are_opened_and_closed_at_once() -> None:
    """However long each takes: a server that does not answer is waited for by all together."""
    opening, closing = asyncio.Barrier(3), asyncio.Barrier(3)

    class Slow(InMemoryAgentPoolStore):
        async def finish(self) -> None:
            await closing.wait()

    async def open_() -> AgentPoolStore:
        await opening.wait()
        return Slow()

    async with asyncio.timeout(60):
        store = await ShardedAgentPoolStore.open([open_] * 3, wall_clock, MAX_BODY)
        await store.aclose()


async def test_what_opens_beside_one_that_cannot_be_opened_is_waited_for_and_closed() -> None:
    opened = list[AgentPoolStore]()

    async def broken() -> AgentPoolStore:
        msg = "it is no store"
        raise IncompatibleStoreError(msg)

    async def late() -> AgentPoolStore:
        await asyncio.sleep(0.01)
        opened.append(InMemoryAgentPoolStore())
        return opened[0]

    async def failing() -> AgentPoolStore:
        msg = "a bug"
        raise TypeError(msg)

    with pytest.raises(IncompatibleStoreError, match="it is no store"):
        await ShardedAgentPoolStore.open([broken, late, failing], wall_clock, MAX_BODY)
    assert [each.is_closed for each in opened] == [True]
