"""The small states of pools: kept per connection, brought up to date, and short-cut in the file."""

import sqlite3
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from agentpool.errors import AgentPoolError, StoreError
from agentpool.rules.replay import PoolState
from agentpool.stores.sqlite import log
from agentpool.wire.codec import decode, encode
from agentpool.wire.payload import open_payload
from agentpool.wire.records import (
    AgentPoolMember,
    AgentPoolStoreConfig,
    AgentPoolStoredWake,
)
from agentpool.wire.struct import Wire

__all__ = ("StateCache", "refuse_shorter")

_CHECKPOINT_EVERY: Final = 32
_POOLS_KEPT: Final = 1024


class _CheckpointMember(Wire):
    joined_at: int
    member: AgentPoolMember


class _Checkpoint(Wire):
    """The small state of a pool, as it is kept in the file."""

    config: AgentPoolStoreConfig | None
    created_at: int | None
    members: tuple[_CheckpointMember, ...]
    open_wakes: tuple[AgentPoolStoredWake, ...]


class StateCache:
    """The small states of the pools that a connection has met, each brought up to date on use."""

    def __init__(self) -> None:
        self._states: OrderedDict[str, PoolState] = OrderedDict()
        self._configs: dict[str, AgentPoolStoreConfig] = {}
        self._heads: dict[str, int] = {}
        self._changes: dict[str, int] = {}

    def head(self, connection: sqlite3.Connection, pool_id: str) -> int:
        """Find the number of the last record of a pool, 0 for none.

        :raises StoreError: the log is shorter than this connection has seen it
        """
        head = log.head(connection, pool_id)
        refuse_shorter(pool_id, head, self.seen(pool_id))
        self._heads[pool_id] = head
        return head

    def saw(self, pool_id: str, head: int) -> None:
        """Take note of how far a log was seen to come."""
        self._heads[pool_id] = max(head, self._heads.get(pool_id, 0))

    def seen(self, pool_id: str) -> int:
        """Say how far a log was seen to come."""
        return self._heads.get(pool_id, 0)

    def config(self, connection: sqlite3.Connection, pool_id: str) -> AgentPoolStoreConfig | None:
        """Give the config of a pool that was opened with its first record, as most are."""
        known = self._configs.get(pool_id)
        if known is None:
            first = log.first_pool_record(connection, pool_id)
            if first is not None and first[1] == "pool_opened":
                known = self._configs[pool_id] = open_payload(pool_id, *first).config
        return known

    def current(self, connection: sqlite3.Connection, pool_id: str, head: int) -> PoolState:
        """Give the state of a pool after its last record, whose number is ``head``."""
        state = self._states.pop(pool_id, None) or _load_checkpoint(connection, pool_id)
        if head > state.sequence:
            rows = log.pool_page(connection, pool_id, state.sequence, head)
            for seq, kind, text in rows:
                state.apply(seq, open_payload(pool_id, seq, kind, text))
            self._changes[pool_id] = self._changes.get(pool_id, 0) + len(rows)
            state.sequence = head
        self._states[pool_id] = state
        if len(self._states) > _POOLS_KEPT:
            dropped, _ = self._states.popitem(last=False)
            self._changes.pop(dropped, None)
        return state

    def drop(self, pool_ids: Iterable[str]) -> None:
        """Forget what a failed transaction may have changed."""
        for pool_id in pool_ids:
            self._states.pop(pool_id, None)
            self._changes.pop(pool_id, None)

    def count_changes(self, pool_id: str, changes: int) -> None:
        """Take note of records that changed a state, to know when to keep it."""
        self._changes[pool_id] = self._changes.get(pool_id, 0) + changes

    def save_if_due(self, connection: sqlite3.Connection, state: PoolState) -> None:
        """Keep a state in the file when enough has changed to pay for that."""
        if self._changes.get(state.pool_id, 0) >= _due_after(state):
            _save_checkpoint(connection, state)
            self._changes[state.pool_id] = 0


def refuse_shorter(pool_id: str, head: int, seen: int) -> None:
    """Refuse a log that has lost its end.

    :raises StoreError: it ends before a record that was seen
    """
    if head < seen:
        msg = f"the log ends at record {head}, but record {seen} was seen"
        raise StoreError(msg, pool_id=pool_id, seq=seen)


def _due_after(state: PoolState) -> int:
    return _CHECKPOINT_EVERY + len(state.members) + len(state.open_wakes)


def _load_checkpoint(connection: sqlite3.Connection, pool_id: str) -> PoolState:
    state = PoolState(pool_id)
    row = connection.execute(
        "SELECT seq, CAST(state_json AS BLOB) FROM agentpool_checkpoints WHERE pool_id = ?",
        (pool_id,),
    ).fetchone()
    if row is not None:
        seq, text = row
        try:
            kept = decode(text, _Checkpoint)
        except AgentPoolError:
            return state  # it is only a short cut; the log has everything
        state.sequence, state.config, state.created_at = seq, kept.config, kept.created_at
        for each in kept.members:
            state.members[each.member.run_id] = each.member
            state.joined_at[each.member.run_id] = each.joined_at
        for wake in kept.open_wakes:
            state.open_wakes.add(wake)
    return state


def _save_checkpoint(connection: sqlite3.Connection, state: PoolState) -> None:
    kept = _Checkpoint(
        config=state.config,
        created_at=state.created_at,
        members=tuple(
            _CheckpointMember(state.joined_at[run_id], member)
            for run_id, member in state.members.items()
        ),
        open_wakes=tuple(state.open_wakes),
    )
    connection.execute(
        "INSERT OR REPLACE INTO agentpool_checkpoints (pool_id, seq, state_json) VALUES (?, ?, ?)",
        (state.pool_id, state.sequence, encode(kept).decode()),
    )
