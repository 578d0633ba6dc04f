"""Taking turns: no change is missed, no turn comes for nothing, and closing ends them."""

import asyncio
from contextlib import ExitStack

import pytest
from virtual_time import settled, virtual_time

from agentpool import StoreClosedError
from agentpool.stores.turns import Ending, Turns


def now() -> float:
    return asyncio.get_running_loop().time()


def next_turn(turns: Turns) -> "asyncio.Task[None]":
    async def wait() -> None:
        await anext(turns)

    return asyncio.ensure_future(wait())


async def waits(turns: Turns) -> "asyncio.Task[None]":
    """Wait for the next turn in a task, of which it is clear that it does not come by itself."""
    task = next_turn(turns)
    await settled()
    assert not task.done()
    return task


@virtual_time
async def test_the_first_turn_comes_at_once_and_the_second_with_a_change() -> None:
    turns = Turns()
    await anext(turns)
    task = await waits(turns)
    turns.wake()
    await task


@virtual_time
async def test_what_happens_before_the_first_turn_brings_no_second() -> None:
    turns = Turns()
    turns.wake()
    await anext(turns)
    task = await waits(turns)
    turns.wake()
    await task


@virtual_time
async def test_many_changes_during_one_look_bring_one_turn() -> None:
    turns = Turns()
    await anext(turns)
    for _ in range(3):
        turns.wake()
    await anext(turns)
    task = await waits(turns)
    turns.wake()
    await task


@virtual_time
async def test_a_turn_comes_in_time_once_and_no_later_than_a_change() -> None:
    turns = Turns()
    await anext(turns)
    begun = now()
    turns.within(5)
    await anext(turns)
    assert now() == pytest.approx(begun + 5)
    task = await waits(turns)
    await asyncio.sleep(50)
    assert not task.done(), "the bound was for one turn"
    turns.wake()
    await task
    begun = now()
    turns.within(5)
    turns.wake()
    await anext(turns)
    assert now() == begun


@virtual_time
async def test_telling_brings_a_turn_and_says_all_that_it_is_for() -> None:
    turns = Turns()
    await anext(turns)
    task = await waits(turns)
    turns.tell("a")
    turns.tell("b")
    await task
    assert turns.told == {"a", "b"}


@virtual_time
async def test_whichever_ending_comes_wakes_and_says_what_was_closed() -> None:
    for closed in (0, 1):
        endings = (Ending("the store is closed"), Ending("the pool is closed", "pool.x"))
        turns = Turns()
        with endings[0].ends(turns), endings[1].ends(turns) as given:
            assert given is turns
            await anext(turns)
            turns.refuse_closed()
            task = await waits(turns)
            endings[closed].close()
            with pytest.raises(StoreClosedError, match=("the store", "the pool")[closed]) as caught:
                await task
            assert caught.value.pool_id == (None, "pool.x")[closed]
            with pytest.raises(StoreClosedError):
                turns.refuse_closed()
            with pytest.raises(StoreClosedError):
                await anext(turns)


@virtual_time
async def test_what_was_closed_during_a_look_ends_the_turns_although_nothing_changed() -> None:
    ending, turns = Ending("the store is closed"), Turns()
    with ending.ends(turns):
        await anext(turns)
        ending.close()
        with pytest.raises(StoreClosedError):
            await anext(turns)


@virtual_time
async def test_an_ending_ends_nobody_who_has_left_it() -> None:
    """And those who leave one after another are not mixed up."""
    pool, store = Ending("the pool is closed"), Ending("the store is closed")
    turns = Turns()
    with store.ends(turns):
        with pool.ends(turns):
            await anext(turns)
        with pytest.raises(ZeroDivisionError), pool.ends(turns):
            raise ZeroDivisionError
        task = await waits(turns)
        pool.close()
        pool.close()
        await settled()
        assert not task.done()
        store.close()
        with pytest.raises(StoreClosedError, match="the store"):
            await task
    assert turns.endings == []


@virtual_time
async def test_nothing_begins_in_what_is_closed() -> None:
    ending = Ending("the pool is closed", "pool.x")
    ending.refuse_closed()
    ending.close()
    with pytest.raises(StoreClosedError), ending.ends(Turns()):
        raise AssertionError
    with pytest.raises(StoreClosedError):
        ending.refuse_closed()


@virtual_time
async def test_closing_wakes_all_who_wait() -> None:
    ending = Ending("the store is closed")
    with ExitStack() as stack:
        everybody = [stack.enter_context(ending.ends(Turns())) for _ in range(3)]
        for turns in everybody:
            await anext(turns)
        tasks = [await waits(turns) for turns in everybody]
        ending.close()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in results] == [StoreClosedError] * 3
