"""Nothing that has a time ends before it, and no wait goes on long after it, whatever clocks say.

Only the monotonic clock of the machine is asked, which all processes share and nobody sets. The
time of a store is in whole milliseconds, so it may be one ahead.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from agentpool.testing.history.calls import Call
from agentpool.testing.history.evidence import Evidence

__all__ = ("time_violations",)

_NANOS: Final = 1_000_000
_TIMED_OUT: Final = "timed_out"


def time_violations(calls: Sequence[Call], _evidence: Evidence) -> Iterator[str]:
    """Compare the times of waits and of claims with what they were to last."""
    yield from _waits_of_members(calls)
    yield from _waits(calls)
    yield from _claims(calls)


def _waits_of_members(calls: Sequence[Call]) -> Iterator[str]:
    """Check that each wait of a member times out, since what it waits for never comes."""
    for call in calls:
        if call.do == "wait_until" and call.ok:
            status = call.result["status"]
            if status != _TIMED_OUT:
                yield f"{call}: it is {status}, and was to time out"
            else:
                yield from _too_early(call, call.called, call.arguments["timeout_millis"])


def _waits(calls: Sequence[Call]) -> Iterator[str]:
    first: dict[str, Call] = {}
    for call in calls:
        if call.do == "suspend":
            first.setdefault(call.arguments["condition_id"], call)
    for call in calls:
        registered = first.get(call.arguments.get("condition_id", ""))
        if registered and call.ok and call.result.get("status") == _TIMED_OUT:
            timeout = registered.arguments.get("timeout_millis", 0)
            yield from _too_early(call, registered.called, timeout)


def _too_early(call: Call, began: int, millis: int) -> Iterator[str]:
    took = ((call.returned or 0) - began) / _NANOS
    if took < millis - 1:
        yield f"{call}: had timed out {took:.1f} ms after it began, not {millis}"


def _claims(calls: Sequence[Call]) -> Iterator[str]:
    """Check that a claim which nobody gave back lasts for its lease at least."""
    returned = {_claim(call.arguments) for call in calls if call.do == "nack" and not call.refused}
    taken: defaultdict[str, list[Call]] = defaultdict(list)
    for call in calls:
        if call.do == "take" and call.ok:
            taken[call.result["message_id"]].append(call)
    for takes in taken.values():
        takes.sort(key=lambda call: int(call.result["attempt"]))
        for one, two in pairwise(takes):
            held = ((two.returned or 0) - one.called) / _NANOS
            lease = one.arguments.get("lease", 0) * 1000
            if _claim(one.result) not in returned and held < lease - 1:
                yield f"{two}: had it {held:.1f} ms after {one} claimed it, for {lease:.0f} ms"


def _claim(facts: dict[str, object]) -> tuple[object, object]:
    return facts["message_id"], facts["attempt"]
