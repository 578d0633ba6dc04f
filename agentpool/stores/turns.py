"""Looking again and again, and the end of it.

Take the signal, look, wait for the signal. In that order nothing is missed: whatever happens after
the signal was taken ends the wait, and whatever happened before it is there to be seen. That loop
stands here once, for watchers, subscriptions, waits and upkeep.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

import anyio

from agentpool.errors import AgentPoolError, StoreClosedError
from agentpool.support.tasks import move_on_after

__all__ = ("Ending", "Turns")


class Turns:
    """The moments at which to look: one at once, then one whenever something may have changed.

    ::

        with store.changes(pool_id) as turns:
            async for _ in turns:
                ...  # look; what happens from here on brings the next turn

    A turn may come although nothing changed. Nothing is held while one looks, so the consumer may
    yield, pause or leave wherever it likes.

    :param at_once: whether the first turn does
    :ivar endings: what ends the turns when it is closed
    :ivar told: for who looks after many things at once: which of them have changed
    """

    def __init__(self, *, at_once: bool = True) -> None:
        self._signal = anyio.Event()
        self._seconds: float | None = None
        self.endings: list[Ending] = []
        self._woken = at_once
        self.told: set[str] = set()

    @property
    def woken(self) -> bool:
        """Whether the next turn is to come at once."""
        return self._woken

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
            with move_on_after(self._seconds):
                await self._signal.wait()
        self.refuse_closed()
        # From here on, before the caller looks, a change means another turn.
        self._signal, self._woken, self._seconds = anyio.Event(), False, None


class Ending:
    """The end of something that can be closed: whoever waits in it is woken, and told.

    :param message: what the error says
    :param pool_id: the pool that was closed, where it is one
    :param error: what is raised
    """

    def __init__(
        self,
        message: str,
        pool_id: str | None = None,
        error: type[AgentPoolError] = StoreClosedError,
    ) -> None:
        self.closed: bool = False
        self._error: AgentPoolError = error(message, pool_id=pool_id)
        self._waiting: set[Turns] = set()

    def refuse_closed(self) -> None:
        """Refuse to begin anything after the end.

        :raises StoreClosedError: it was closed, or the error that it was closed with
        """
        if self.closed:
            raise self._error.copy()

    def close(self, error: AgentPoolError | None = None) -> None:
        """End all turns that are taken in it, with an error that says more where there is one."""
        self.closed = True
        self._error = error or self._error
        for turns in self._waiting:
            with suppress(RuntimeError):  # the event loop that they waited in is closed
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
