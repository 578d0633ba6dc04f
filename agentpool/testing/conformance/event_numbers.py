"""Numbers for the events of a pool, which stand beside its log."""

import asyncio

from agentpool.errors import PoolNotOpenError
from agentpool.testing.conformance.kit import POOL, StoreKit, furnish, payloads, refusal

__all__ = ("EventNumberTests",)


class EventNumberTests(StoreKit):
    """``next_event_sequence``."""

    async def test_numbers_count_from_one(self) -> None:
        async with self.opened() as store:
            assert [await store.next_event_sequence(POOL) for _ in range(5)] == [1, 2, 3, 4, 5]

    async def test_numbers_need_no_opened_pool_and_do_not_open_it(self) -> None:
        async with self.empty() as store:
            assert await store.next_event_sequence(POOL) == 1
            await refusal(PoolNotOpenError, store.snapshot(POOL))
            await refusal(PoolNotOpenError, store.read(POOL))
            await store.open_pool(POOL)
            assert await store.next_event_sequence(POOL) == 2

    async def test_every_pool_counts_for_itself(self) -> None:
        async with self.opened("pool.x", "pool.y") as store:
            assert [await store.next_event_sequence("pool.x") for _ in range(3)] == [1, 2, 3]
            assert [await store.next_event_sequence("pool.y") for _ in range(3)] == [1, 2, 3]

    async def test_numbers_and_records_do_not_count_each_other(self) -> None:
        async with self.empty() as store:
            await furnish(store)
            assert await store.next_event_sequence(POOL) == 1
            assert len(await payloads(store)) == 5

    async def test_no_number_is_given_twice_however_many_ask_at_once(self) -> None:
        async with self.empty() as store:
            numbers = await asyncio.gather(*(store.next_event_sequence(POOL) for _ in range(200)))
            assert sorted(numbers) == list(range(1, 201))
