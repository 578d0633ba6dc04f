"""Every watcher saw the log from its cursor on: each record once, in order, up to where it left."""

from collections.abc import Iterator, Sequence

from agentpool.testing.history.calls import Call
from agentpool.testing.history.evidence import Evidence, digest

__all__ = ("watcher_violations",)


def watcher_violations(calls: Sequence[Call], evidence: Evidence) -> Iterator[str]:
    """Compare what each watcher saw with the log. A watch has a ``cursor`` among its arguments.

    When it ends by itself its result says ``until`` which record it had to come.
    """
    log = [(record.cursor.sequence, digest(record)) for record in evidence.records]
    for call in calls:
        if call.do == "watch":
            yield from _violations(call, log)


def _violations(call: Call, log: list[tuple[int, str]]) -> Iterator[str]:
    cursor = call.arguments["cursor"]
    expected = log[cursor : cursor + len(call.saw)]
    for place, sight in enumerate(call.saw):
        if place >= len(expected) or tuple(sight) != expected[place]:
            there = expected[place] if place < len(expected) else "nothing"
            yield f"{call}: was shown {tuple(sight)} where the log has {there}"
            return
    last = cursor + len(call.saw)
    if call.ok and last < call.result["until"]:
        yield f"{call}: stopped at record {last} and never saw {call.result['until']}"
