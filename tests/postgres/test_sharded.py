"""A store of three servers: one that is away stops only its pools, and comes back."""

import pytest

from agentpool import (
    AgentPool,
    AgentPoolMember,
    RetryClassification,
    RunAddress,
    StoreBusyError,
    open_store,
)
from agentpool.stores.sharded import place_of

from .fixtures import StartServer

ADA = AgentPoolMember("run.ada", "agent.ada")
IDS = [next(f"pool.{n}" for n in range(99) if place_of(f"pool.{n}", 3) == k) for k in range(3)]


async def use(pool: AgentPool) -> str:
    """Send a message, and read it."""
    async with pool.member(ADA) as me:
        await me.send(RunAddress.run("run.ada"), "here")
        async with await me.inbox.take() as delivery:
            return await delivery.text()


@pytest.mark.slow
async def test_a_server_that_is_away_stops_only_its_pools(another_postgres: StartServer) -> None:
    servers = [another_postgres() for _ in range(3)]
    urls = [server.url(tcp=True) for server in servers]
    async with open_store(urls, busy_timeout=1) as store:
        pools = [await AgentPool.open(store, pool_id) for pool_id in IDS]
        assert [await use(pool) for pool in pools] == ["here"] * 3
        servers[1].stop("immediate")
        for pool in (pools[0], pools[2]):
            assert await use(pool) == "here"
        for _ in range(2):
            with pytest.raises(StoreBusyError) as caught:
                await store.record_pool_created(IDS[1])
            assert caught.value.retry is RetryClassification.RETRYABLE
        async with open_store(urls, busy_timeout=1) as later:  # while it is away
            await later.record_pool_created(IDS[0])
            with pytest.raises(StoreBusyError):
                await later.record_pool_created(IDS[1])
            servers[1].start_again()
            assert await use(await AgentPool.open(later, IDS[1])) == "here"
        assert [await use(pool) for pool in pools] == ["here"] * 3
        for pool in pools:
            await pool.aclose()
