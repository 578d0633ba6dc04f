"""One pool in memory: its log and everything derived from it, as a `PoolTransaction`."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

from agentpool.rules.command import DEADLINE, INBOX, Decision, Placed, Read, Row, RowKey
from agentpool.rules.replay import PoolState
from agentpool.stores.row_table import RowTable
from agentpool.support.clock import Clock
from agentpool.wire.ids import I64_MIN
from agentpool.wire.records import (
    AgentPoolMember,
    AgentPoolStoreConfig,
    AgentPoolStoredMessage,
    AgentPoolStoredWake,
    AgentPoolStoreRecord,
    AgentPoolStoreRecordPayload,
    MemberJoined,
    RunMessageRecorded,
    WakeRecorded,
    record_at,
)

__all__ = ("MemoryPool",)


class MemoryPool:
    """A log and its rows. Changes take effect at once: decisions are made before, and whole.

    For authors of stores: a transaction over a pool that is in memory. It has no way back, so after
    a command that failed the store makes it anew from what it has logged, unless nothing was
    applied. Applying what was logged, in that order, makes the same pool again.

    :ivar log: the records, number 1 first
    :ivar announced: whether a decision wanted others told; the store sets it back
    :param clock: gives ``now``, and when a record was appended: while a store applies what it has
        logged, the time at which that was
    """

    def __init__(self, pool_id: str, clock: Clock) -> None:
        self.pool_id = pool_id
        self.log: list[AgentPoolStoreRecord] = []
        self.state: PoolState = PoolState(pool_id)
        self.event_sequence: int = 0
        self.projected: int | None = None
        self.announced: bool = False
        self._clock = clock
        self._times: list[int | None] = []
        self._messages_by_key: dict[str, list[Placed[AgentPoolStoredMessage]]] = {}
        self._wakes: dict[str, Placed[AgentPoolStoredWake]] = {}
        self._first_of_wakes: dict[str, Placed[AgentPoolStoredWake]] = {}
        self._wakes_by_key: dict[str, Placed[AgentPoolStoredWake]] = {}
        self._joined: dict[str, list[Placed[AgentPoolMember]]] = {}
        self._rows: dict[tuple[str, str], RowTable[int]] = {}
        self._deadlines: RowTable[str] = RowTable()

    @property
    def head(self) -> int:
        return len(self.log)

    @property
    def config(self) -> AgentPoolStoreConfig | None:
        return self.state.config

    @property
    def now(self) -> int:
        return self._clock()

    def member_at(self, run_id: str, seq: int) -> Placed[AgentPoolMember] | None:
        joined = reversed(self._joined.get(run_id, []))
        return next((each for each in joined if each.seq < seq), None)

    def time_of(self, seq: int) -> int | None:
        return self._times[seq - 1]

    def message_by_key(self, key: str) -> Placed[AgentPoolStoredMessage] | None:
        found = self._messages_by_key.get(key)
        return found[-1] if found else None

    def records_of_message(self, key: str, limit: int) -> Sequence[Placed[AgentPoolStoredMessage]]:
        return self._messages_by_key.get(key, [])[:limit]

    def wake_by_key(self, key: str) -> Placed[AgentPoolStoredWake] | None:
        return self._wakes_by_key.get(key)

    def wake(self, condition_id: str) -> Placed[AgentPoolStoredWake] | None:
        return self._wakes.get(condition_id)

    def first_of_wake(self, condition_id: str) -> Placed[AgentPoolStoredWake] | None:
        return self._first_of_wakes.get(condition_id)

    def records(self, after: int, limit: int) -> Sequence[tuple[int, Read]]:
        page = self.log[after : after + limit]
        return [(record.cursor.sequence, record.payload) for record in page]  # type: ignore[misc]

    def row(self, key: RowKey) -> Row | None:
        return self._table(key.kind, key.name).rows.get(key.number)

    def rows(self, kind: str, name: str, *, after: int = 0, limit: int) -> Sequence[Row]:
        return list(islice(self._table(kind, name).in_order(after), limit))

    def due(self, name: str, *, after: int = -1, due_by: int, limit: int) -> Sequence[Row]:
        return list(islice(self._table(INBOX, name).by_due(after, due_by), limit))

    def next_due(self, name: str) -> int | None:
        return self._table(INBOX, name).next_due()

    def deadlines(self, due_by: int, limit: int) -> Sequence[Row]:
        return list(islice(self._deadlines.by_due(I64_MIN, due_by), limit))

    def next_deadline(self) -> int | None:
        return self._deadlines.next_due()

    def _table(self, kind: str, name: str) -> RowTable[int]:
        return self._rows.get((kind, name)) or RowTable()

    def apply(self, decision: Decision[Any]) -> None:
        for sealed in decision.records:
            self._append(sealed.payload)
        for row in decision.puts:
            kind, name, number = row.key
            self._rows.setdefault((kind, name), RowTable()).put(number, row)
            if kind == DEADLINE:
                self._deadlines.put(name, row)
        for kind, name, number in decision.deletes:
            table = self._rows.get((kind, name))
            if table is not None and table.delete(number):
                del self._rows[kind, name]
            if kind == DEADLINE:
                self._deadlines.delete(name)
        if decision.event_sequence is not None:
            self.event_sequence = decision.event_sequence
        self.announced |= decision.announce

    def set_projected(self, seq: int) -> None:
        self.projected = seq

    def _append(self, payload: AgentPoolStoreRecordPayload) -> None:
        seq = len(self.log) + 1
        self.state.apply(seq, payload)
        self.log.append(record_at(self.pool_id, seq, payload))
        self._times.append(None if self.projected is None else self.now)
        match payload:
            case RunMessageRecorded(stored):
                key = stored.message.idempotency_key
                self._messages_by_key.setdefault(key, []).append(Placed(seq, stored))
            case MemberJoined(member):
                self._joined.setdefault(member.run_id, []).append(Placed(seq, member))
            case WakeRecorded(wake):
                placed = Placed(seq, wake)
                self._wakes[wake.condition.condition_id] = placed
                self._first_of_wakes.setdefault(wake.condition.condition_id, placed)
                self._wakes_by_key[wake.condition.idempotency_key] = placed
