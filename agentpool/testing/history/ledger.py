"""The log of a store, indexed by what calls can be recognised in it by."""

from collections import defaultdict
from typing import NamedTuple

from agentpool.rules.messages import reached_nobody
from agentpool.testing.history.evidence import Evidence, Happened
from agentpool.wire.records import (
    AgentPoolMember,
    AgentPoolStoredMessage,
    MemberJoined,
    MemberLeft,
    RunMessageRecorded,
    WakeRecorded,
    WakeRegistrationStatus,
)

__all__ = ("Ledger", "MessageAt", "WakeAt")


class MessageAt(NamedTuple):
    """A record of a message, and who was a member when it was made."""

    seq: int
    stored: AgentPoolStoredMessage
    members: frozenset[str]


class WakeAt(NamedTuple):
    """A record of a wake, and whether its run was a member when it was made."""

    seq: int
    run_id: str
    status: WakeRegistrationStatus
    by_member: bool


class Ledger:
    """One reading of the log, and of the host events.

    :ivar keys: the records of messages, by idempotency key
    :ivar wakes: the records of wakes, by condition
    :ivar joined: where members joined, by their agents
    :ivar left: who left where, and who was there as far as the log before says
    :ivar members: who is a member at the end
    :ivar events: the host events, by id
    :ivar first_events: the first host event with each correlation key
    """

    def __init__(self, evidence: Evidence) -> None:
        self.keys: defaultdict[str, list[MessageAt]] = defaultdict(list)
        self.wakes: defaultdict[str, list[WakeAt]] = defaultdict(list)
        self.joined: defaultdict[str, list[int]] = defaultdict(list)
        self.left: list[tuple[int, AgentPoolMember, AgentPoolMember | None]] = []
        self.events: dict[str, Happened] = {each.event_id: each for each in evidence.events}
        self.first_events: dict[str, Happened] = {}
        for event in evidence.events:
            for key in event.keys:
                self.first_events.setdefault(key, event)
        self.members: dict[str, AgentPoolMember] = {}
        self._runs: frozenset[str] = frozenset()
        for seq, payload in evidence.payloads():
            self._take_in(seq, payload)

    def _take_in(self, seq: int, payload: object) -> None:
        match payload:
            case MemberJoined(member):
                self.joined[member.agent_id].append(seq)
                self.members[member.run_id] = member
                self._runs = frozenset(self.members)
            case MemberLeft(member):
                self.left.append((seq, member, self.members.pop(member.run_id, None)))
                self._runs = frozenset(self.members)
            case RunMessageRecorded(stored):
                key = stored.message.idempotency_key
                self.keys[key].append(MessageAt(seq, stored, self._runs))
            case WakeRecorded(stored_wake):
                registration = stored_wake.registration
                by_member = registration.run_id in self._runs
                placed = WakeAt(seq, registration.run_id, registration.status, by_member)
                self.wakes[registration.condition_id].append(placed)

    def told_of(self, key: str, message_id: str, status: str) -> MessageAt | None:
        """Give the record that a receipt tells of; the last one where it tells of none that may.

        A caller may be told of the last record of a message, or of one that reached nobody: its key
        may be sent again.
        """
        for each in self.keys.get(key, ()):
            receipt = each.stored.receipt
            if reached_nobody(receipt) and (receipt.message_id, receipt.status) == (
                message_id,
                status,
            ):
                return each
        return self.last_of_key(key)

    def last_of_key(self, key: str) -> MessageAt | None:
        """Give the last record of a message."""
        records = self.keys.get(key)
        return records[-1] if records else None
