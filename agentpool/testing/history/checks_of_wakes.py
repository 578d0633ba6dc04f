"""Each wake ends once, for a reason that is there, and everybody is told the same end."""

from collections.abc import Iterator, Sequence

from agentpool.testing.history.calls import Call
from agentpool.testing.history.evidence import Evidence
from agentpool.testing.history.ledger import Ledger, WakeAt
from agentpool.wire.records import WakeRegistrationStatus

__all__ = ("wake_violations",)

REGISTERED = WakeRegistrationStatus.REGISTERED
TRIGGERED = WakeRegistrationStatus.TRIGGERED


def wake_violations(calls: Sequence[Call], evidence: Evidence) -> Iterator[str]:
    """Compare the wakes of the log with events, cancellations, leavings, and what was told.

    A ``suspend`` has among its arguments the correlation ``key`` of the host events that it waits
    for, from the start of the pool on. Runs that are held make up the ids of their waits.
    """
    ledger = Ledger(evidence)
    keys = {_condition(call): call.arguments["key"] for call in calls if call.do == "suspend"}
    cancelled = {_condition(call) for call in calls if call.do == "cancel" and not call.refused}
    held = {call.arguments["run_id"] for call in calls if call.do == "hold"}
    sound: set[str] = set()
    for condition_id, records in ledger.wakes.items():
        fault = _fault_of_statuses(records)
        if fault is None and condition_id not in keys:
            if records[0].run_id in held:
                continue
            fault = "nobody's call registered it"
        if fault is None:
            sound.add(condition_id)
            fault = _fault_of_end(records[-1], ledger, keys[condition_id])
        if fault is None and records[-1].status == "cancelled" and condition_id not in cancelled:
            fault = "it was cancelled, but by nobody's call"
        if fault is not None:
            yield f"wake {condition_id}: {fault}"
    yield from _told(calls, ledger, sound, keys)


def _condition(call: Call) -> str:
    return str(call.arguments["condition_id"])


def _fault_of_statuses(records: Sequence[WakeAt]) -> str | None:
    """Look for another course than being registered, or not even that, and ending."""
    statuses = [each.status for each in records]
    ends = [status for status in statuses if status is not REGISTERED]
    if len(ends) == 1 and statuses in (ends, [REGISTERED, *ends]):
        return None
    how_many = "no end" if not ends else f"{len(ends)} ends"
    return f"it has {how_many}: {[(each.seq, str(each.status)) for each in records]}"


def _fault_of_end(end: WakeAt, ledger: Ledger, key: str) -> str | None:
    """Look for an end without its reason: its event was first, or its run has left."""
    event = ledger.first_events.get(key)
    happened = event is not None and event.after < end.seq
    if happened and end.status is not TRIGGERED:
        return f"it is {end.status} at record {end.seq}, but missed {event}"
    if not happened and end.status is TRIGGERED:
        return f"it is triggered at record {end.seq}, but its event is {event}"
    if end.status is WakeRegistrationStatus.FAILED and end.by_member:
        return f"it failed at record {end.seq}, but its run had not left"
    return None


def _told(
    calls: Sequence[Call], ledger: Ledger, sound: set[str], keys: dict[str, str]
) -> Iterator[str]:
    for call in calls:
        if call.do not in {"suspend", "cancel", "wait"}:
            continue
        condition_id = _condition(call)
        if call.ok and condition_id not in ledger.wakes:
            yield f"{call}: was told {call.result['status']}, but is not stored"
        elif condition_id in sound:
            yield from _told_otherwise(call, ledger.wakes[condition_id])
            yield from _told_of_other_event(call, ledger, keys[condition_id])


def _told_otherwise(call: Call, records: Sequence[WakeAt]) -> Iterator[str]:
    end = records[-1].status
    if call.ok:
        possible = {end} if call.do != "suspend" else {each.status for each in records}
        if call.result["status"] not in possible:
            yield f"{call}: was told {call.result['status']}, but the wake is {end}"
    elif call.error == "InvalidTransitionError" and end == "cancelled":
        yield f"{call}: was refused, but the wake is cancelled"


def _told_of_other_event(call: Call, ledger: Ledger, key: str) -> Iterator[str]:
    if call.do != "wait" or not call.ok or call.result["status"] != TRIGGERED:
        return
    event = ledger.first_events.get(key)
    if event is None or event.event_id != call.result["event_id"]:
        yield f"{call}: was told of event {call.result['event_id']}, but the first is {event}"
