"""Running something to its end, or for so long, whatever happens to the task that asked for it."""

import asyncio
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import anyio

from agentpool.support.loop import running_loop

__all__ = ("cancel", "ended", "joined", "move_on_after", "start", "uninterrupted")

R = TypeVar("R")


def start(coroutine: Coroutine[Any, Any, R]) -> "asyncio.Task[R]":
    """Run a coroutine in a task that begins after its caller has gone on, on every event loop.

    For whoever keeps the task: it may not end, nor use its owner, before that knows of it, as it
    could where the loop's factory makes eager tasks.
    """
    return asyncio.Task(coroutine, loop=running_loop())


async def uninterrupted(coroutine: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine in a task of its own and wait for its end, even when cancelled meanwhile.

    A cancellation is passed on after that, also when the coroutine failed: whoever cancelled waits
    for nothing else. Use it for work with a bound of its own.
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
    if cancelled is not None:
        raise cancelled from (None if task.cancelled() else task.exception())
    return task.result()


@contextmanager
def move_on_after(seconds: float | None) -> Iterator[anyio.CancelScope]:
    """Do what `anyio.move_on_after` does, and lose no cancellation of the task by it.

    One that came together with the end of the time was taken for that before anyio 4.16, and the
    task went on for ever.

    :param seconds: ``None``: there is no end
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  # whoever awaits is in one
    before = task.cancelling()
    with anyio.move_on_after(seconds) as scope:  # noqa: TID251
        yield scope
    if scope.cancelled_caught and task.cancelling() > before:
        raise asyncio.CancelledError


async def joined(task: "asyncio.Future[R]") -> R:
    """Wait for a task of somebody else's, which goes on when this is cancelled; give its result.

    `asyncio.shield` tells the event loop of errors that come after that, as of something bad.
    """
    await ended([task])
    return task.result()


def cancel(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    """Cancel tasks, but for those whose event loop is closed: they will never go on."""
    for task in tasks:
        if not task.get_loop().is_closed():
            task.cancel()


async def ended(tasks: Iterable["asyncio.Future[Any]"]) -> None:
    """Wait for the end of tasks, but for those whose event loop is closed."""
    alive = [task for task in tasks if not (task.done() or task.get_loop().is_closed())]
    if alive:
        await asyncio.wait(alive)
