"""Cancelling a coroutine at each place where it can be cancelled, one after the other.

A task is cancelled where it waits. How often it waits, and for what, only the code itself knows, so
a test that is to hold for every place counts them while the code runs::

    for suspension in itertools.count():
        reached = await cancel_at(suspension, lambda: store.join_member(pool_id, member))
        ...  # whatever was cancelled: is the store as it should be?
        if not reached:
            break  # it went through: there are no more places
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from enum import StrEnum
from typing import Any, Final

import anyio

__all__ = ("Moment", "cancel_at", "interrupt_at", "tasks_left")

_MANY: Final = 1000


class Moment(StrEnum):
    """When, during a suspension, something happens to a coroutine."""

    SUSPENDED = "suspended"
    """As soon as it waits."""

    RESUMING = "resuming"
    """When what it waited for has just come, and is lost on it."""

    IN_SCOPE = "in scope"
    """As soon as it waits, by an anyio scope around it, which cancels every further wait too."""


async def cancel_at(
    suspension: int,
    function: Callable[[], Awaitable[object]],
    *,
    moment: Moment = Moment.SUSPENDED,
) -> bool:
    """Run a coroutine function in a task, and cancel that where it waits for the n-th time.

    :param suspension: 0 for the first time that it waits
    :param function: makes what is to be awaited; it may raise `asyncio.CancelledError`, any other
        error is passed on
    :return: whether it waited that often; otherwise it went through undisturbed
    """
    if moment is not Moment.IN_SCOPE:
        return await interrupt_at(suspension, function, lambda task: task.cancel(), moment=moment)
    scope = anyio.CancelScope()

    async def in_scope() -> None:
        with scope:
            await function()

    # From outside of the task, for a scope that is cancelled from within lets one wait go by.
    soon = asyncio.get_running_loop().call_soon
    return await interrupt_at(suspension, in_scope, lambda _: soon(scope.cancel), moment=moment)


async def interrupt_at(
    suspension: int,
    function: Callable[[], Awaitable[object]],
    action: Callable[["asyncio.Task[None]"], object],
    *,
    moment: Moment = Moment.SUSPENDED,
) -> bool:
    """Run a coroutine function in a task, and do something where it waits for the n-th time.

    As `cancel_at`, which does this with ``asyncio.Task.cancel``.

    :param action: called with the task, from within the event loop
    """
    if suspension >= _MANY:
        msg = f"it did not come to its end within {_MANY} suspensions"
        raise AssertionError(msg)
    stepper = _Stepper(suspension, action, moment)
    task = asyncio.ensure_future(stepper.run(function))
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
    return stepper.reached


async def tasks_left(before: set["asyncio.Task[Any]"], patience: float = 60) -> set[str]:
    """Name the tasks, beyond those before, that do not end on their own within some seconds.

    :param before: what ``asyncio.all_tasks()`` was
    """
    try:
        async with asyncio.timeout(patience):
            while left := asyncio.all_tasks() - before - {asyncio.current_task()}:
                await asyncio.wait(left)
    except TimeoutError:
        return {repr(task) for task in left}
    return set()


class _Stepper:
    """Counts how often an awaitable gives way to the event loop, and acts at one of those times."""

    def __init__(
        self, suspension: int, action: Callable[["asyncio.Task[None]"], object], moment: Moment
    ) -> None:
        self.reached = False
        self._left = suspension
        self._action = action
        self._moment = moment

    async def run(self, function: Callable[[], Awaitable[object]]) -> None:
        await _Driven(function(), self._suspended)

    def _suspended(self, waiting_for: Any) -> None:
        if self._left == 0:
            self.reached = True
            self._act(waiting_for)
        self._left -= 1

    def _act(self, waiting_for: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._moment is Moment.RESUMING and asyncio.isfuture(waiting_for):
            # Ours comes before the task's own, which is added once the future was yielded.
            waiting_for.add_done_callback(lambda _: self._action(task))
        else:
            self._action(task)


class _Driven:
    """An awaitable that passes on what another one yields, and tells of it first."""

    def __init__(self, awaitable: Awaitable[object], suspended: Callable[[Any], None]) -> None:
        self._awaitable = awaitable
        self._suspended = suspended

    def __await__(self) -> Generator[Any, Any, None]:
        steps = self._awaitable.__await__()
        step: Callable[..., Any] = steps.__next__
        given: tuple[BaseException, ...] = ()
        while True:
            try:
                waiting_for = step(*given)
            except StopIteration:
                return
            self._suspended(waiting_for)
            try:
                yield waiting_for
                step, given = steps.__next__, ()
            except BaseException as error:  # noqa: BLE001  # it goes where it was meant to go
                step, given = steps.throw, (error,)
