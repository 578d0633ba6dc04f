"""Opening pools, and what is refused in a pool that nobody opened."""

from agentpool.errors import PoolConfigConflictError, PoolNotOpenError, RetryClassification
from agentpool.testing.conformance.kit import (
    ABOUT_OPENED_POOL,
    POOL,
    StoreKit,
    furnish,
    payloads,
    refusal,
)
from agentpool.testing.values import a_config, a_member
from agentpool.wire.records import (
    AgentPoolMessagePolicy,
    AgentPoolStoreConfig,
    AgentPoolStoreCursor,
    AgentPoolWakePolicy,
    PoolCreated,
    PoolOpened,
)
from agentpool.wire.refs import PolicyRef

__all__ = ("OpeningTests",)


class OpeningTests(StoreKit):
    """``open_pool`` and ``record_pool_created``."""

    async def test_opening_a_new_pool_appends_one_record_with_the_default_config(self) -> None:
        async with self.empty() as store:
            await store.open_pool(POOL)
            assert await payloads(store) == [PoolOpened(AgentPoolStoreConfig())]

    async def test_opening_a_new_pool_with_a_config_records_that(self) -> None:
        config = AgentPoolStoreConfig(
            message_policy=AgentPoolMessagePolicy((PolicyRef(id="policy.1"),)),
            wake_policy=AgentPoolWakePolicy(envelope_only=False),
            policy_refs=(PolicyRef(id="policy.2", version="3"),),
        )
        async with self.empty() as store:
            snapshot = await store.open_pool(POOL, config)
            assert await payloads(store) == [PoolOpened(config)]
            assert snapshot.message_policy == config.message_policy
            assert snapshot.wake_policy == config.wake_policy
            assert snapshot.policy_refs == config.policy_refs

    async def test_opening_gives_the_snapshot(self) -> None:
        async with self.empty() as store:
            first = await store.open_pool(POOL)
            assert first == await store.snapshot(POOL)
            assert (first.pool_id, first.created) == (POOL, False)
            assert (first.members, first.messages, first.wakes) == ((), (), ())
            assert first.cursor == AgentPoolStoreCursor(1)
            await furnish(store)
            again = await store.open_pool(POOL)
            assert again == await store.snapshot(POOL)
            assert len(again.members) == 2

    async def test_opening_again_with_an_equal_config_appends_nothing(self) -> None:
        async with self.empty() as store:
            await store.open_pool(POOL, a_config())
            await store.open_pool(POOL, a_config())
            assert await payloads(store) == [PoolOpened(a_config())]

    async def test_opening_again_without_a_config_takes_the_one_that_is_there(self) -> None:
        async with self.empty() as store:
            await store.open_pool(POOL, a_config())
            snapshot = await store.open_pool(POOL, None)
            assert snapshot.message_policy == a_config().message_policy
            assert await payloads(store) == [PoolOpened(a_config())]

    async def test_opening_again_with_another_config_is_a_conflict(self) -> None:
        async with self.empty() as store:
            await store.open_pool(POOL, a_config())
            for other in (AgentPoolStoreConfig(), a_config(policy_refs=[PolicyRef(id="p")])):
                error = await refusal(PoolConfigConflictError, store.open_pool(POOL, other))
                assert error.pool_id == POOL
                assert error.retry is RetryClassification.REPAIR_NEEDED
            assert await payloads(store) == [PoolOpened(a_config())]

    async def test_the_explicit_default_config_is_the_default_config(self) -> None:
        async with self.opened() as store:
            await store.open_pool(POOL, AgentPoolStoreConfig())
            assert len(await payloads(store)) == 1

    async def test_nothing_but_event_numbers_is_to_be_had_of_a_pool_that_nobody_opened(
        self,
    ) -> None:
        async with self.opened("pool.other") as store:
            for name, call in ABOUT_OPENED_POOL.items():
                error = await refusal(PoolNotOpenError, call(store, POOL))
                assert error.pool_id == POOL, name
                assert error.retry is RetryClassification.HOST_CONFIGURATION_NEEDED
            assert len(await payloads(store, "pool.other")) == 1

    async def test_what_was_refused_before_opening_works_after_it(self) -> None:
        async with self.empty() as store:
            await refusal(PoolNotOpenError, store.snapshot(POOL))
            await refusal(PoolNotOpenError, store.join_member(POOL, a_member()))
            await store.open_pool(POOL)
            assert (await store.snapshot(POOL)).members == ()
            assert await store.join_member(POOL, a_member()) == AgentPoolStoreCursor(2)

    async def test_a_pool_comes_to_life_once(self) -> None:
        async with self.opened() as store:
            assert not (await store.snapshot(POOL)).created
            first = await store.record_pool_created(POOL)
            await store.join_member(POOL, a_member())
            assert await store.record_pool_created(POOL) == first == AgentPoolStoreCursor(2)
            assert (await payloads(store)).count(PoolCreated()) == 1
            assert (await store.snapshot(POOL)).created

    async def test_pools_of_one_store_are_independent(self) -> None:
        async with self.empty() as store:
            await store.open_pool("pool.x", a_config())
            await furnish(store, "pool.y")
            assert await payloads(store, "pool.x") == [PoolOpened(a_config())]
            assert len(await payloads(store, "pool.y")) == 5
            assert (await store.snapshot("pool.x")).members == ()
            assert await store.message_receipt("pool.x", "key.message.1") is None
            assert await store.wake_registration("pool.x", "key.wake.1") is None
            assert await store.wake("pool.x", "wake.1") is None

    async def test_pools_are_listed_in_ascending_order_with_what_they_have(self) -> None:
        async with self.empty() as store:
            assert await store.pools() == []
            for pool_id in ("pool.é", "pool.b", "pool.a", "pool.\U0001f600"):
                await store.open_pool(pool_id)
            await furnish(store, "pool.b")
            await store.leave_member("pool.b", "run.a")
            listed = await store.pools()
            assert [each.pool_id for each in listed] == [
                "pool.a", "pool.b", "pool.é", "pool.\U0001f600"
            ]  # fmt: skip
            assert [each.members for each in listed] == [0, 1, 0, 0]
            assert [each.records for each in listed] == [1, len(await store.read("pool.b")), 1, 1]

    async def test_what_has_no_record_is_no_pool_in_the_list(self) -> None:
        async with self.opened() as store:
            await store.next_event_sequence("pool.other")
            await refusal(PoolNotOpenError, store.join_member("pool.third", a_member()))
            assert [each.pool_id for each in await store.pools()] == [POOL]

    async def test_the_same_keys_and_ids_in_another_pool_stand_for_other_things(self) -> None:
        async with self.empty() as store:
            await furnish(store, "pool.x")
            await furnish(store, "pool.y")
            assert await payloads(store, "pool.x") == await payloads(store, "pool.y")
            await store.leave_member("pool.x", "run.a")
            assert len((await store.snapshot("pool.y")).members) == 2
