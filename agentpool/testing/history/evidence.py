"""What a store holds in the end, as far as callers can have an opinion about it."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

import anyio

from agentpool.pool import AgentPool
from agentpool.rules.command import Row
from agentpool.rules.rows import EVENT, HostEvent, value_of
from agentpool.wire.codec import encode
from agentpool.wire.records import (
    AgentPoolStoreRecord,
    AgentPoolStoreRecordPayload,
    UnknownRecord,
    WakeRecorded,
    WakeRegistrationStatus,
)

__all__ = ("Evidence", "Happened", "departed", "digest", "gather", "settled")

_ALL: Final = 2**31
_LOOK_SECONDS: Final = 0.05
REGISTERED: Final = WakeRegistrationStatus.REGISTERED


@dataclass(frozen=True)
class Happened:
    """A host event, and how many records were in the log before it."""

    after: int
    number: int
    event_id: str
    keys: frozenset[str] = frozenset()


@dataclass
class Evidence:
    """What is there.

    :ivar records: the whole log
    :ivar events: the host events in their order
    :ivar inboxes: the ids of the messages that each run has not acknowledged
    """

    records: Sequence[AgentPoolStoreRecord] = ()
    events: Sequence[Happened] = ()
    inboxes: dict[str, Sequence[str]] = field(default_factory=dict)

    def payloads(self) -> Iterable[tuple[int, AgentPoolStoreRecordPayload]]:
        """List the records that can be read, with their numbers."""
        for record in self.records:
            if not isinstance(record.payload, UnknownRecord):
                yield record.cursor.sequence, record.payload


def digest(record: AgentPoolStoreRecord) -> str:
    """Tell the payload of a record from others, in few characters."""
    payload = record.payload
    text = payload.payload_json.encode() if isinstance(payload, UnknownRecord) else encode(payload)
    return sha256(text).hexdigest()[:16]


async def gather(pool: AgentPool, runs: Iterable[str]) -> Evidence:
    """Read what a pool holds, and what is in the inboxes of these runs."""
    rows = await pool.store.query(pool.pool_id, lambda view: view.rows(EVENT, "", limit=_ALL))
    inboxes = {run_id: await pool.inbox(run_id).peek(_ALL) for run_id in runs}
    return Evidence(
        await pool.store.read(pool.pool_id, keep_unknown=True),
        [_happened(row) for row in rows],
        {run_id: [each.message_id for each in found] for run_id, found in inboxes.items()},
    )


def _happened(row: Row) -> Happened:
    event = value_of(row, HostEvent)
    keys = frozenset(entry.key for entry in event.envelope.correlation.entries)
    return Happened(event.after, row.key.number, event.envelope.event_id, keys)


async def settled(pool: AgentPool, seconds: float) -> None:
    """Wait until no wake of a pool waits any more.

    :raises TimeoutError: some still do
    """
    waiting: set[str] = set()
    with anyio.fail_after(seconds):
        for record in await pool.store.read(pool.pool_id):
            if isinstance(record.payload, WakeRecorded):
                waiting.add(record.payload.stored.condition.condition_id)
        for condition_id in waiting:
            await pool.wait(condition_id)


async def departed(pool: AgentPool, staying: AbstractSet[str], seconds: float) -> None:
    """Wait until nobody is a member but runs that stay: those who died leave with their leases.

    :raises TimeoutError: some still are
    """
    with anyio.fail_after(seconds):
        while not {member.run_id for member in await pool.members()} <= staying:  # noqa: ASYNC110
            await anyio.sleep(_LOOK_SECONDS)
