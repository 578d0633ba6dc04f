"""A pool in the current transaction: the file, and over it what the transaction has added."""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, TypeAlias

from agentpool.rules.command import DEADLINE, Command, Decision, Placed, Row, RowKey
from agentpool.rules.replay import PoolState
from agentpool.stores.batch.states import StateCache
from agentpool.stores.sqlite import log, rows
from agentpool.stores.sqlite.promises import refuse_lost
from agentpool.wire.payload import SealedPayload, open_payload
from agentpool.wire.records import (
    AgentPoolMember,
    AgentPoolStoreConfig,
    AgentPoolStoredMessage,
    AgentPoolStoredWake,
    AgentPoolStoreRecordPayload,
    PoolOpened,
    RunMessageRecorded,
    WakeRecorded,
)

__all__ = ("SqlView",)

_Found: TypeAlias = dict[str, Placed[Any] | None]


class SqlView:
    """A `PoolTransaction` on a connection. Make one per pool and transaction.

    What is added is held back, to be written together: records by `save`, rows before somebody
    lists them.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        cache: StateCache,
        pool_id: str,
        clock: Callable[[], int],
    ) -> None:
        self._connection = connection
        self._cache = cache
        self.pool_id = pool_id
        self._clock = clock
        self._messages_by_key: _Found = {}
        self._wakes_by_key: _Found = {}
        self._wakes: _Found = {}
        self._added: list[SealedPayload] = []
        self._changed_rows: dict[RowKey, Row | None] = {}
        self._has_changes = False
        self._new_event_sequence = False
        self._new_projected = False
        self._announced = False

    # --- looking

    @cached_property
    def _stored_head(self) -> int:
        return self._cache.head(self._connection, self.pool_id)

    @property
    def head(self) -> int:
        return self._stored_head + len(self._added)

    @cached_property
    def config(self) -> AgentPoolStoreConfig | None:
        known = self._cache.config(self._connection, self.pool_id)
        return self.state.config if known is None else known

    @cached_property
    def state(self) -> PoolState:
        state = self._cache.current(self._connection, self.pool_id, self._stored_head)
        for record in self._added:
            state.apply(state.sequence + 1, record.payload)
        return state

    @cached_property
    def now(self) -> int:
        return self._clock()

    @cached_property
    def event_sequence(self) -> int:
        return self._number("SELECT seq FROM agent_pool_event_seq WHERE pool_id = ?") or 0

    @cached_property
    def projected(self) -> int | None:
        return self._number("SELECT projected FROM agentpool_pools WHERE pool_id = ?")

    @cached_property
    def _next_deadline(self) -> int | None:
        self._write_rows()
        return rows.next_deadline(self._connection, self.pool_id)

    def _number(self, sql: str) -> int | None:
        row = self._connection.execute(sql, (self.pool_id,)).fetchone()
        return None if row is None else int(row[0])

    def member_at(self, run_id: str, seq: int) -> AgentPoolMember | None:
        joined_at = self.state.joined_at.get(run_id)
        if joined_at is not None and joined_at < seq:
            return self.state.members[run_id]
        return log.member_before(self._connection, self.pool_id, run_id, seq)

    def time_of(self, seq: int) -> int | None:
        if seq > self._stored_head:
            return self.now
        row = self._connection.execute(
            "SELECT millis FROM agentpool_times WHERE pool_id = ? AND seq <= ?"
            " ORDER BY seq DESC LIMIT 1",
            (self.pool_id, seq),
        ).fetchone()
        return None if row is None else int(row[0])

    def message_by_key(self, key: str) -> Placed[AgentPoolStoredMessage] | None:
        return self._find(self._messages_by_key, log.MESSAGES_BY_KEY, key)

    def wake_by_key(self, key: str) -> Placed[AgentPoolStoredWake] | None:
        return self._find(self._wakes_by_key, log.WAKES_BY_KEY, key)

    def wake(self, condition_id: str) -> Placed[AgentPoolStoredWake] | None:
        return self._find(self._wakes, log.CONDITIONS, condition_id)

    def _find(self, found: _Found, index: log.Index, value: str) -> Placed[Any] | None:
        if value not in found:
            found[value] = log.find(self._connection, self.pool_id, index, value)
        return found[value]

    def records(self, after: int, limit: int) -> Sequence[tuple[int, AgentPoolStoreRecordPayload]]:
        head = self._stored_head
        refuse_lost(self._connection, self.pool_id, after, self.head)
        found: list[tuple[int, AgentPoolStoreRecordPayload]] = []
        if after < head:
            found = [
                (seq, open_payload(self.pool_id, seq, kind, raw))
                for seq, kind, raw in log.page(self._connection, self.pool_id, after, limit)
            ]
        start = max(after - head, 0)
        added = self._added[start : start + limit - len(found)]
        found += [(head + start + 1 + i, record.payload) for i, record in enumerate(added)]
        return found

    def row(self, key: RowKey) -> Row | None:
        if key in self._changed_rows:
            return self._changed_rows[key]
        return rows.get(self._connection, self.pool_id, key)

    def rows(
        self, kind: str, name: str, *, after: int = 0, limit: int, due_by: int | None = None
    ) -> Sequence[Row]:
        self._write_rows()
        where = (self.pool_id, kind, name)
        return rows.listing(self._connection, *where, after=after, limit=limit, due_by=due_by)

    def next_due(self, name: str) -> int | None:
        self._write_rows()
        return rows.next_due(self._connection, self.pool_id, name)

    def deadlines(self, due_by: int, limit: int) -> Sequence[Row]:
        self._write_rows()
        return rows.deadlines(self._connection, self.pool_id, due_by, limit)

    def next_deadline(self) -> int | None:
        return self._next_deadline

    def prefetch(self, commands: Iterable[Command[Any]]) -> None:
        """Look up at once what several commands are going to look up."""
        for found, index, values in (
            (
                self._messages_by_key,
                log.MESSAGES_BY_KEY,
                [c.looks_up.message_keys for c in commands],
            ),
            (self._wakes_by_key, log.WAKES_BY_KEY, [c.looks_up.wake_keys for c in commands]),
            (self._wakes, log.CONDITIONS, [c.looks_up.condition_ids for c in commands]),
        ):
            wanted = set(chain.from_iterable(values))
            if len(wanted) > 1:
                found.update(log.find_all(self._connection, self.pool_id, index, wanted))

    # --- changing

    def apply(self, decision: Decision[Any]) -> None:
        for record in decision.records:
            self._append(record)
        for row in decision.puts:
            self._changed_rows[row.key] = row
            self._forget_deadline(row.key)
        for key in decision.deletes:
            self._changed_rows[key] = None
            self._forget_deadline(key)
        if decision.event_sequence is not None:
            self.__dict__["event_sequence"] = decision.event_sequence
            self._new_event_sequence = True
        self._announced |= decision.announce

    def _forget_deadline(self, key: RowKey) -> None:
        if key.kind == DEADLINE:
            self.__dict__.pop("_next_deadline", None)

    def _write_rows(self) -> None:
        if self._changed_rows:
            rows.write(self._connection, self.pool_id, self._changed_rows)
            self._changed_rows = {}

    def set_projected(self, seq: int) -> None:
        self.__dict__["projected"] = seq
        self._new_projected = True

    def _append(self, record: SealedPayload) -> None:
        payload = record.payload
        seq = self.head + 1
        if "state" in self.__dict__:
            self.state.apply(seq, payload)
        self._added.append(record)
        if isinstance(payload, RunMessageRecorded):
            key = payload.stored.message.idempotency_key
            self._messages_by_key[key] = Placed(seq, payload.stored)
            return
        self._has_changes = True
        self._cache.count_changes(self.pool_id, 1)
        if isinstance(payload, PoolOpened):
            self.__dict__["config"] = payload.config
        elif isinstance(payload, WakeRecorded):
            condition = payload.stored.condition
            placed = Placed(seq, payload.stored)
            self._wakes_by_key[condition.idempotency_key] = placed
            self._wakes[condition.condition_id] = placed

    @property
    def appended(self) -> int:
        """How many records are among what was added."""
        return len(self._added)

    @property
    def is_to_be_told(self) -> bool:
        """Whether others wait for what was added."""
        return bool(self._added) or self._announced

    def save(self) -> None:
        """Write what was held back."""
        if self._added:
            start = self._stored_head + 1
            log.insert(self._connection, self.pool_id, start, self._added)
            if self.projected is not None:
                self._write("agentpool_times (pool_id, seq, millis)", start, self.now)
        self._write_rows()
        if self._has_changes:
            self._cache.save_if_due(self._connection, self.state)
        if self._new_event_sequence:
            self._write("agent_pool_event_seq (pool_id, seq)", self.event_sequence)
        if self._new_projected:
            self._write("agentpool_pools (pool_id, projected)", self.projected)

    def _write(self, columns: str, *values: int | None) -> None:
        marks = ", ?" * len(values)
        self._connection.execute(
            f"INSERT OR REPLACE INTO {columns} VALUES (?{marks})", (self.pool_id, *values)
        )
