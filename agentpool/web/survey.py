"""The members of a pool, gone through some at a time, so that no page waits for all of them."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, NamedTuple, TypeAlias

import anyio

from agentpool.rules.command import PoolView
from agentpool.rules.explaining.awaiting import owed_by
from agentpool.rules.explaining.overview import MEMBERS_AT_ONCE, MemberSeen, members_after
from agentpool.rules.explaining.parts import AnswerOwed

__all__ = ("Seen", "Survey", "look_at_members")

_OWED: Final = 10


class Seen(NamedTuple):
    """A member as it was seen.

    :ivar owes: the first answers that others wait for from it; ``owes_in_all``: how many those are
    """

    seen: MemberSeen
    owes: tuple[AnswerOwed, ...]
    owes_in_all: int

    @property
    def run_id(self) -> str:
        """Whose it is."""
        return self.seen.member.run_id


def look_at_members(view: PoolView, after: str) -> list[Seen]:
    """Look at the next members behind one."""
    found = list[Seen]()
    for each in members_after(view, after):
        owes, in_all = owed_by(view, each.member.run_id)
        found.append(Seen(each, owes[:_OWED], in_all))
    return found


_Asks: TypeAlias = Callable[[Callable[[PoolView], list[Seen]]], Awaitable[list[Seen]]]
"""Answers such a question about a pool."""


class Survey:
    """What is known of the members of a pool: some of it from some time ago, if they are many.

    :ivar looked_at: when all were looked at, by this machine's count of seconds; ``None``: that has
        not been yet
    """

    def __init__(self, asks: _Asks) -> None:
        self._asks = asks
        self._lock = anyio.Lock()
        self._seen: list[Seen] = []
        self._next: list[Seen] = []
        self._begun = 0.0
        self.looked_at: float | None = None

    @property
    def seen(self) -> list[Seen]:
        """Those that are known, in ascending order of their runs."""
        return self._next if self.looked_at is None else self._seen

    async def go_on(self, seconds: float) -> None:
        """Look at members, for about so long at most; at some in any case.

        Where they are few, at all of them. Cancelled, it has looked at fewer.
        """
        async with self._lock:
            end = anyio.current_time() + seconds
            while await self._look() and anyio.current_time() < end:
                pass

    async def _look(self) -> bool:
        """Look at the next; say whether there are more."""
        if not self._next:
            self._begun = anyio.current_time()
        after = self._next[-1].run_id if self._next else ""
        found = await self._asks(partial(look_at_members, after=after))
        self._next += found
        if len(found) == MEMBERS_AT_ONCE:
            return True
        self._seen, self._next, self.looked_at = self._next, [], self._begun
        return False
