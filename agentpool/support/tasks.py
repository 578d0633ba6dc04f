"""Running something to its end, whatever happens to the task that asked for it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import anyio

__all__ = ("joined", "uninterrupted")

R = TypeVar("R")


async def uninterrupted(coroutine: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine in a task of its own and wait for its end, even when cancelled meanwhile.

    A cancellation is passed on after that, unless the coroutine itself failed. Use it for work
    with a bound of its own.
    """
    task = asyncio.create_task(coroutine)
    cancelled: asyncio.CancelledError | None = None
    # The scope keeps cancelled anyio scopes from cancelling at every turn of the event loop.
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                cancelled = error
    result = task.result()
    if cancelled is not None:
        raise cancelled
    return result


async def joined(task: "asyncio.Task[None]") -> None:
    """Wait for a task of somebody else's, and raise what it raised."""
    await asyncio.wait([task])
    task.result()
