"""The snapshots that a handle keeps, so that the next one of a pool replays only what is new."""

from collections import OrderedDict
from typing import Final

from agentpool.rules.command import PoolView
from agentpool.rules.replay import ReplayState
from agentpool.wire.snapshot import AgentPoolSnapshot

__all__ = ("Snapshots",)

_PAGE: Final = 2000
_POOLS_KEPT: Final = 16
_RECORDS_KEPT: Final = 500_000
"""Beyond so many records, replayed in all pools together, only the pool asked for last is kept."""


class Snapshots:
    """The replayed states of the pools that were asked for last.

    Used inside of questions only: a store answers those one at a time, so no two replay at once,
    and neither cancellation nor a thread finds a state half brought up to date.
    """

    def __init__(self) -> None:
        self._states: OrderedDict[str, ReplayState] = OrderedDict()

    def replay_page(self, view: PoolView) -> AgentPoolSnapshot | None:
        """Take in the next records of a pool; the snapshot, once there are no more."""
        pool_id = view.pool_id
        state = self._states.get(pool_id) or ReplayState(pool_id)
        records = view.records(state.sequence, _PAGE)
        for seq, payload in records:
            state.apply(seq, payload)
        if records:
            self._states[pool_id] = state
        if len(records) == _PAGE:
            return None
        if pool_id in self._states:
            self._keep(pool_id)
        return state.snapshot()

    def _keep(self, pool_id: str) -> None:
        self._states.move_to_end(pool_id)
        while len(self._states) > 1 and (
            len(self._states) > _POOLS_KEPT
            or sum(each.sequence for each in self._states.values()) > _RECORDS_KEPT
        ):
            self._states.popitem(last=False)
