"""A signal that fires once, and waiting for the first of several, without a task for each."""

import asyncio

__all__ = ("Signal", "wait_for_any")


class Signal:
    """Something that happens once. Whoever waits for it is woken, now and later."""

    __slots__ = ("_waiters", "fired")

    def __init__(self) -> None:
        self.fired: bool = False
        self._waiters: set[asyncio.Future[None]] = set()

    def fire(self) -> None:
        """Wake everybody who waits. Again: nothing."""
        self.fired = True
        while self._waiters:
            waiter = self._waiters.pop()
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self) -> None:
        """Wait until it fires; at once, when it has."""
        await wait_for_any(self)

    def add(self, waiter: "asyncio.Future[None]") -> None:
        """Let a future be resolved when it fires."""
        self._waiters.add(waiter)

    def discard(self, waiter: "asyncio.Future[None]") -> None:
        """Forget a future again."""
        self._waiters.discard(waiter)


async def wait_for_any(*signals: Signal, seconds: float | None = None) -> None:
    """Wait until one of the signals has fired, or the time is up."""
    if any(signal.fired for signal in signals):
        return
    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    for signal in signals:
        signal.add(waiter)
    try:
        await asyncio.wait([waiter], timeout=seconds)
    finally:
        for signal in signals:
            signal.discard(waiter)
