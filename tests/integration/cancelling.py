"""Cancelling a task at every moment at which it, or a task that it started, waits."""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any


class CancelAt:
    """Cancels what it runs at one moment: 0 is the first at which any of its tasks waits.

    `agentpool.testing.cancel_at` looks at one task only. A task that shields another waits but
    once, however far that has come; this looks into the other too.
    """

    def __init__(self, moment: int) -> None:
        self._left = moment
        self._cancel: Callable[[], object] = lambda: None

    @property
    def was_reached(self) -> bool:
        return self._left < 0

    async def run(self, victim: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in a task, which may end with `asyncio.CancelledError`."""
        loop = asyncio.get_running_loop()
        loop.set_task_factory(lambda loop, inner, **_: asyncio.Task(self._watch(inner), loop=loop))
        try:
            task = asyncio.create_task(victim)
            self._cancel = task.cancel
            return await task
        finally:
            loop.set_task_factory(None)

    async def _watch(self, inner: Any) -> Any:
        return await self._steps(inner)

    @coroutine
    def _steps(self, inner: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        step, sent = inner.send, None
        while True:
            try:
                waited_for = step(sent)
            except StopIteration as end:
                return end.value
            self._count()
            try:
                step, sent = inner.send, (yield waited_for)
            except BaseException as error:  # noqa: BLE001  # passed on to the coroutine
                step, sent = inner.throw, error

    def _count(self) -> None:
        if self._left == 0:
            asyncio.get_running_loop().call_soon(self._cancel)
        self._left -= 1
