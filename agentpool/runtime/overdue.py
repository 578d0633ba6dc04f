"""The end of a wait by time, carried out by who waits where others are late with it."""

from contextlib import suppress
from typing import Final

from agentpool.errors import AgentPoolError
from agentpool.rules.command import PoolView, RowKey
from agentpool.rules.deadlines import CarryOutDue
from agentpool.runtime.telling import told
from agentpool.stores.base import AgentPoolStore
from agentpool.stores.turns import Turns

__all__ = ("Overdue",)

_PATIENCE: Final = 30
"""Milliseconds that the upkeep has, which begins with the earliest, and may have much to do."""
_LONGEST_SLEEP: Final = 3600.0


class Overdue:
    """Watches over one deadline, for one who waits for it. It never fails.

    :param key: its row
    """

    def __init__(self, store: AgentPoolStore, pool_id: str, key: RowKey) -> None:
        self._store = store
        self._pool_id = pool_id
        self._key = key
        self._is_known = False
        self._at: int | None = None

    def look_up(self, view: PoolView) -> None:
        """Take note of when it is, as part of what is looked up anyway."""
        if not self._is_known:
            row = view.row(self._key)
            self._at = None if row is None else row.due_at
            self._is_known = True

    async def see_to(self, turns: Turns) -> None:
        """Let the next turn come when it is overdue; when it is, carry it out, once."""
        if self._at is None:
            return
        left = self._at + _PATIENCE - self._store.clock()
        if left > 0:
            turns.within(min(left / 1000, _LONGEST_SLEEP))
            return
        at, self._at = self._at, None
        with suppress(AgentPoolError):  # then it is left to the upkeep
            if await told(self._store, self._pool_id, CarryOutDue(self._key)):
                turns.wake()
            else:  # a part of what comes before was worked in by that
                self._at = at
                turns.within(_PATIENCE / 1000)
