"""One pool in memory: its log and everything derived from it, as a `PoolTransaction`."""

from collections.abc import Sequence
from typing import Any

from agentpool.clock import Clock
from agentpool.command import DEADLINE, Decision, Placed, Row, RowKey
from agentpool.records import (
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
from agentpool.replay import ReplayState

__all__ = ("MemoryPool",)


class MemoryPool:
    """A log and its rows. Changes take effect at once: decisions are made before, and whole."""

    def __init__(self, pool_id: str, clock: Clock) -> None:
        self.pool_id = pool_id
        self.log: list[AgentPoolStoreRecord] = []
        self.state: ReplayState = ReplayState(pool_id)
        self.event_sequence: int = 0
        self.projected: int | None = None
        self.announced: bool = False
        self._clock = clock
        self._times: list[int] = []
        self._messages_by_key: dict[str, Placed[AgentPoolStoredMessage]] = {}
        self._wakes: dict[str, Placed[AgentPoolStoredWake]] = {}
        self._wakes_by_key: dict[str, Placed[AgentPoolStoredWake]] = {}
        self._joined: dict[str, list[tuple[int, str]]] = {}
        self._rows: dict[tuple[str, str], dict[int, Row]] = {}
        self._deadlines: dict[RowKey, Row] = {}

    @property
    def head(self) -> int:
        return len(self.log)

    @property
    def config(self) -> AgentPoolStoreConfig | None:
        return self.state.config

    @property
    def now(self) -> int:
        return self._clock()

    def agent_of(self, run_id: str, seq: int) -> str | None:
        joined = self._joined.get(run_id, [])
        return next((agent for at, agent in reversed(joined) if at < seq), None)

    def time_of(self, seq: int) -> int | None:
        return self._times[seq - 1]

    def message_by_key(self, key: str) -> Placed[AgentPoolStoredMessage] | None:
        return self._messages_by_key.get(key)

    def wake_by_key(self, key: str) -> Placed[AgentPoolStoredWake] | None:
        return self._wakes_by_key.get(key)

    def wake(self, condition_id: str) -> Placed[AgentPoolStoredWake] | None:
        return self._wakes.get(condition_id)

    def records(self, after: int, limit: int) -> Sequence[tuple[int, AgentPoolStoreRecordPayload]]:
        page = self.log[after : after + limit]
        return [(record.cursor.sequence, record.payload) for record in page]  # type: ignore[misc]

    def row(self, key: RowKey) -> Row | None:
        return self._rows.get((key.kind, key.name), {}).get(key.number)

    def rows(
        self, kind: str, name: str, *, after: int = 0, limit: int, due_by: int | None = None
    ) -> Sequence[Row]:
        found = [
            row
            for number, row in sorted(self._rows.get((kind, name), {}).items())
            if number > after and (due_by is None or row.due_at <= due_by)
        ]
        return found[:limit]

    def next_due(self, kind: str, name: str) -> int | None:
        return min((row.due_at for row in self._rows.get((kind, name), {}).values()), default=None)

    def deadlines(self, due_by: int, limit: int) -> Sequence[Row]:
        due = [row for row in self._deadlines.values() if row.due_at <= due_by]
        return sorted(due, key=lambda row: row.due_at)[:limit]

    def next_deadline(self) -> int | None:
        return min((row.due_at for row in self._deadlines.values()), default=None)

    def apply(self, decision: Decision[Any]) -> None:
        for sealed in decision.records:
            self._append(sealed.payload)
        for row in decision.puts:
            self._rows.setdefault((row.key.kind, row.key.name), {})[row.key.number] = row
            if row.key.kind == DEADLINE:
                self._deadlines[row.key] = row
        for key in decision.deletes:
            named = self._rows.get((key.kind, key.name), {})
            named.pop(key.number, None)
            if not named:
                self._rows.pop((key.kind, key.name), None)
            self._deadlines.pop(key, None)
        if decision.event_sequence is not None:
            self.event_sequence = decision.event_sequence
        self.announced |= decision.announce

    def set_projected(self, seq: int) -> None:
        self.projected = seq

    def _append(self, payload: AgentPoolStoreRecordPayload) -> None:
        seq = len(self.log) + 1
        self.state.apply(seq, payload)
        self.log.append(record_at(self.pool_id, seq, payload))
        self._times.append(self.now)
        match payload:
            case RunMessageRecorded(stored):
                self._messages_by_key[stored.message.idempotency_key] = Placed(seq, stored)
            case MemberJoined(member):
                self._joined.setdefault(member.run_id, []).append((seq, member.agent_id))
            case WakeRecorded(wake):
                placed = Placed(seq, wake)
                self._wakes[wake.condition.condition_id] = placed
                self._wakes_by_key[wake.condition.idempotency_key] = placed
