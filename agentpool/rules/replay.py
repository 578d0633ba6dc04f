"""The reducer: what records mean, one after another. Pure and incremental.

Source: ``Replaying records into a snapshot`` of the wire format. `PoolState` is the part that
stays small however long the log grows; `ReplayState` adds every message and wake. Feeding a state
the records ``a`` and then ``b`` equals feeding it ``a + b``.
"""

from bisect import bisect_left
from collections.abc import AsyncIterable
from typing import Generic, TypeAlias, TypeVar, assert_never

from agentpool.errors import (
    InvalidValueError,
    PoolConfigConflictError,
    PoolNotOpenError,
    UnknownRecordError,
)
from agentpool.rules.open_wakes import OpenWakes
from agentpool.wire.ids import check_identifier
from agentpool.wire.records import (
    AgentPoolMember,
    AgentPoolStoreConfig,
    AgentPoolStoreCursor,
    AgentPoolStoredMessage,
    AgentPoolStoredWake,
    AgentPoolStoreRecord,
    AgentPoolStoreRecordPayload,
    MemberJoined,
    MemberLeft,
    PoolCreated,
    PoolOpened,
    RunMessageRecorded,
    UnknownRecord,
    WakeRecorded,
    WakeRegistrationStatus,
)
from agentpool.wire.snapshot import AgentPoolSnapshot
from agentpool.wire.struct import trusted

__all__ = ("PoolState", "ReplayState", "not_open", "replay")

V = TypeVar("V")

_PoolPayload: TypeAlias = PoolOpened | PoolCreated | MemberJoined | MemberLeft | UnknownRecord


async def replay(
    records: AsyncIterable[AgentPoolStoreRecord], *, pool_id: str
) -> AgentPoolSnapshot:
    """Replay the records of one pool, in order, into a snapshot.

    Nothing is changed. Cancelled, it gives nothing, and has taken some of the records.

    :raises PoolNotOpenError: no record among them opened the pool
    :raises PoolConfigConflictError: two of them opened it with different configs
    :raises UnknownRecordError: one of them is of an unknown kind
    :raises InvalidValueError: they are no records, or not given one after another
    """
    check_identifier(pool_id, "pool_id")
    if not issubclass(type(records), AsyncIterable):
        msg = f"records: expected them from `watch` or the like, got {type(records).__name__}"
        raise InvalidValueError(msg)
    state = ReplayState(pool_id)
    async for record in records:
        if not isinstance(record, AgentPoolStoreRecord):
            msg = f"records: expected AgentPoolStoreRecord, got {type(record).__name__}"
            raise InvalidValueError(msg)
        state.apply(record.cursor.sequence, record.payload)
    return state.snapshot()


def not_open(pool_id: str) -> PoolNotOpenError:
    """Make the error for a pool that no record opened."""
    return PoolNotOpenError("nothing opened this pool; open_pool() does", pool_id=pool_id)


class PoolState:
    """Config, members and open wakes of a pool: all that commands look at again and again."""

    def __init__(self, pool_id: str) -> None:
        self.pool_id = pool_id
        self.sequence: int = 0
        self.config: AgentPoolStoreConfig | None = None
        self.created_at: int | None = None
        self.members: dict[str, AgentPoolMember] = {}
        self.joined_at: dict[str, int] = {}
        self.open_wakes: OpenWakes = OpenWakes()

    def apply(self, seq: int, payload: AgentPoolStoreRecordPayload | UnknownRecord) -> None:
        """Take one record in, the next after those before.

        :raises PoolConfigConflictError: it opens the pool with another config
        :raises UnknownRecordError: it is of an unknown kind
        """
        if isinstance(payload, RunMessageRecorded):
            self._apply_message(payload.stored)
        elif isinstance(payload, WakeRecorded):
            self._apply_wake(payload.stored)
        else:
            self._apply_pool(seq, payload)
        self.sequence = seq

    def _apply_message(self, stored: AgentPoolStoredMessage) -> None:
        """Messages are not part of the small state."""

    def _apply_wake(self, stored: AgentPoolStoredWake) -> None:
        if stored.registration.status is WakeRegistrationStatus.REGISTERED:
            self.open_wakes.add(stored)
        else:
            # Also the first record of one that ended as it was registered.
            self.open_wakes.discard(stored.condition.condition_id)

    def _apply_pool(self, seq: int, payload: _PoolPayload) -> None:
        match payload:
            case PoolOpened(config):
                # Two opened it at once without seeing each other, as other implementations can.
                if self.config is not None and self.config != config:
                    msg = "opened again with another config"
                    raise PoolConfigConflictError(msg, pool_id=self.pool_id, seq=seq)
                self.config = config
            case PoolCreated():
                self.created_at = self.created_at or seq  # the first counts
            case MemberJoined(member):
                self.members[member.run_id] = member
                self.joined_at[member.run_id] = seq
            case MemberLeft(member):
                self.members.pop(member.run_id, None)
                self.joined_at.pop(member.run_id, None)
            case UnknownRecord(kind):
                msg = f"this version knows no record of kind {kind!r}"
                raise UnknownRecordError(msg, pool_id=self.pool_id, seq=seq)
            case _:
                assert_never(payload)

    def snapshot(self) -> AgentPoolSnapshot:
        """Show what the records so far mean.

        :raises PoolNotOpenError: none of them opened the pool
        """
        if self.config is None:
            raise not_open(self.pool_id)
        members = tuple(member for _, member in sorted(self.members.items()))
        snapshot: AgentPoolSnapshot = trusted(
            AgentPoolSnapshot,
            pool_id=self.pool_id,
            created=self.created_at is not None,
            members=members,
            topics=tuple(sorted({topic for member in members for topic in member.topics})),
            message_policy=self.config.message_policy,
            wake_policy=self.config.wake_policy,
            policy_refs=self.config.policy_refs,
            messages=self._messages(),
            wakes=self._wakes(),
            cursor=trusted(AgentPoolStoreCursor, self.sequence) if self.sequence else None,
        )
        return snapshot

    def _messages(self) -> tuple[AgentPoolStoredMessage, ...]:
        return ()

    def _wakes(self) -> tuple[AgentPoolStoredWake, ...]:
        return ()


class ReplayState(PoolState):
    """The whole state of a pool, with its messages and wakes."""

    def __init__(self, pool_id: str) -> None:
        super().__init__(pool_id)
        self.messages: SortedTable[AgentPoolStoredMessage] = SortedTable()
        self.wakes: SortedTable[AgentPoolStoredWake] = SortedTable()

    def _apply_message(self, stored: AgentPoolStoredMessage) -> None:
        self.messages.put(stored.message.message_id, stored)

    def _apply_wake(self, stored: AgentPoolStoredWake) -> None:
        super()._apply_wake(stored)
        self.wakes.put(stored.condition.condition_id, stored)

    def _messages(self) -> tuple[AgentPoolStoredMessage, ...]:
        return self.messages.in_order()

    def _wakes(self) -> tuple[AgentPoolStoredWake, ...]:
        return self.wakes.in_order()


class SortedTable(Generic[V]):
    """Values by id, listed in ascending order of the ids.

    A listing after few changes costs no sort: Python orders strings by code point, which is the
    order of their UTF-8 bytes too, so places are found by bisection.
    """

    def __init__(self) -> None:
        self._values: dict[str, V] = {}
        self._keys: list[str] = []
        self._ordered: list[V] = []
        self._changed: set[str] | None = None  # since the last listing, if there was one

    def put(self, key: str, value: V) -> None:
        """Insert the value, or replace the one with this key."""
        self._values[key] = value
        if self._changed is not None:
            self._changed.add(key)

    def in_order(self) -> tuple[V, ...]:
        """List the values."""
        if self._changed is None or len(self._changed) > len(self._keys) // 64:
            self._keys = sorted(self._values)
            self._ordered = [self._values[key] for key in self._keys]
        else:
            for key in self._changed:
                self._place(key)
        self._changed = set()
        return tuple(self._ordered)

    def _place(self, key: str) -> None:
        index = bisect_left(self._keys, key)
        if index < len(self._keys) and self._keys[index] == key:
            self._ordered[index] = self._values[key]
        else:
            self._keys.insert(index, key)
            self._ordered.insert(index, self._values[key])
