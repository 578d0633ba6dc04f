"""Under trio, and without an event loop, what is opened or used says that it needs asyncio."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from agentpool import AgentPool, InMemoryAgentPoolStore, SqliteAgentPoolStore, StoreClosedError
from agentpool.testing import a_member


async def open_a_file(path: Path) -> None:
    await SqliteAgentPoolStore.open(path)


async def enter_a_file(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path):
        await anyio.Path(path).touch()  # seen below


async def enter_a_store_in_memory(path: Path) -> None:
    async with InMemoryAgentPoolStore():
        await anyio.Path(path).touch()  # seen below


async def open_a_pool(_: Path) -> None:
    await AgentPool.open(InMemoryAgentPoolStore(), "pool.x")


async def enter_a_pool(path: Path) -> None:
    async with AgentPool.open(InMemoryAgentPoolStore(), "pool.x"):
        await anyio.Path(path).touch()  # seen below


async def use_a_store_in_memory(_: Path) -> None:
    await InMemoryAgentPoolStore().open_pool("pool.x")


async def keep_content(_: Path) -> None:
    await InMemoryAgentPoolStore().put_content(b"x")


async def watch_a_store_in_memory(_: Path) -> None:
    async for _record in InMemoryAgentPoolStore().watch("pool.x"):
        pytest.fail("there is none")


async def close_a_store_in_memory(_: Path) -> None:
    await InMemoryAgentPoolStore().aclose()


async def join(_: Path) -> None:
    pool = AgentPool(InMemoryAgentPoolStore(), "pool.x")
    await pool.join_run(a_member("run.a"))


USES: list[Callable[[Path], Awaitable[None]]] = [
    open_a_file,
    enter_a_file,
    enter_a_store_in_memory,
    open_a_pool,
    enter_a_pool,
    use_a_store_in_memory,
    keep_content,
    watch_a_store_in_memory,
    close_a_store_in_memory,
    join,
]


@pytest.mark.parametrize("use", USES)
def test_trio_is_refused_in_words(use: Callable[[Path], Awaitable[None]], tmp_path: Path) -> None:
    with pytest.raises(StoreClosedError, match=r"asyncio only.*backend='asyncio'"):
        anyio.run(use, tmp_path / "pool.db", backend="trio")
    assert list(tmp_path.iterdir()) == []


def test_without_an_event_loop_the_same_is_said() -> None:
    store = InMemoryAgentPoolStore()
    with pytest.raises(StoreClosedError, match="asyncio only"):
        store.watch("pool.x")
