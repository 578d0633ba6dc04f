"""Every acknowledgement was by the current claim: once a message, and of its highest attempt.

An acknowledgement of unknown outcome may have counted or not.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from agentpool.testing.history.calls import Call
from agentpool.testing.history.checks_of_order import Moment, contradictions
from agentpool.testing.history.evidence import Evidence
from agentpool.testing.history.ledger import Ledger
from agentpool.wire.records import MessageStatus

__all__ = ("inbox_violations",)

_Entry = tuple[str, str]
"""The run that an inbox belongs to, and the id of a message."""


def inbox_violations(calls: Sequence[Call], evidence: Evidence) -> Iterator[str]:
    """Compare claims and acknowledgements with each other, the log and what is left."""
    delivered = _delivered(evidence)
    claims: defaultdict[_Entry, list[Call]] = defaultdict(list)
    acks: defaultdict[_Entry, list[Call]] = defaultdict(list)
    for call in calls:
        if call.do in {"take", "hear"} and call.ok and "message_id" in call.result:
            claims[call.arguments["run_id"], call.result["message_id"]].append(call)
        elif call.do == "ack" and not call.refused:
            acks[call.arguments["run_id"], call.arguments["message_id"]].append(call)
    for entry, taken in claims.items():
        yield from _fault_of_place(entry, taken, delivered)
        for one in _by_holding(taken):
            yield from _faults_of_attempts(entry, one)
    for entry, ended in acks.items():
        yield from _faults_of_acks(entry, ended, claims[entry])
    yield from _faults_of_rest(evidence, delivered, acks)


def _delivered(evidence: Evidence) -> dict[_Entry, int]:
    """Say which record put each message into each inbox."""
    return {
        (run_id, each.stored.message.message_id): each.seq
        for records in Ledger(evidence).keys.values()
        for each in records
        if each.stored.receipt.status is MessageStatus.DELIVERED
        for run_id in each.stored.receipt.delivered_to
    }


def _by_holding(taken: Sequence[Call]) -> Iterable[Sequence[Call]]:
    """Part takes by their holdings: what one gives back at its end does not count as an attempt."""
    found: defaultdict[object, list[Call]] = defaultdict(list)
    for call in taken:
        found[call.arguments.get("agent_id")].append(call)
    return found.values()


def _fault_of_place(
    entry: _Entry, taken: Sequence[Call], delivered: dict[_Entry, int]
) -> Iterator[str]:
    for call in taken:
        if delivered.get(entry) != call.result["seq"]:
            there = delivered.get(entry, "nowhere")
            yield f"{call}: was given {call.result}, but the log delivers it {there}"


def _faults_of_attempts(entry: _Entry, taken: Sequence[Call]) -> Iterator[str]:
    """Nobody has the attempt of another, and a later claim has a higher one."""
    attempts = [call.result["attempt"] for call in taken]
    if len(set(attempts)) < len(attempts):
        yield f"message {entry}: one attempt was handed out twice: {sorted(attempts)}"
    what = f"message {entry}: attempt"
    told = [Moment(each.returned or 0, each.result["attempt"], str(each)) for each in taken]
    asked = [Moment(each.called, each.result["attempt"], str(each)) for each in taken]
    yield from contradictions(what, told, asked)


def _faults_of_acks(entry: _Entry, ended: Sequence[Call], taken: Sequence[Call]) -> Iterator[str]:
    done = [call for call in ended if call.ok]
    if len(done) > 1:
        yield f"message {entry}: acknowledged more than once: {[str(call) for call in done]}"
    highest = max((call.result["attempt"] for call in taken), default=0)
    for call in done:
        if call.arguments["attempt"] < highest:
            yield f"{call}: was accepted, but attempt {highest} was claimed"
        for late in taken:
            if call.returned is not None and late.called > call.returned:
                yield f"{late}: was given {entry}, which had been acknowledged by {call}"


def _faults_of_rest(
    evidence: Evidence, delivered: dict[_Entry, int], acks: dict[_Entry, list[Call]]
) -> Iterator[str]:
    """Look for what was acknowledged and is there, or was not and is gone."""
    for run_id, left in evidence.inboxes.items():
        for message_id in left:
            if (run_id, message_id) not in delivered:
                yield f"inbox {run_id}: has message {message_id}, which was not delivered"
            if any(call.ok for call in acks.get((run_id, message_id), ())):
                yield f"inbox {run_id}: still has message {message_id}, which was acknowledged"
        for missing in _missing(run_id, set(left), delivered, acks):
            yield f"inbox {run_id}: has lost message {missing}, which nobody acknowledged"


def _missing(
    run_id: str, left: set[str], delivered: dict[_Entry, int], acks: dict[_Entry, list[Call]]
) -> list[str]:
    return [
        message_id
        for to, message_id in delivered
        if to == run_id and message_id not in left and (to, message_id) not in acks
    ]
