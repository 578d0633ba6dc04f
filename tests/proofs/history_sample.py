"""A small history in which nothing is wrong, for tests to break at one place."""

from collections.abc import Callable
from typing import Any, Self

import msgspec

from agentpool import (
    AgentPoolStoreCursor,
    AgentPoolStoreRecord,
    AgentPoolStoreRecordPayload,
    MemberJoined,
    MemberLeft,
    MessageStatus,
    PoolCreated,
    PoolOpened,
    RunAddress,
    RunMessageRecorded,
    WakeRecorded,
    WakeRegistrationStatus,
)
from agentpool.testing import a_condition, a_member, a_message, a_receipt, a_registration
from agentpool.testing.history import Call, Evidence, check
from agentpool.testing.history.evidence import Happened, digest
from agentpool.wire.records import AgentPoolStoreConfig, AgentPoolStoredMessage, AgentPoolStoredWake

POOL = "pool.test"
BOX = "run.box"


def log(*payloads: AgentPoolStoreRecordPayload) -> list[AgentPoolStoreRecord]:
    return [
        AgentPoolStoreRecord(POOL, AgentPoolStoreCursor(seq), payload)
        for seq, payload in enumerate(payloads, 1)
    ]


def joined(run_id: str, agent_id: str) -> MemberJoined:
    return MemberJoined(a_member(run_id, agent_id=agent_id))


def sent(message_id: str, status: str, key: str = "key.1", to: str = BOX) -> RunMessageRecorded:
    message = a_message(message_id, to=RunAddress.run(to), idempotency_key=key)
    receipt = a_receipt(message, MessageStatus(status), delivered_to=(to,))
    return RunMessageRecorded(AgentPoolStoredMessage(message, receipt))


def woken(status: str) -> WakeRecorded:
    condition = a_condition("wake.1")
    registration = a_registration(condition, WakeRegistrationStatus(status))
    return WakeRecorded(AgentPoolStoredWake(condition, condition.filter.compile(), registration))


class History:
    """A small history in which nothing is wrong, for tests to break at one place."""

    def __init__(self) -> None:
        self.records = log(
            PoolOpened(AgentPoolStoreConfig()),
            PoolCreated(),
            joined(BOX, "agent.box"),
            joined("run.a", "agent.a"),
            sent("message.1", "accepted"),
            sent("message.1", "delivered"),
            sent("message.2", "delivered", "key.2"),
            woken("registered"),
            woken("triggered"),
            MemberLeft(a_member("run.a", agent_id="agent.a")),
        )
        self.events = [Happened(8, 1, "event.1", frozenset({"matter.1"}))]
        self.left = ["message.2"]
        self.calls: dict[str, Call] = {}
        self._time = 0
        self._call_all()

    def add(self, id_: str, do: str, arguments: dict[str, Any], **result: Any) -> Self:
        """Add a call that ended well before the next one began."""
        self._time += 10
        self.calls[id_] = Call(
            id=id_,
            do=do,
            arguments=arguments,
            called=self._time,
            returned=self._time + 5,
            outcome="ok",
            result=result,
        )
        return self

    def change(self, id_: str, **fields: Any) -> Self:
        self.calls[id_] = msgspec.structs.replace(self.calls[id_], **fields)
        return self

    def forget(self, id_: str) -> Self:
        """Let its process be killed before it was told."""
        return self.change(id_, returned=None, outcome="unknown", result={})

    def refuse(self, id_: str, error: str = "StoreBusyError") -> Self:
        return self.change(id_, outcome="refused", result={}, error=error)

    def put(self, seq: int, payload: AgentPoolStoreRecordPayload) -> Self:
        """Let the log hold something else at a place."""
        record = AgentPoolStoreRecord(POOL, AgentPoolStoreCursor(seq), payload)
        self.records[seq - 1 : seq] = [record]
        return self

    def happen(self, *events: Happened) -> Self:
        """Let the store hold these host events."""
        self.events = list(events)
        return self

    def violations(self) -> list[str]:
        calls = sorted(self.calls.values(), key=lambda call: call.called)
        return check(calls, Evidence(self.records, self.events, {BOX: self.left}))

    def _call_all(self) -> None:
        self.add("join box", "join", {"run_id": BOX, "agent_id": "agent.box"}, seq=3)
        self.add("join a", "join", {"run_id": "run.a", "agent_id": "agent.a"}, seq=4)
        delivered = {"message_id": "message.1", "status": "delivered", "delivered_to": [BOX]}
        of_one = {"key": "key.1", "message_id": "message.1", "to": BOX}
        self.add("send", "send", of_one, **delivered)
        self.add("send again", "send", {**of_one, "message_id": "message.1b"}, **delivered)
        self.add("append", "append", {"key": "key.2", "message_id": "message.2", "to": BOX}, seq=7)
        waiting = {"condition_id": "wake.1", "key": "matter.1"}
        self.add("suspend", "suspend", waiting, status="registered")
        self.add("publish", "publish", {"event_id": "event.1"}, number=1)
        self.add("wait", "wait", waiting, status="triggered", event_id="event.1")
        self.add("leave", "leave", {"run_id": "run.a"}, seq=10, agent_id="agent.a")
        claim = {"seq": 6, "message_id": "message.1", "attempt": 1}
        self.add("take", "take", {"run_id": BOX}, **claim)
        self.add("nack", "nack", {"run_id": BOX, **claim})
        self.add("take again", "take", {"run_id": BOX}, **{**claim, "attempt": 2})
        self.add("ack", "ack", {"run_id": BOX, **claim, "attempt": 2})
        self.add("watch", "watch", {"cursor": 2}, until=10)
        self.change("watch", saw=[(r.cursor.sequence, digest(r)) for r in self.records[2:]])


Break = Callable[[History], object]


def is_refused(break_: Break, message: str) -> None:
    """Check that a history, broken in this way, is refused with this in a message."""
    history = History()
    break_(history)
    violations = history.violations()
    assert any(message in violation for violation in violations), violations
