"""The life of a store's handle: who follows its pools, what runs beside it, how it is closed."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from agentpool.errors import InvalidValueError, StoreClosedError
from agentpool.rules.requirements import checked_names, require_callable
from agentpool.stores.tail import Tail
from agentpool.stores.turns import Turns
from agentpool.support.clock import Clock, StoreClock, wall_clock
from agentpool.support.loop import running_loop
from agentpool.support.tasks import cancel, ended, joined, start, uninterrupted
from agentpool.wire.ids import check_identifier

__all__ = ("StoreHandle",)

C = TypeVar("C")


class StoreHandle:
    """What every store is, whatever it keeps and where: something open, that can be followed.

    It belongs to the event loop that first uses it, for as long as that is not closed.

    Authors of stores override `finish`, and `listen` and `stop_listening` where others may write to
    what the store keeps; `listen_to` where it pays.
    """

    def __init__(self, clock: Clock | StoreClock = wall_clock) -> None:
        self.clock: Final = StoreClock.of(clock)
        self.tail: Final = Tail(self.listen, self.stop_listening, self.listen_to)
        self._companions: dict[Any, Any] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._closing: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def finish(self) -> None:
        """Finish what is being written, refuse what waits behind it, and let go of the engine.

        `aclose` calls it, once and not to be cancelled, when nobody waits and nothing runs in the
        background any more. Whoever still follows a pool is refused at their next step; so
        `stop_listening` may not have been called.
        """

    def listen(self) -> None:
        """Begin to look for what others append, and `notify`: somebody follows a pool.

        What is appended after this returns must be noticed; whoever follows looks for what came
        before. Never called twice without `stop_listening` between.
        """

    def listen_to(self, pool_id: str, topic: str) -> None:
        """Look for what others do to a topic, too: somebody follows it from now on.

        For a store that can tell its processes apart by what they follow; others look for
        everything from `listen` to `stop_listening`.
        """
        check_identifier(pool_id, "pool_id")
        if type(topic) is not str:
            msg = f"topic: expected str, got {type(topic).__name__}"
            raise InvalidValueError(msg)

    def stop_listening(self) -> None:
        """Look no longer for what others append: nobody follows a pool any more."""

    # --- what a store calls

    @property
    def is_closed(self) -> bool:
        """Whether `aclose` was called; may be asked from any thread."""
        return self.tail.ending.closed

    def notify(self, pool_ids: Iterable[str] | None = None) -> None:
        """Tell all who follow these pools, on the event loop, that they may have changed.

        A store calls it once what changed is durable, soon: those who follow wait for it.

        :param pool_ids: ``None``: it is not known which
        """
        self.tail.notify(None if pool_ids is None else checked_names(pool_ids, "pool_ids"))

    def refuse_closed(self) -> None:
        """Refuse to begin anything after `aclose`. For the event loop only.

        :raises StoreClosedError: the store is closed, or it belongs to another event loop than
            runs this, or that is none of asyncio's
        """
        self.tail.ending.refuse_closed()
        self.refuse_elsewhere()
        self._loop = running_loop()

    def refuse_elsewhere(self) -> None:
        """Refuse an event loop that is not the store's, as long as that may still run.

        :raises StoreClosedError: it is another, or none of asyncio's
        """
        here = running_loop()
        if self._loop not in (None, here) and not self._loop.is_closed():
            msg = "the store belongs to another event loop; use and close it in that one"
            raise StoreClosedError(msg)

    # --- following

    def changes(self, pool_id: str) -> AbstractContextManager[Turns]:
        """Take turns at looking at a pool, for the length of a ``with`` block.

        The first turn comes at once, the next whenever the pool may have changed, by whomever; so
        whoever looks at each turn misses no change. A turn may come although nothing changed.

        :raises StoreClosedError: the store is closed; or at the next turn, when it is
        """
        check_identifier(pool_id, "pool_id")
        self.refuse_closed()
        return self.tail.changes(pool_id)

    # --- what runs beside it

    def companion(self, kind: Callable[[Any], C]) -> C:
        """Give the one object of a kind that goes with this handle, made when first asked for."""
        require_callable(kind, "kind")
        if kind not in self._companions:
            self._companions[kind] = kind(self)
        companion: C = self._companions[kind]
        return companion

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run something in the background for as long as the store is open at most.

        The store owns it, not a task group: a handle may be opened in one task and closed in
        another, which no task group survives.
        """
        if not issubclass(type(coroutine), Coroutine):
            msg = f"coroutine: expected one, got {type(coroutine).__name__}"
            raise InvalidValueError(msg)
        task = start(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def aclose(self) -> None:
        """Close the store: finish what is being written, refuse the rest, wake all waiters.

        Idempotent. A cancelled close closes all the same. When the event loop of the store is
        closed, it can be closed in another.

        :raises StoreClosedError: the store belongs to another event loop, which may still run
        """
        self.refuse_elsewhere()
        if self._closing is None or self._closing.cancelled():
            self.tail.ending.close()
            self._closing = asyncio.ensure_future(self._close())
        await uninterrupted(joined(self._closing))

    async def _close(self) -> None:
        tasks = list(self._background)
        cancel(tasks)
        await ended(tasks)
        await self.tail.settle()
        await self.finish()

    async def __aenter__(self) -> Self:
        self.refuse_closed()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
