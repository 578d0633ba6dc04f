"""The snapshots that a handle keeps, so that the next one of a pool replays only what is new."""

from collections import OrderedDict
from typing import Final

from agentpool.errors import AgentPoolError
from agentpool.rules.command import PoolView
from agentpool.rules.replay import ReplayState
from agentpool.wire.snapshot import AgentPoolSnapshot

__all__ = ("Snapshots",)

_PAGE: Final = 2000
_POOLS_KEPT: Final = 16
_RECORDS_KEPT: Final = 500_000
"""Beyond so many records, replayed in all pools together, only the pool asked for last is kept."""


class Snapshots:
    """The replayed states of the pools that were asked for last. Used inside of questions only."""

    def __init__(self) -> None:
        self._states: OrderedDict[str, ReplayState] = OrderedDict()
        self._unfinished: set[str] = set()

    def replay_page(self, view: PoolView) -> AgentPoolSnapshot | None:
        """Take in the next records of a pool; the snapshot, once there are no more."""
        pool_id = view.pool_id
        state = self._states.get(pool_id) or ReplayState(pool_id)
        records = view.records(state.sequence, _PAGE)
        for seq, payload in records:
            if isinstance(payload, AgentPoolError):
                raise payload
            state.apply(seq, payload)
        if records:
            self._states[pool_id] = state
        if len(records) == _PAGE:
            self._unfinished.add(pool_id)
            return None
        self._unfinished.discard(pool_id)
        if pool_id in self._states:
            self._states.move_to_end(pool_id)
            self._forget_others(pool_id)
        return state.snapshot()

    def forget(self) -> None:
        """Forget all: the logs that they were made of may have been changed."""
        self._states.clear()
        self._unfinished.clear()

    def _forget_others(self, pool_id: str) -> None:
        # Not one that is half replayed: it would begin anew at every snapshot of another pool.
        others = [each for each in self._states if each not in {pool_id, *self._unfinished}]
        kept = sum(each.sequence for each in self._states.values())
        for other in others:
            if len(self._states) <= _POOLS_KEPT and kept <= _RECORDS_KEPT:
                return
            kept -= self._states.pop(other).sequence
