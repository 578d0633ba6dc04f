"""The page of a store on a server."""

from agentpool import AgentPool, AgentPoolMember, RunAddress
from agentpool.stores.postgres import PostgresAgentPoolStore

from .scene import a_library
from .site import POOL, events, served


async def test_each_view_shows_a_store_on_a_server(postgres_url: str, schema: str) -> None:
    async with PostgresAgentPoolStore.open(postgres_url, schema=schema) as store:
        async with AgentPool.open(store, POOL) as pool:
            await a_library(pool)
            await pool.acting_as(AgentPoolMember("run.ada", "agent.a")).send(
                RunAddress.run("run.bob"), "Where is Dune?", idempotency_key="key"
            )
        async with PostgresAgentPoolStore.open(
            postgres_url, schema=schema, create=False, migrate=False
        ) as looking:
            head = await looking.query(POOL, lambda view: view.head)
            async with served(looking, postgres_url) as site:
                now = await site.text("/now")
                assert "in a circle" in now
                assert "dead letters: 1" in now
                assert "run.ada" in await site.text("/log")
                assert "Dune" in await site.text("/message", key="key", body=1)
                assert "records in the last hour" in await site.text("/health")
                following = events(site, {}, view="log", after=str(head - 3))
                assert (await anext(following)).id.partition(".")[0] == str(head)
                await following.aclose()
            assert await looking.query(POOL, lambda view: view.head) == head
