"""Running something to its end, whatever happens to the task that asked for it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ("uninterrupted",)

R = TypeVar("R")


async def uninterrupted(coroutine: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine in a task of its own and wait for its end, even when cancelled meanwhile.

    A cancellation is passed on after that, unless the coroutine itself failed. Use it for work
    with a bound of its own.
    """
    task = asyncio.ensure_future(coroutine)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():
                raise
            cancelled = error
        except BaseException:  # noqa: BLE001  # raised below, from the task itself
            break
    result = task.result()
    if cancelled is not None:
        raise cancelled
    return result
