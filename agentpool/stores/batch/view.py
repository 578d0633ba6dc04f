"""A pool in the current transaction: what is stored, and over it what the transaction has added."""

from collections.abc import Sequence
from enum import Enum
from typing import Any, Final, TypeAlias, cast

from agentpool.rules.command import Decision, Placed, Read, Row, RowKey
from agentpool.rules.replay import PoolState
from agentpool.rules.topics import Touched, touch, touch_if_behind
from agentpool.stores.batch.merged_rows import MergedRows
from agentpool.stores.batch.source import Changes, RawRecord, Source, placed
from agentpool.stores.batch.states import KeptState, StateCache, refuse_shorter
from agentpool.wire.content import Content
from agentpool.wire.payload import SealedPayload, open_each, open_payload
from agentpool.wire.records import (
    AgentPoolMember,
    AgentPoolStoreConfig,
    AgentPoolStoredMessage,
    AgentPoolStoredWake,
    AgentPoolStoreRecordPayload,
    MemberJoined,
    PoolOpened,
    RunMessageRecorded,
    WakeRecorded,
)

__all__ = ("OverlayView",)


class _Unknown(Enum):
    """What stands for a value that was not looked up yet, where ``None`` is a value."""

    YET = "not looked up yet"


_YET: Final = _Unknown.YET
_Found: TypeAlias = dict[str, Placed[Any] | None]


class OverlayView:
    """A `PoolTransaction` over a source. Make one per pool and transaction.

    What is added is held back until `save`, and seen by every look-up from then on. What was
    looked up is kept, for within the transaction only this view can change it.

    :ivar head: the number of the last record, those added included
    :ivar work: how much was done, as `Decision.work` counts; a record that was read counts one
    :param at_most: see `StateCache.current`, whose error any look-up may raise
    :raises StoreError: the log has lost its end
    """

    __slots__ = (
        "_added",
        "_at_most",
        "_bodies",
        "_config",
        "_event_sequence",
        "_kept",
        "_messages_by_key",
        "_new_event_sequence",
        "_new_projected",
        "_now",
        "_pool_records",
        "_projected",
        "_rows",
        "_source",
        "_states",
        "_stored_head",
        "_touched",
        "_wakes",
        "_wakes_by_key",
        "head",
        "pool_id",
        "work",
    )

    def __init__(self, source: Source, states: StateCache, at_most: int | None = None) -> None:
        self._source = source
        self._states = states
        self._at_most = at_most
        self.pool_id: str = source.pool_id
        self.head: int = states.head(source)
        self._stored_head = self.head
        self._rows = MergedRows(source)
        self._messages_by_key: _Found = {}
        self._wakes_by_key: _Found = {}
        self._wakes: _Found = {}
        self._config: AgentPoolStoreConfig | _Unknown | None = _YET
        self._projected: int | _Unknown | None = _YET
        self._event_sequence: int | None = None
        self._now: int | None = None
        self._kept: KeptState | None = None
        self._added: list[SealedPayload] = []
        self._bodies: dict[str, Content] = {}
        self._pool_records = 0
        self._touched: Touched = {}
        self._new_event_sequence = self._new_projected = False
        self.work: int = 0

    # --- looking

    @property
    def config(self) -> AgentPoolStoreConfig | None:
        if self._config is _YET:
            known = self._states.config(self._source)
            self._config = self.state.config if known is None else known
        return self._config

    @property
    def state(self) -> PoolState:
        return (self._kept or self._look_up_state()).state

    def _look_up_state(self) -> KeptState:
        kept = self._states.current(self._source, self._stored_head, self._at_most)
        self._kept = kept
        if self._pool_records:
            # About to hold what is not committed: if the transaction fails, nobody may find it.
            self._states.take_out(self.pool_id)
            for seq, record in enumerate(self._added, self._stored_head + 1):
                kept.state.apply(seq, record.payload)
        return kept

    @property
    def now(self) -> int:
        if self._now is None:
            self._now = self._source.now()
        return self._now

    @property
    def event_sequence(self) -> int:
        if self._event_sequence is None:
            self._event_sequence = self._source.event_sequence()
        return self._event_sequence

    @property
    def projected(self) -> int | None:
        if self._projected is _YET:
            self._projected = self._source.projected()
        return self._projected

    def member_at(self, run_id: str, seq: int) -> Placed[AgentPoolMember] | None:
        joined_at = self.state.joined_at.get(run_id)
        if joined_at is not None and joined_at < seq:
            return Placed(joined_at, self.state.members[run_id])
        # Joined in this very transaction: the source knows nothing of it yet.
        if self._pool_records:
            added = self._added[: max(seq - self._stored_head - 1, 0)]
            for at in range(len(added), 0, -1):
                payload = added[at - 1].payload
                if isinstance(payload, MemberJoined) and payload.member.run_id == run_id:
                    return Placed(self._stored_head + at, payload.member)
        raw = self._source.member_before(run_id, seq)
        return None if raw is None else Placed(raw[0], self._joined(raw))

    def _joined(self, raw: RawRecord) -> AgentPoolMember:
        return cast("MemberJoined", self._opened(*raw)).member

    def time_of(self, seq: int) -> int | None:
        # What this transaction appends, it appends now.
        return self.now if seq > self._stored_head else self._source.time_of(seq)

    def message_by_key(self, key: str) -> Placed[AgentPoolStoredMessage] | None:
        found = self._messages_by_key
        if key not in found:
            found[key] = self._placed(self._source.message_by_key(key))
        return found[key]

    def records_of_message(self, key: str, limit: int) -> Sequence[Placed[AgentPoolStoredMessage]]:
        stored = [placed(self.pool_id, raw) for raw in self._source.records_of_message(key, limit)]
        added = [
            Placed(seq, each.payload.stored)
            for seq, each in enumerate(self._added, self._stored_head + 1)
            if isinstance(each.payload, RunMessageRecorded)
            and each.payload.stored.message.idempotency_key == key
        ]
        return [*stored, *added][:limit]

    def wake_by_key(self, key: str) -> Placed[AgentPoolStoredWake] | None:
        found = self._wakes_by_key
        if key not in found:
            found[key] = self._placed(self._source.wake_by_key(key))
        return found[key]

    def wake(self, condition_id: str) -> Placed[AgentPoolStoredWake] | None:
        found = self._wakes
        if condition_id not in found:
            found[condition_id] = self._placed(self._source.wake(condition_id))
        return found[condition_id]

    def first_of_wake(self, condition_id: str) -> Placed[AgentPoolStoredWake] | None:
        return self._placed(self._source.first_of_wake(condition_id))

    def _placed(self, raw: RawRecord | None) -> Placed[Any] | None:
        return None if raw is None else placed(self.pool_id, raw)

    def records(self, after: int, limit: int) -> Sequence[tuple[int, Read]]:
        head = self._stored_head
        if after > self.head:
            seen = self._states.seen_before(self.pool_id)
            refuse_shorter(self.pool_id, self.head, min(after, seen))
            self._source.refuse_lost(after, self.head)
        found: list[tuple[int, Read]] = []
        if after < head:
            for numbers, payloads in self._source.stretches(after, limit, open_each):
                found += zip(numbers, payloads, strict=True)
            self._states.read(self._source, after, found[-1][0] if found else None)
        start = max(after - head, 0)
        added = self._added[start : start + limit - len(found)]
        found += [(head + start + 1 + i, record.payload) for i, record in enumerate(added)]
        self.work += len(found)
        return found

    def _opened(self, seq: int, kind: str, text: bytes | None) -> AgentPoolStoreRecordPayload:
        payload: AgentPoolStoreRecordPayload = open_payload(self.pool_id, seq, kind, text)
        return payload

    def row(self, key: RowKey) -> Row | None:
        return self._rows.row(key)

    def rows(self, kind: str, name: str, *, after: int = 0, limit: int) -> Sequence[Row]:
        return self._rows.rows(kind, name, after=after, limit=limit)

    def due(self, name: str, *, after: int = -1, due_by: int, limit: int) -> Sequence[Row]:
        return self._rows.due(name, after=after, due_by=due_by, limit=limit)

    def next_due(self, name: str) -> int | None:
        return self._rows.next_due(name)

    def deadlines(self, due_by: int, limit: int) -> Sequence[Row]:
        return self._rows.deadlines(due_by, limit)

    def next_deadline(self) -> int | None:
        return self._rows.next_deadline()

    # --- changing

    def apply(self, decision: Decision[Any]) -> None:
        self.work += decision.work
        for record in decision.records:
            self._append(record)
        for row in decision.puts:
            self._rows.put(row)
        for key in decision.deletes:
            self._rows.delete(key)
        for body in decision.bodies:
            self._bodies[body.ref] = body
        if decision.event_sequence is not None:
            self._event_sequence = decision.event_sequence
            self._new_event_sequence = True
        touch(self._touched, decision)

    def set_projected(self, seq: int) -> None:
        self._projected = seq
        self._new_projected = True

    def _append(self, record: SealedPayload) -> None:
        payload, seq = record.payload, self.head + 1
        self._added.append(record)
        self.head = seq
        if isinstance(payload, RunMessageRecorded):
            # No part of the small state, which so outlives the transaction, should this fail.
            key = payload.stored.message.idempotency_key
            self._messages_by_key[key] = Placed(seq, payload.stored)
            return
        if self._kept is not None:
            if not self._pool_records:
                self._states.take_out(self.pool_id)
            self._kept.state.apply(seq, payload)
        self._pool_records += 1
        if isinstance(payload, PoolOpened):
            self._config = payload.config
        elif isinstance(payload, WakeRecorded):
            condition = payload.stored.condition
            found = Placed(seq, payload.stored)
            self._wakes_by_key[condition.idempotency_key] = found
            self._wakes[condition.condition_id] = found

    @property
    def touched(self) -> Touched:
        """What others are to be told of, once this is committed."""
        touch_if_behind(self._touched, self)
        return self._touched

    def save(self) -> None:
        """Write what was held back, all at once."""
        checkpoint = None
        if self._pool_records:
            kept = self._kept or self._look_up_state()
            checkpoint = kept.checkpoint(self._pool_records)
        changes = Changes(
            self._stored_head + 1,
            self._added,
            self.now if self._added and self.projected is not None else None,
            self._rows.changed,
            self._event_sequence if self._new_event_sequence else None,
            self.projected if self._new_projected else None,
            checkpoint,
            tuple(self._bodies.values()),
            self._touched,
        )
        if changes.are_any:
            changes = changes._replace(touched=self.touched)
        self._source.write(changes)

    def committed(self) -> None:
        """Keep what is known of the pool, now that what was added is in the log."""
        self._states.saw(self.pool_id, self.head)
        if self._added and self._kept is not None:
            self._kept.state.sequence = self.head
            self._states.keep(self._kept)
