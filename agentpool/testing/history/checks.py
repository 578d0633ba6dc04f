"""The whole check, as a list of violations in words."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

from agentpool.testing.history.calls import Call
from agentpool.testing.history.checks_of_inboxes import inbox_violations
from agentpool.testing.history.checks_of_order import order_violations
from agentpool.testing.history.checks_of_presence import presence_violations
from agentpool.testing.history.checks_of_records import record_violations
from agentpool.testing.history.checks_of_time import time_violations
from agentpool.testing.history.checks_of_wakes import wake_violations
from agentpool.testing.history.checks_of_watchers import watcher_violations
from agentpool.testing.history.evidence import Evidence

__all__ = ("check",)

Check: TypeAlias = Callable[[Sequence[Call], Evidence], Iterator[str]]

_CHECKS: Final[tuple[Check, ...]] = (
    order_violations,
    record_violations,
    wake_violations,
    inbox_violations,
    watcher_violations,
    presence_violations,
    time_violations,
)


def check(calls: Sequence[Call], evidence: Evidence) -> list[str]:
    """Say what a history and the store that it was made on contradict each other in.

    :param calls: in the order in which they began
    :param evidence: taken when nobody used the store any more
    :return: nothing, for a store that keeps its promises
    """
    return [violation for find in _CHECKS for violation in find(calls, evidence)]
