"""Kept states against what the records replay to."""

from collections.abc import Iterator
from typing import Any

from agentpool.doctor.reader import Part, Reader, pools
from agentpool.doctor.report import Finding, Places, broken, note, ok
from agentpool.rules.replay import PoolState
from agentpool.stores.batch.states import state_at

__all__ = ("Checkpoints",)


class Checkpoints:
    """Observes the records until each comes to the place of its pool's checkpoint."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._count = 0
        self._unreadable, self._wrong = Places(), Places()
        self._kept: PoolState | None = None

    def begin(self, pool_id: str) -> None:
        """Read the checkpoint of a pool."""
        self._kept = None
        checkpoint = self._reader.source(pool_id).checkpoint()
        if checkpoint is None:
            return
        self._count += 1
        kept = state_at(pool_id, checkpoint)
        if kept.sequence == checkpoint.seq:
            self._kept = kept
        else:
            self._unreadable.add(repr(pool_id))

    def record(self, seq: int, payload: Any, state: PoolState) -> None:  # noqa: ARG002
        """Compare, if this is the place."""
        if self._kept is not None and self._kept.sequence == seq:
            if _facts(self._kept) != _facts(state):
                self._wrong.add(f"pool {state.pool_id!r} at record {seq}")
            self._kept = None

    def end(self, state: PoolState, *, intact: bool) -> None:
        """Look whether the place of the checkpoint never came."""
        # Also where not every record could be replayed: what is ahead of the log is wrong anyway.
        if self._kept is not None and (intact or self._kept.sequence > state.sequence):
            self._wrong.add(
                f"pool {state.pool_id!r} at record {self._kept.sequence} of {state.sequence}"
            )

    def findings(self) -> Iterator[Finding]:
        """Say what was found."""
        for pool_id in pools(self._reader, Part.CHECKPOINTS):
            if not self._reader.head(pool_id):
                self._wrong.add(f"pool {pool_id!r}, which has no records")
        remedy = f"stop all processes, then: {self._reader.clear_checkpoints}"
        if self._wrong:
            what = f"not what the records replay to: {self._wrong}"
            yield broken("checkpoints", what, f"{remedy}; they are made anew")
        elif self._unreadable:
            what = f"cannot be read, so the records are replayed: pool {self._unreadable}"
            yield note("checkpoints", what, remedy)
        else:
            yield ok("checkpoints", f"{self._count}, each what the records replay to")


def _facts(state: PoolState) -> tuple[Any, ...]:
    wakes = {wake.condition.condition_id: wake for wake in state.open_wakes}
    return state.config, state.created_at, state.members, state.joined_at, wakes
