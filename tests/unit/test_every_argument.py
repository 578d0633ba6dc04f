"""Every argument of every public call: what is wrong is refused by its name and changes nothing.

The calls and their arguments are found by looking; what is wrong for one of them, its type says.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from enum import EnumMeta
from pathlib import Path
from typing import Any, get_origin

import pytest
from public_calls import POOL, Call, World, a_world, public_calls
from wrong_values import NOT_FOR_ENUMS, WRONG, fits

from agentpool import (
    AgentPoolError,
    AgentPoolStore,
    InMemoryAgentPoolStore,
    NoAnswerError,
    SqliteAgentPoolStore,
)
from agentpool.support.opening import Unopened
from agentpool.testing.conformance.pool_kit import ManualClock

CALLS = {call.name: call for call in public_calls()}
CALLABLE: Any = Callable
TURNS = 100
"""After so many turns of the event loop, what a call in memory waits for does not come."""


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_what_is_wrong_is_refused_by_its_name(call: Call, tmp_path: Path) -> None:
    on_file = call.owner is SqliteAgentPoolStore
    clock = ManualClock()  # nothing falls due, nor is renewed, between one look and the next
    store: AbstractAsyncContextManager[AgentPoolStore] = (
        SqliteAgentPoolStore.open(tmp_path / "pool.db", clock=clock)
        if on_file
        else InMemoryAgentPoolStore(clock=clock)
    )
    async with store as opened, a_world(opened) as world:
        assert [fault async for fault in faults(call, world)] == []


def test_calls_of_every_sort_are_found() -> None:
    assert {"AgentPool.send", "MemberHandle.ask", "RunMessage", "EventKind", "replay"} <= {*CALLS}
    assert {"SqliteAgentPoolStore.open", "InMemoryAgentPoolStore.watch", "include"} <= {*CALLS}
    assert "SqliteAgentPoolStore.put_content" in CALLS


def to_try(call: Call) -> Iterator[tuple[str, str, Any, bool]]:
    """List the parameters of a call with the values to try, and whether each may be taken."""
    for parameter, hint in call.hints.items():
        for name, make in WRONG.items():
            value = make()
            is_fit = fits(value, hint)
            if name in NOT_FOR_ENUMS and isinstance(call.function, EnumMeta):
                continue
            if is_fit and get_origin(hint) == CALLABLE:
                continue  # what it raises is its own
            yield parameter, name, value, is_fit


async def faults(call: Call, world: World) -> AsyncIterator[str]:
    """Say where a call takes a wrong value, or fails by another error than ours."""
    changes_nothing = isinstance(call.function, type)
    arguments, before = world.arguments(call), await state_of(world)
    for parameter, name, value, is_fit in to_try(call):
        if not changes_nothing:
            arguments = world.arguments(call)  # some can be used once
        error = await outcome(call, world, {**arguments, parameter: value})
        if error is not None and not isinstance(error, AgentPoolError):
            yield f"{parameter} = {name}: {type(error).__name__}: {error}"
        elif not is_fit and error is None:
            yield f"{parameter} = {name}: taken"
        elif not is_fit and parameter not in str(error):
            yield f"{parameter} = {name}: is not named by: {error}"
        elif not changes_nothing:
            after = await state_of(world)
            refused = error is not None and not isinstance(error, NoAnswerError)
            if refused and after != before:
                yield f"{parameter} = {name}: refused, and something has changed"
            before = after


async def state_of(world: World) -> tuple[Any, ...]:
    """Look at the pool that calls may change."""
    store: AgentPoolStore = world.given(AgentPoolStore)
    return await store.query(
        POOL,
        lambda view: (view.head, view.event_sequence, view.rows("inbox", "run.a", limit=9)),
    )


async def outcome(call: Call, world: World, arguments: dict[str, Any]) -> BaseException | None:
    """Give what a call raises, when it is made, or awaited, or asked for its first value."""
    try:
        made = call.make(world, arguments)
    except Exception as error:  # noqa: BLE001  # whatever it is
        return error
    if isinstance(made, AsyncIterator) and call.owner is not SqliteAgentPoolStore:
        return await raised(anext(made, None))
    if isinstance(made, Awaitable) and not isinstance(made, Unopened):
        return await raised(made, patient=call.owner is SqliteAgentPoolStore)
    return None


async def raised(awaitable: Awaitable[Any], *, patient: bool = False) -> BaseException | None:
    """Give what something raises, if it does so before it waits for what does not come."""
    task = asyncio.ensure_future(awaitable)
    for _ in range(TURNS):
        if task.done():
            break
        await asyncio.sleep(0)
    if not patient:
        task.cancel()
    await asyncio.wait([task])
    return None if task.cancelled() else task.exception()
