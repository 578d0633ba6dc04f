"""The state of pools as one connection sees it: what is small is kept, the rest is looked up."""

import sqlite3
from collections import OrderedDict
from collections.abc import Iterable
from functools import cached_property
from itertools import chain
from typing import Any, Final, TypeAlias

from agentpool._codec import decode, encode
from agentpool._payload import SealedPayload, open_payload
from agentpool._wire import Wire
from agentpool.errors import AgentPoolError, StoreError
from agentpool.records import (
    AgentPoolMember,
    AgentPoolStoreConfig,
    AgentPoolStoredMessage,
    AgentPoolStoredWake,
    RunMessageRecorded,
    WakeRecorded,
)
from agentpool.replay import PoolState
from agentpool.rules import Command, Placed
from agentpool.stores.sqlite import log

__all__ = ("SqlView", "StateCache")

_Found: TypeAlias = dict[str, Placed[Any] | None]

_CHECKPOINT_EVERY: Final = 256
_POOLS_KEPT: Final = 1024


class _CheckpointMember(Wire):
    joined_at: int
    member: AgentPoolMember


class _Checkpoint(Wire):
    """The small state of a pool, as it is kept in the file."""

    config: AgentPoolStoreConfig | None
    created_at: int | None
    members: tuple[_CheckpointMember, ...]


class StateCache:
    """The small states of the pools that a connection has met, each brought up to date on use."""

    def __init__(self) -> None:
        self._states: OrderedDict[str, PoolState] = OrderedDict()
        self._changes: dict[str, int] = {}

    def current(self, connection: sqlite3.Connection, pool_id: str) -> PoolState:
        """Give the state of a pool after its last record. Call it inside a transaction.

        :raises StoreError: the log is shorter than this connection has seen it
        """
        state = self._states.pop(pool_id, None) or _load_checkpoint(connection, pool_id)
        head = log.head(connection, pool_id)
        if head < state.sequence:
            msg = f"the log ends at record {head}, but record {state.sequence} was seen"
            raise StoreError(msg, pool_id=pool_id)
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
        if self._changes.get(state.pool_id, 0) >= _CHECKPOINT_EVERY + len(state.members):
            _save_checkpoint(connection, state)
            self._changes[state.pool_id] = 0


def _load_checkpoint(connection: sqlite3.Connection, pool_id: str) -> PoolState:
    state = PoolState(pool_id)
    row = connection.execute(
        "SELECT seq, state_json FROM agentpool_checkpoints WHERE pool_id = ?", (pool_id,)
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
    return state


def _save_checkpoint(connection: sqlite3.Connection, state: PoolState) -> None:
    kept = _Checkpoint(
        config=state.config,
        created_at=state.created_at,
        members=tuple(
            _CheckpointMember(state.joined_at[run_id], member)
            for run_id, member in state.members.items()
        ),
    )
    connection.execute(
        "INSERT OR REPLACE INTO agentpool_checkpoints (pool_id, seq, state_json) VALUES (?, ?, ?)",
        (state.pool_id, state.sequence, encode(kept).decode()),
    )


class SqlView:
    """A pool in the current transaction: a `PoolView` over the file and what was added to it."""

    def __init__(self, connection: sqlite3.Connection, cache: StateCache, pool_id: str) -> None:
        self._connection = connection
        self._cache = cache
        self._pool_id = pool_id
        self._event_sequence: int | None = None
        self._has_pool_records = False
        self._messages_by_key: _Found = {}
        self._wakes_by_key: _Found = {}
        self._wakes: _Found = {}

    @cached_property
    def state(self) -> PoolState:
        return self._cache.current(self._connection, self._pool_id)

    @property
    def event_sequence(self) -> int:
        if self._event_sequence is None:
            row = self._connection.execute(
                "SELECT seq FROM agent_pool_event_seq WHERE pool_id = ?", (self._pool_id,)
            ).fetchone()
            self._event_sequence = row[0] if row else 0
        return self._event_sequence

    def message_by_key(self, key: str) -> Placed[AgentPoolStoredMessage] | None:
        return self._find(self._messages_by_key, log.MESSAGES_BY_KEY, key)

    def wake_by_key(self, key: str) -> Placed[AgentPoolStoredWake] | None:
        return self._find(self._wakes_by_key, log.WAKES_BY_KEY, key)

    def wake(self, condition_id: str) -> Placed[AgentPoolStoredWake] | None:
        return self._find(self._wakes, log.CONDITIONS, condition_id)

    def _find(self, found: _Found, index: log.Index, value: str) -> Placed[Any] | None:
        if value not in found:
            found[value] = log.find(self._connection, self._pool_id, index, value)
        return found[value]

    def prefetch(self, commands: Iterable[Command[Any]]) -> None:
        """Look up at once what several commands are going to look up."""
        for found, index, values in (
            (self._messages_by_key, log.MESSAGES_BY_KEY, [c.message_keys for c in commands]),
            (self._wakes_by_key, log.WAKES_BY_KEY, [c.wake_keys for c in commands]),
            (self._wakes, log.CONDITIONS, [c.condition_ids for c in commands]),
        ):
            wanted = set(chain.from_iterable(values))
            if len(wanted) > 1:
                found.update(log.find_all(self._connection, self._pool_id, index, wanted))

    def append(self, record: SealedPayload) -> int:
        """Let what follows in this transaction see a record that is going to be inserted.

        :return: the number that it gets
        """
        payload = record.payload
        seq = self.state.sequence + 1
        self.state.apply(seq, payload)
        if isinstance(payload, RunMessageRecorded):
            key = payload.stored.message.idempotency_key
            self._messages_by_key[key] = Placed(seq, payload.stored)
        elif isinstance(payload, WakeRecorded):
            condition = payload.stored.condition
            placed_wake = Placed(seq, payload.stored)
            self._wakes_by_key[condition.idempotency_key] = placed_wake
            self._wakes[condition.condition_id] = placed_wake
        else:
            self._cache.count_changes(self._pool_id, 1)
            self._has_pool_records = True
        return seq

    def set_event_sequence(self, number: int) -> None:
        """Let what follows in this transaction see how far the events of the pool are numbered."""
        self._event_sequence = number

    def save(self) -> None:
        """Write what is not a record."""
        if self._event_sequence is not None:
            self._connection.execute(
                "INSERT INTO agent_pool_event_seq (pool_id, seq) VALUES (?, ?)"
                " ON CONFLICT (pool_id) DO UPDATE SET seq = excluded.seq",
                (self._pool_id, self._event_sequence),
            )
        if self._has_pool_records:
            self._cache.save_if_due(self._connection, self.state)
