"""Forgetting to open something says what to write, whatever is tried with it."""

import copy
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from agentpool import (
    AgentPool,
    AgentPoolError,
    InMemoryAgentPoolStore,
    InvalidValueError,
    SqliteAgentPoolStore,
    open_pool,
    open_store,
)
from agentpool.support.opening import Opening
from agentpool.testing import a_member


def a_store() -> Any:
    return SqliteAgentPoolStore.open("never-made.db")


def a_pool() -> Any:
    return AgentPool.open(InMemoryAgentPoolStore(), "pool.x")


def a_membership() -> Any:
    pool = AgentPool(InMemoryAgentPoolStore(), "pool.x")
    return pool.member(a_member("run.a"))


UNOPENED: dict[str, tuple[Callable[[], Any], str]] = {
    "store": (a_store, "async with SqliteAgentPoolStore.open(...) as store:"),
    "pool": (a_pool, "async with AgentPool.open(...) as pool:"),
    "member": (a_membership, "async with pool.member(...) as me:"),
}
TRIED: dict[str, Callable[[Any], object]] = {
    "a method": lambda it: it.send("x"),
    "an attribute": lambda it: it.path,
    "a call": lambda it: it("x", a=1),
    "for": list,
    "async for": aiter,
    "an index": lambda it: it[0],
    "with": lambda it: it.__enter__(),
}


@pytest.fixture(params=UNOPENED)
async def unopened(request: pytest.FixtureRequest) -> tuple[Any, str]:
    make, remedy = UNOPENED[request.param]
    return make(), remedy


@pytest.mark.parametrize("use", TRIED.values(), ids=TRIED)
async def test_whatever_is_tried_says_what_to_write(
    unopened: tuple[Any, str], use: Callable[[Any], object]
) -> None:
    thing, remedy = unopened
    with pytest.raises(InvalidValueError) as caught:
        use(thing)
    assert "not opened yet" in str(caught.value)
    assert remedy in str(caught.value)


async def test_a_plain_with_says_what_to_write(unopened: tuple[Any, str]) -> None:
    thing, _ = unopened
    with pytest.raises(InvalidValueError, match="async with"), thing:
        pytest.fail("it was entered")


async def test_what_is_missing_is_named(unopened: tuple[Any, str]) -> None:
    thing, _ = unopened
    with pytest.raises(InvalidValueError, match="'send'"):
        _ = thing.send


async def test_asking_whether_it_has_something_is_answered(unopened: tuple[Any, str]) -> None:
    thing, _ = unopened
    assert not hasattr(thing, "send")
    assert getattr(thing, "send", 7) == 7
    assert not hasattr(thing, "__no_such_thing__")
    assert inspect.getmembers(thing)
    assert type(copy.copy(thing)) is type(thing)


async def test_a_store_and_a_pool_by_a_path_say_how_to_open_them() -> None:
    things: list[Any] = [open_store("never-made.db"), open_pool("never-made.db", "pool.x")]
    for thing in things:
        with pytest.raises(InvalidValueError, match=r"async with open_(store|pool)\(\.\.\.\) as"):
            _ = thing.store


async def test_a_pool_is_not_opened_on_a_store_that_is_not() -> None:
    with pytest.raises(InvalidValueError, match=r"async with SqliteAgentPoolStore\.open"):
        AgentPool.open(a_store(), "pool.x")


async def test_awaiting_opens_also_where_it_is_the_way_to_write_it() -> None:
    pool = await a_pool()
    assert isinstance(pool, AgentPool)
    await pool.aclose()


async def test_it_shows_what_it_is() -> None:
    assert repr(a_store()) == "<SqliteAgentPoolStore, not opened yet>"


class Thing:
    """Something that counts how often it was closed."""

    closed = 0

    async def aclose(self) -> None:
        self.closed += 1


async def test_an_error_while_opening_closes_nothing() -> None:
    thing = Thing()

    async def fail() -> Thing:
        raise ZeroDivisionError

    async def give() -> Thing:
        return thing

    with pytest.raises(ZeroDivisionError):
        async with Opening(fail, "Thing", "thing"):
            pytest.fail("it was entered")
    async with Opening(give, "Thing", "thing") as opened:
        assert opened is thing
    assert thing.closed == 1


def test_the_error_is_one_of_ours_and_an_attribute_error() -> None:
    with pytest.raises(AgentPoolError) as caught:
        a_store().send("x")
    assert isinstance(caught.value, AttributeError)
    assert str(caught.value.copy()) == str(caught.value)
