"""Taking turns at looking: the one loop of everybody who waits for something to change.

Take the signal, look, wait for the signal. In that order nothing is missed: whatever happens after
the signal was taken ends the wait, and whatever happened before it is there to be seen. It stands
here once, for watchers, subscriptions, waits and upkeep.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import anyio

from agentpool.errors import StoreClosedError

__all__ = ("Ending", "Turns")


class Turns:
    """The moments at which to look: one at once, then one whenever something may have changed.

    ::

        with store.changes(pool_id) as turns:
            async for _ in turns:
                ...  # look; what happens from here on brings the next turn

    A turn may come although nothing changed. Nothing is held while one looks, so the consumer may
    yield, pause or leave wherever it likes.

    :ivar endings: what ends the turns when it is closed
    :ivar told: for who looks after many things at once: which of them have changed
    """

    def __init__(self) -> None:
        self._signal = anyio.Event()
        self._seconds: float | None = None
        self.endings: list[Ending] = []
        self._woken = True  # the first turn comes at once
        self.told: set[str] = set()

    def wake(self) -> None:
        """Let the next turn come at once. During a look: right after it."""
        self._woken = True
        self._signal.set()

    def tell(self, what: str) -> None:
        """Let the next turn come at once, and say what for."""
        self.told.add(what)
        self.wake()

    def within(self, seconds: float) -> None:
        """Let the next turn come after so many seconds even if nothing changes."""
        self._seconds = seconds

    def refuse_closed(self) -> None:
        """Refuse to go on in what was closed.

        :raises StoreClosedError: saying what it was
        """
        for ending in self.endings:
            ending.refuse_closed()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> None:
        if not self._woken:
            with anyio.move_on_after(self._seconds):
                await self._signal.wait()
        self.refuse_closed()
        # From here on, before the caller looks, a change means another turn.
        self._signal, self._woken, self._seconds = anyio.Event(), False, None


class Ending:
    """The end of something that can be closed: whoever waits in it is woken, and told.

    :param message: what the `StoreClosedError` says
    :param pool_id: the pool that was closed, where it is one
    """

    def __init__(self, message: str, pool_id: str | None = None) -> None:
        self.closed: bool = False
        self._message = message
        self._pool_id = pool_id
        self._waiting: set[Turns] = set()

    def refuse_closed(self) -> None:
        """Refuse to begin anything after the end.

        :raises StoreClosedError: it was closed
        """
        if self.closed:
            raise StoreClosedError(self._message, pool_id=self._pool_id)

    def close(self) -> None:
        """End all turns that are taken in it. Idempotent."""
        self.closed = True
        for turns in self._waiting:
            turns.wake()

    @contextmanager
    def ends(self, turns: Turns) -> Iterator[Turns]:
        """Let closing end these turns, for the length of the block.

        :raises StoreClosedError: it is closed already
        """
        self.refuse_closed()
        turns.endings.append(self)
        self._waiting.add(turns)
        try:
            yield turns
        finally:
            self._waiting.discard(turns)
            turns.endings.remove(self)
