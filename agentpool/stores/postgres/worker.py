"""An engine on a thread of its own, used in whole functions.

A function runs from beginning to end in one hop. So a transaction that it begins it also ends,
whatever happens to the task that waits for it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Final, TypeVar

from agentpool.errors import StoreClosedError
from agentpool.stores.postgres.engine import PostgresEngine
from agentpool.stores.postgres.errors import translated

__all__ = ("EngineWorker",)

R = TypeVar("R")


class EngineWorker:
    """A thread and the engine on it. Functions run one at a time, in the order of the calls."""

    def __init__(self, executor: Executor, engine: PostgresEngine, where: str) -> None:
        self._executor = executor
        self.engine: Final = engine
        self._where = where
        self._closed = False

    @classmethod
    async def start(cls, connected: Callable[[], PostgresEngine], where: str) -> "EngineWorker":
        """Start a thread, and connect on it.

        :raises AgentPoolError: as that does
        """
        executor = ThreadPoolExecutor(1, "agentpool-postgres")
        try:
            engine = await asyncio.wrap_future(executor.submit(connected))
        except BaseException:
            executor.shutdown(wait=False)
            raise
        return cls(executor, engine, where)

    async def run(self, function: Callable[[PostgresEngine], R]) -> R:
        """Run a function on the thread.

        A cancelled caller gets no result, but a function that has begun runs to its end.

        :raises StoreClosedError: the connection is closed
        """
        if self._closed:
            msg = f"{self._where}: the store is closed"
            raise StoreClosedError(msg)
        with translated(self._where):
            return await asyncio.wrap_future(self._executor.submit(function, self.engine))

    async def close(self) -> None:
        """Close the connection after what it is doing, and end the thread."""
        if not self._closed:
            self._closed = True
            try:
                await asyncio.wrap_future(self._executor.submit(self.engine.close))
            finally:
                self._executor.shutdown(wait=False)
