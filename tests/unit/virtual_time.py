"""An event loop whose time goes by at once: as soon as everybody waits, it is later.

So a test of what happens after five seconds takes no time and always sees the same; and where
everybody waits for something that never comes, it fails instead of hanging. For code without
threads only: the loop does not wait for those.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Final, ParamSpec

from agentpool.support.clock import SteadyClock

__all__ = ("StalledError", "loop_clock", "settled", "virtual_time")

P = ParamSpec("P")

_START: Final = 1_000.0
_LONGEST: Final = 10_000.0


class StalledError(Exception):
    """Nothing will ever happen any more, or nothing for hours."""


class _Jumping(selectors.SelectSelector):
    """Does not wait; puts the clock of the loop forward instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = _START
        self._until = _START + _LONGEST

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None or self.now > self._until:
                self._until = self.now + _LONGEST  # those who wait are cancelled next
                msg = f"at {self.now - _START} s everybody waits for what does not come"
                raise StalledError(msg)
            self.now += max(timeout, 0)
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test on such a loop."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=_VirtualLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


loop_clock: Final = SteadyClock(lambda: round(asyncio.get_running_loop().time() * 1000))
"""The clock of a store: the milliseconds of the loop that runs this."""


async def settled() -> None:
    """Let everybody go on until all wait for something, and no time go by."""
    for _ in range(200):
        await asyncio.sleep(0)
