"""Pools that are copied from a file to a server, and back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from integration.copying_cases import CopyingCases, fill, open_place, raw
from integration.helpers import POOL
from integration.test_copying import ODD, dump, put_odd_record
from strategies import payloads

from agentpool import (
    AgentPool,
    AgentPoolMember,
    AgentPoolStoreRecordPayload,
    CorruptRecordError,
    RunAddress,
)
from agentpool.copying import copy_pools
from agentpool.stores.postgres import PostgresAgentPoolStore, statements
from agentpool.stores.postgres.raw import looked_up_in
from agentpool.stores.postgres.source import looked_up_by
from agentpool.wire.payload import seal

from .proxy import Cut, Proxy, When
from .server import Server
from .working import pattern


@pytest.fixture
def servers(postgres: Server, postgres_url: str, schema: str) -> Iterator[tuple[str, str]]:
    """Name two stores on a server, which are gone after the test."""
    schemas = [f"{schema}_{number}" for number in range(2)]
    yield f"{postgres_url} {schemas[0]}", f"{postgres_url} {schemas[1]}"
    for each in schemas:
        postgres.sql(f'DROP SCHEMA IF EXISTS "{each}" CASCADE')


@given(payload=payloads())
def test_a_copied_record_is_found_by_what_it_was_found_by(
    payload: AgentPoolStoreRecordPayload,
) -> None:
    """Of each kind, also one that this version knows and no copy has seen yet."""
    sealed = seal(payload)
    copied = looked_up_in(sealed.kind, sealed.payload_json.encode())
    assert copied == looked_up_by(payload)


class TestFromFileToServer(CopyingCases):
    @pytest.fixture
    def places(self, servers: tuple[str, str], tmp_path: Path) -> tuple[str, str]:
        return str(tmp_path / "source.db"), servers[0]


class TestFromServerToFile(CopyingCases):
    @pytest.fixture
    def places(self, servers: tuple[str, str], tmp_path: Path) -> tuple[str, str]:
        return servers[0], str(tmp_path / "target.db")


class TestFromServerToServer(CopyingCases):
    @pytest.fixture
    def places(self, servers: tuple[str, str]) -> tuple[str, str]:
        return servers

    async def test_a_file_is_the_same_when_it_comes_back(
        self, places: tuple[str, str], tmp_path: Path
    ) -> None:
        before, after = str(tmp_path / "before.db"), str(tmp_path / "after.db")
        async with open_place(before) as source:
            async with AgentPool.open(source, POOL) as pool:
                for name in ("ada", "bob"):
                    member = AgentPoolMember(f"run.{name}", f"agent.{name}")
                    async with pool.member(member, stays=True) as me:
                        await me.send(RunAddress.run(f"run.{name}"), "\0 \ue000 \U00010000")
                        await me.publish("done", {"at": 1})
            for name in ("unknown", "no JSON"):
                put_odd_record(before, name)
            async with open_place(places[0]) as server, open_place(places[1]) as another:
                await copy_pools(source, server)
                await copy_pools(server, another)
                async with open_place(after) as target:
                    await copy_pools(another, target)
        assert dump(after) == dump(before)

    @pytest.mark.parametrize("name", sorted(ODD.keys() - {"unknown", "no JSON"}))
    async def test_a_server_takes_nothing_but_text(
        self, places: tuple[str, str], tmp_path: Path, name: str
    ) -> None:
        path = str(tmp_path / "source.db")
        async with open_place(path) as source, open_place(places[0]) as target:
            await fill(source, 3)
            put_odd_record(path, name)
            with pytest.raises(CorruptRecordError, match="no text of UTF-8") as caught:
                await copy_pools(source, target)
            assert (caught.value.pool_id, caught.value.seq) == (POOL, 5)
            assert await target.pool_ids() == []

    async def test_what_can_be_read_in_parts_is_looked_up_as_in_a_file(
        self, places: tuple[str, str], tmp_path: Path
    ) -> None:
        path = str(tmp_path / "source.db")
        half = """'run_message', '{"stored":{"message":{"idempotency_key":"key.half"}}}'"""
        async with open_place(path) as source, open_place(places[0]) as target:
            await fill(source, 3)
            put_odd_record(path, half)
            await copy_pools(source, target)
            for store in (source, target):
                with pytest.raises(CorruptRecordError) as caught:
                    await store.message_receipt(POOL, "key.half")
                assert caught.value.seq == 5

    async def test_a_copy_survives_connections_that_are_lost(
        self, places: tuple[str, str], postgres: Server
    ) -> None:
        """A piece may have been committed then, and is written again."""
        schema = places[1].partition(" ")[2]
        async with open_place(places[0]) as source, open_place(places[1]) as target:
            await fill(source)
            await target.open_pool("pool.other")
            with Proxy(postgres.port) as proxy:
                through = postgres.url(port=proxy.port)
                cuts = [
                    proxy.cut_at(f'"key.{number}"'.encode(), when)
                    for number, when in enumerate(get_args(When), 300)
                ]
                async with open_place(f"{through} {schema}") as cut_off:
                    await copy_pools(source, cut_off, [POOL])
                assert all(cut.happened for cut in cuts)
            assert await raw(target) == await raw(source)

    @pytest.mark.parametrize("when", get_args(When))
    async def test_a_copy_whose_last_commit_is_not_answered_is_whole(
        self,
        places: tuple[str, str],
        postgres: Server,
        monkeypatch: pytest.MonkeyPatch,
        when: When,
    ) -> None:
        schema = places[1].partition(" ")[2]
        async with open_place(places[0]) as source:
            await fill(source, 3)
            with Proxy(postgres.port) as proxy:
                url = postgres.url(port=proxy.port)
                async with PostgresAgentPoolStore.open(url, schema=schema) as target:
                    rewrite, cuts = target.rewrite, list[Cut]()

                    async def rewrite_and_cut(pool_id: str, work: Any, *, durable: bool) -> Any:
                        if durable:
                            cuts.append(proxy.cut_at(pattern(target, statements.COMMIT), when))
                        return await rewrite(pool_id, work, durable=durable)

                    monkeypatch.setattr(target, "rewrite", rewrite_and_cut)
                    [copied] = await copy_pools(source, target, [POOL])
                    assert [cut.happened for cut in cuts] == [True]
                    assert not copied.was_there
                    assert await raw(target) == await raw(source)
