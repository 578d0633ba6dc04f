"""A pool as the checks of its rows see it: look-ups that remember nothing."""

from collections.abc import Iterator
from dataclasses import dataclass

from agentpool.doctor.reader import Reader
from agentpool.errors import AgentPoolError
from agentpool.rules.command import Placed, Row, RowKey
from agentpool.rules.replay import PoolState
from agentpool.rules.transitions import MESSAGE_STEPS
from agentpool.stores.batch.source import Source, placed
from agentpool.wire.payload import open_payload
from agentpool.wire.records import (
    AgentPoolStoredMessage,
    AgentPoolStoredWake,
    MessageStatus,
    RunMessageRecorded,
)

__all__ = ("Look",)


@dataclass(frozen=True)
class Look:
    """One pool of a store.

    :ivar state: what its records replay to
    :ivar now: the time, in milliseconds of the Unix epoch
    """

    reader: Reader
    state: PoolState
    now: int

    @property
    def pool_id(self) -> str:
        """Which pool this is."""
        return self.state.pool_id

    @property
    def _source(self) -> Source:
        return self.reader.source(self.pool_id)

    def kinds(self) -> Iterator[str]:
        """List the kinds of the pool's rows."""
        return self.reader.kinds(self.pool_id)

    def rows(self, kind: str) -> Iterator[Row]:
        """Read the rows of a kind, page by page."""
        return self.reader.rows(self.pool_id, kind)

    def row(self, key: RowKey) -> Row | None:
        """Look up a row."""
        return self._source.row(key)

    def message(self, key: str) -> Placed[AgentPoolStoredMessage] | None:
        """Look up the latest record of a message."""
        raw = self._source.message_by_key(key)
        return None if raw is None else placed(self.pool_id, raw)

    def is_latest(self, key: str, seq: int) -> bool:
        """Say whether a record is the latest of its message; one that cannot be read is none."""
        try:
            found = self.message(key)
        except AgentPoolError:
            return False
        return found is not None and found.seq == seq

    def is_open_message(self, key: str) -> bool:
        """Say whether a message is there and has not got its final status."""
        found = self.message(key)
        return found is not None and found.stored.receipt.status in MESSAGE_STEPS

    def wake(self, condition_id: str) -> Placed[AgentPoolStoredWake] | None:
        """Look up the latest record of a wake."""
        raw = self._source.wake(condition_id)
        return None if raw is None else placed(self.pool_id, raw)

    def message_at(self, seq: int) -> AgentPoolStoredMessage | None:
        """Read the message that a record holds, if it does and can be read."""
        record = self._source.record_at(seq)
        if record is None or record[0] != seq:
            return None
        try:
            payload = open_payload(self.pool_id, *record)
        except AgentPoolError:
            return None
        return payload.stored if isinstance(payload, RunMessageRecorded) else None

    def delivered_at(self, seq: int) -> AgentPoolStoredMessage | None:
        """Read the message that a record delivered."""
        stored = self.message_at(seq)
        if stored is None or stored.receipt.status is not MessageStatus.DELIVERED:
            return None
        return stored

    def event_sequence(self) -> int:
        """Give the last number that was given to an event."""
        return self._source.event_sequence()
