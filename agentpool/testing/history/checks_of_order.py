"""The log has no gap, and its order is that of real time.

What a caller was told of before another call began, stands before what that call appended.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, count
from typing import Final, NamedTuple, TypeAlias

from agentpool.testing.history.calls import Call
from agentpool.testing.history.evidence import Evidence
from agentpool.testing.history.ledger import Ledger, WakeAt

__all__ = ("Moment", "between", "contradictions", "order_violations")

_END: Final = 2**63
_NumberOf: TypeAlias = Callable[[Call, Ledger], int | None]


class Moment(NamedTuple):
    """A time at which a number was told to a caller, or before which nobody asked for it."""

    at: int
    number: int
    who: str


def order_violations(calls: Sequence[Call], evidence: Evidence) -> Iterator[str]:
    """Check the numbers of records and of host events, and what time says of their order."""
    yield from _gaps("the log", [record.cursor.sequence for record in evidence.records])
    yield from _gaps("the events", [event.number for event in evidence.events])
    ledger = Ledger(evidence)
    for what, told, asked in (
        ("record", _told_seq, _asked_seq),
        ("event", _told_number, _asked_number),
    ):
        yield from contradictions(
            what,
            _moments(calls, told, ledger, "returned"),
            _earliest(_moments(calls, asked, ledger, "called")),
        )


def _gaps(what: str, numbers: Sequence[int]) -> Iterator[str]:
    for expected, number in zip(count(1), numbers, strict=False):
        if number != expected:
            yield f"{what}: number {number} stands where {expected} is due"
            return


def contradictions(what: str, told: Iterable[Moment], asked: Iterable[Moment]) -> Iterator[str]:
    """Find what was asked for after a caller had been told of a higher number, or of this one."""
    before = sorted(told)
    latest: Moment | None = None
    place = 0
    for each in sorted(asked):
        while place < len(before) and before[place].at < each.at:
            if latest is None or before[place].number > latest.number:
                latest = before[place]
            place += 1
        if latest is not None and latest.number >= each.number:
            yield (
                f"{what} {each.number} was asked for, by {each.who},"
                f" after {what} {latest.number} had been told, to {latest.who}"
            )


def between(calls: Sequence[Call], ledger: Ledger) -> Callable[[int], tuple[int, int]]:
    """Say between which times a record was made: after the first, and before the second."""
    first = _earliest(_moments(calls, _asked_seq, ledger, "called"))
    asked = sorted((each.number, each.at) for each in first)
    last = _moments(calls, _told_seq, ledger, "returned")
    told = sorted((each.number, each.at) for each in last)
    before = list(accumulate((at for _, at in asked), max))
    after = list(accumulate((at for _, at in reversed(told)), min))[::-1]

    def find(seq: int) -> tuple[int, int]:
        earlier = bisect_left(asked, (seq,))
        later = bisect_left(told, (seq,))
        return before[earlier - 1] if earlier else 0, after[later] if later < len(after) else _END

    return find


def _moments(
    calls: Sequence[Call], number_of: _NumberOf, ledger: Ledger, when: str
) -> list[Moment]:
    """List the times of calls, as they began or ended, with the number that each is about."""
    found = ((call, number_of(call, ledger)) for call in calls)
    return [
        Moment(at, number, str(call))
        for call, number in found
        if number is not None and (at := getattr(call, when)) is not None
    ]


def _earliest(asked: Iterable[Moment]) -> Iterable[Moment]:
    """Of the calls that may have appended the same, any may have been the one: take the first."""
    first: dict[int, Moment] = {}
    for each in sorted(asked):
        first.setdefault(each.number, each)
    return first.values()


def _told_seq(call: Call, ledger: Ledger) -> int | None:
    """Say which record a caller was told of."""
    if not call.ok:
        return None
    match call.do:
        case "append" | "join" | "leave" | "take" | "hear":
            return call.result.get("seq")
        case "send":
            told = call.result["message_id"], call.result["status"]
            record = ledger.told_of(call.arguments["key"], *told)
            return record.seq if record else None
        case "suspend" | "cancel" | "wait":
            wakes = ledger.wakes.get(call.arguments["condition_id"], ())
            return next((each.seq for each in wakes if each.status == call.result["status"]), None)
        case "publish":
            event = ledger.events.get(call.arguments["event_id"])
            return event.after if event else None
    return None


def _asked_seq(call: Call, ledger: Ledger) -> int | None:
    """Say which record a call, or another like it, appended first."""
    match call.do:
        case "append" | "send":
            records = ledger.keys.get(call.arguments["key"], ())
            mine = (each for each in records if _is_of(each.stored.message.message_id, call))
            return next((each.seq for each in mine), None)
        case "join":
            return next(iter(ledger.joined.get(call.arguments["agent_id"], ())), None)
        case "leave":
            return int(call.result["seq"]) if call.ok else None
        case "suspend":
            return next((each.seq for each in _wakes(call, ledger)), None)
        case "cancel":
            cancelled = (each for each in _wakes(call, ledger) if each.status == "cancelled")
            return next((each.seq for each in cancelled), None)
    return None


def _is_of(message_id: str, call: Call) -> bool:
    return bool(message_id == call.arguments["message_id"])


def _wakes(call: Call, ledger: Ledger) -> Sequence[WakeAt]:
    return ledger.wakes.get(call.arguments["condition_id"], ())


def _told_number(call: Call, _ledger: Ledger) -> int | None:
    return int(call.result["number"]) if call.do == "publish" and call.ok else None


def _asked_number(call: Call, ledger: Ledger) -> int | None:
    event = ledger.events.get(call.arguments["event_id"]) if call.do == "publish" else None
    return event.number if event else None
