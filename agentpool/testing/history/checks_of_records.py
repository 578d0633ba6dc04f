"""What was acknowledged is stored, what is stored was asked for, and a key stands for one message.

A call whose outcome is unknown may be found in the log or not.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from agentpool.rules.messages import reached_nobody
from agentpool.testing.history.calls import Call
from agentpool.testing.history.evidence import Evidence
from agentpool.testing.history.ledger import Ledger, MessageAt
from agentpool.wire.records import MessageReceipt, MessageStatus

__all__ = (
    "receipt_facts",
    "record_violations",
)

_WHOLE: Final = (
    (MessageStatus.DELIVERED,),
    (MessageStatus.ACCEPTED, MessageStatus.DELIVERED),
    (MessageStatus.FAILED,),
)
"""The records that a message can have: of an append, of a send, of a send to nobody."""


def record_violations(calls: Sequence[Call], evidence: Evidence) -> Iterator[str]:
    """Compare calls with the records of messages and of members, both ways."""
    ledger = Ledger(evidence)
    yield from _messages_stored(calls, ledger)
    yield from _messages_told(calls, ledger)
    yield from _joins(calls, ledger)
    yield from _leaves(calls, ledger)
    yield from _events(calls, ledger)


def _messages_stored(calls: Sequence[Call], ledger: Ledger) -> Iterator[str]:
    """Each key has the records of one message, whole, and somebody asked for it."""
    senders = {
        call.arguments["message_id"]: call for call in calls if call.do in {"append", "send"}
    }
    for key, records in _sendings(ledger):
        ids = list(dict.fromkeys(each.stored.message.message_id for each in records))
        places = [each.seq for each in records]
        if len(ids) > 1:
            yield f"key {key}: stands for messages {ids}, at records {places}"
            continue
        statuses = tuple(each.stored.receipt.status for each in records)
        if statuses not in _WHOLE or places != list(range(places[0], places[0] + len(places))):
            yield f"key {key}: {list(map(str, statuses))} at records {places} is no whole message"
        call = senders.get(ids[0])
        if call is None or call.refused or call.arguments["key"] != key:
            yield f"key {key}: record {places[0]} is of nobody's call: {call or ids[0]}"
        elif call.do == "send":
            yield from _recipients(call, records[-1])


def _sendings(ledger: Ledger) -> Iterator[tuple[str, Sequence[MessageAt]]]:
    """List keys with the records of a message; what reached nobody may have been sent again."""
    for key, records in ledger.keys.items():
        if len(records) > 1 and reached_nobody(records[0].stored.receipt):
            yield key, records[:1]
            yield key, records[1:]
        else:
            yield key, records


def _recipients(call: Call, record: MessageAt) -> Iterator[str]:
    """Whom a send reached is who was a member at its place in the log."""
    to = call.arguments["to"]
    expected = (to,) if to in record.members else ()
    if record.stored.receipt.delivered_to != expected:
        found = record.stored.receipt.delivered_to
        yield f"{call}: was delivered to {found} at record {record.seq}, not to {expected}"


def _messages_told(calls: Sequence[Call], ledger: Ledger) -> Iterator[str]:
    """Every caller was told what the log says."""
    for call in calls:
        if not call.ok or call.do not in {"append", "send"}:
            continue
        stored = _told_of(call, ledger)
        if stored is None:
            yield f"{call}: was acknowledged, but is not stored"
        elif call.do == "append" and call.result["seq"] != stored.seq:
            yield f"{call}: was told of record {call.result['seq']}, its key is at {stored.seq}"
        elif call.do == "send" and call.result != receipt_facts(stored.stored.receipt):
            yield f"{call}: was told {call.result}, the log says {stored.stored.receipt}"


def _told_of(call: Call, ledger: Ledger) -> MessageAt | None:
    if call.do == "append":
        return ledger.last_of_key(call.arguments["key"])
    told = call.result["message_id"], call.result["status"]
    return ledger.told_of(call.arguments["key"], *told)


def receipt_facts(receipt: MessageReceipt) -> dict[str, object]:
    """Write a receipt as it stands in a history."""
    return {
        "message_id": receipt.message_id,
        "status": str(receipt.status),
        "delivered_to": list(receipt.delivered_to),
    }


def _joins(calls: Sequence[Call], ledger: Ledger) -> Iterator[str]:
    """Each join has one record, told by the name of its agent; who holds a run may join again."""
    joins = {call.arguments["agent_id"]: call for call in calls if call.do in {"join", "hold"}}
    for agent_id, places in ledger.joined.items():
        call = joins.get(agent_id)
        if call is None or call.refused:
            yield f"agent {agent_id}: joined at record {places[0]} by nobody's call: {call}"
        elif len(places) > 1 and call.do == "join":
            yield f"{call}: is stored more than once, at records {places}"
    for agent_id, call in joins.items():
        places = ledger.joined.get(agent_id, [])
        if call.ok and call.do == "hold" and not places:
            yield f"{call}: its joining is not there"
        elif call.ok and call.do == "join" and places[:1] != [call.result["seq"]]:
            yield f"{call}: was told of record {call.result['seq']}, which is not there"


def _leaves(calls: Sequence[Call], ledger: Ledger) -> Iterator[str]:
    """Who left was there; each leaving was told to one caller, or to one of whom nobody knows.

    Runs that are held are left out: they leave by themselves.
    """
    held = {call.arguments["agent_id"] for call in calls if call.do == "hold"}
    told = {(call.result["seq"], call.result["agent_id"]): call for call in calls if _left(call)}
    unknown = Counter(
        call.arguments["run_id"]
        for call in calls
        if call.do == "leave" and not call.ok and not call.refused
    )
    for seq, member, was in ledger.left:
        if member != was:
            yield f"record {seq}: run {member.run_id} left as {member.agent_id}, but was {was}"
        if told.pop((seq, member.agent_id), None) is None and member.agent_id not in held:
            unknown[member.run_id] -= 1
            if unknown[member.run_id] < 0:
                yield f"record {seq}: run {member.run_id} left by nobody's call"
    for call in told.values():
        yield f"{call}: was told of record {call.result['seq']}, which is not there"


def _left(call: Call) -> bool:
    return call.do == "leave" and call.ok


def _events(calls: Sequence[Call], ledger: Ledger) -> Iterator[str]:
    """Each event has the number that everybody was told who published it."""
    published = [call for call in calls if call.do == "publish"]
    asked = {call.arguments["event_id"] for call in published if not call.refused}
    for event_id in ledger.events.keys() - asked:
        yield f"event {event_id}: is stored, but nobody's call published it"
    for call in published:
        event = ledger.events.get(call.arguments["event_id"])
        if call.ok and (event is None or event.number != call.result["number"]):
            yield f"{call}: was told number {call.result['number']}, the store has {event}"
