"""A store in memory that remembers every call, and lets a test come between."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias, TypeVar

from virtual_time import loop_clock

from agentpool import InMemoryAgentPoolStore
from agentpool.rules.command import Command, PoolView
from agentpool.stores.base import Due, due_in
from agentpool.stores.tail import Page
from agentpool.support.clock import Clock

__all__ = ("Call", "RecordingStore")

R = TypeVar("R")


class Call(NamedTuple):
    """A call on a store.

    :ivar what: the command, by the name of its class, or ``query``, ``read_page``, ``due``
    :ivar about: the pools
    :ivar at: when it began, in milliseconds of the store's clock
    """

    what: str
    about: tuple[str, ...]
    at: int


Hook: TypeAlias = Callable[[Call], Awaitable[None]]


async def _nothing(_call: Call) -> None:
    pass


class RecordingStore(InMemoryAgentPoolStore):
    """Remembers its calls.

    :ivar before: called before each call is carried out; it may wait, do something, or raise
    :ivar after: the same, after it was carried out, before the caller learns what came of it
    """

    def __init__(self, *, clock: Clock = loop_clock) -> None:
        super().__init__(clock=clock)
        self.calls: list[Call] = []
        self.before: Hook = _nothing
        self.after: Hook = _nothing

    def count(self, what: str | None = None) -> int:
        """Count the calls of a kind, or all."""
        return sum(what in {None, call.what} for call in self.calls)

    def times(self, what: str) -> list[int]:
        """Say when the calls of a kind began."""
        return [call.at for call in self.calls if call.what == what]

    def abouts(self, what: str) -> list[tuple[str, ...]]:
        """Say which pools the calls of a kind were about."""
        return [call.about for call in self.calls if call.what == what]

    async def execute(self, pool_id: str, command: Command[R]) -> R:
        execute = partial(super().execute, pool_id, command)
        return await self._between(self._called(type(command).__name__, pool_id), execute)

    async def query(self, pool_id: str, question: Callable[[PoolView], R]) -> R:
        return await self._between(
            self._called("query", pool_id), partial(super().query, pool_id, question)
        )

    async def read_page(self, pool_id: str, after: int, limit: int) -> Page:
        return await self._between(
            self._called("read_page", pool_id), partial(super().read_page, pool_id, after, limit)
        )

    async def due(self, pool_ids: Sequence[str]) -> dict[str, Due]:
        call = self._called("due", *pool_ids)

        ask = super().query

        async def answer() -> dict[str, Due]:
            return {pool_id: await ask(pool_id, due_in) for pool_id in pool_ids}

        return await self._between(call, answer)

    def _called(self, what: str, *about: str) -> Call:
        call = Call(what, about, self.clock())
        self.calls.append(call)
        return call

    async def _between(self, call: Call, carry_out: Callable[[], Awaitable[R]]) -> R:
        await self.before(call)
        result = await carry_out()
        await self.after(call)
        return result
