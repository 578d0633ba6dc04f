"""A client that is stopped while it holds a pool: others wait for that pool, and for no other."""

import asyncio
from pathlib import Path

from integration.helpers import worker

from .server import Server
from .working import BOUND, POOL, come, names, opened, send

WORKER = Path(__file__).parent / "workers" / "stop_holding.py"
FOR_EVER = 3600
USUAL = 2
"""Seconds for which the server lets a client hold a pool without a word."""
OTHERS = ("pool.1", "pool.2")
LEFT_BY_WORKER = {"run.stopped member_joined": 1, "run.stopped member_left": 1}


async def test_other_pools_are_not_held_up(postgres: Server, schema: str) -> None:
    url = postgres.url()
    async with opened(url, schema) as store:
        for each in OTHERS:
            await store.open_pool(each)
        async with worker(str(WORKER), url, schema, POOL, FOR_EVER) as stopped:
            await stopped.stands_still()
            waiting = [asyncio.create_task(send(store, name)) for name in ("a", "b")]
            async with asyncio.timeout(BOUND):
                for number in range(10):
                    await asyncio.gather(*(send(store, str(number), each) for each in OTHERS))
                assert len(await store.read(POOL)) == 1
                assert not any(each.done() for each in waiting)
                stopped.go_on()
                cursors = await asyncio.gather(*waiting)
            code, lines, errors = await stopped.finish()
            assert code == 0, errors
            assert sorted([*cursors, *map(int, lines)]) == [3, 4, 5]
        # It stays apart for some time, and is used like any other.
        assert await send(store, "c") == 6
    assert names(postgres, schema) == LEFT_BY_WORKER | {"a": 1, "b": 1, "c": 1}


async def test_who_was_stopped_for_too_long_does_it_anew(postgres: Server, schema: str) -> None:
    url = postgres.url()
    async with (
        opened(url, schema) as store,
        worker(str(WORKER), url, schema, POOL, USUAL) as stopped,
    ):
        await stopped.stands_still()
        async with asyncio.timeout(BOUND):
            assert await send(store, "a") == 2
        assert await come(store, "run.a") == 3
        stopped.go_on()
        code, lines, errors = await stopped.finish()
        assert (code, lines) == (0, ["5"]), errors
    left = LEFT_BY_WORKER | {"a": 1, "run.a member_joined": 1}
    assert names(postgres, schema) == left
