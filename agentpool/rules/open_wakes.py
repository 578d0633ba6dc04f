"""The wakes of a pool that still wait, found by the events that could end them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from agentpool.wire.event_kinds import EventKind
from agentpool.wire.records import AgentPoolStoredWake
from agentpool.wire.struct import Include

__all__ = ("OpenWakes",)


class OpenWakes:
    """Wakes by id, by run, and by what their filters name.

    An event is compared with the wakes that name its run or its kind, and with those that name
    neither; a thousand wakes for other runs cost it nothing.

    :ivar by_id: the wakes, to look at; `add` and `discard` change them
    """

    def __init__(self) -> None:
        self.by_id: Final[dict[str, AgentPoolStoredWake]] = {}
        self._by_run: defaultdict[str, set[str]] = defaultdict(set)
        self._by_name: defaultdict[str, set[str]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self.by_id)

    def __iter__(self) -> Iterator[AgentPoolStoredWake]:
        return iter(self.by_id.values())

    def get(self, condition_id: str) -> AgentPoolStoredWake | None:
        """Give a wake that still waits."""
        return self.by_id.get(condition_id)

    def add(self, stored: AgentPoolStoredWake) -> None:
        """Take in a wake that was registered."""
        condition_id = stored.condition.condition_id
        self.discard(condition_id)  # registered again, its filter may name something else
        self.by_id[condition_id] = stored
        self._by_run[stored.condition.run_id].add(condition_id)
        for name in _names(stored):
            self._by_name[name].add(condition_id)

    def discard(self, condition_id: str) -> None:
        """Drop a wake that has its final status, if it is here."""
        stored = self.by_id.pop(condition_id, None)
        if stored is not None:
            _remove(self._by_run, stored.condition.run_id, condition_id)
            for name in _names(stored):
                _remove(self._by_name, name, condition_id)

    def of_run(self, run_id: str) -> list[AgentPoolStoredWake]:
        """List the wakes that a run waits for, in order of their ids."""
        return [self.by_id[each] for each in sorted(self._by_run.get(run_id, ()))]

    def candidates(self, run_id: str, kind: EventKind) -> list[AgentPoolStoredWake]:
        """List the wakes that an event of this run and kind may end, in order of their ids."""
        if not self.by_id:
            return []
        found: set[str] = set()
        for name in (f"run {run_id}", f"kind {kind}", "any"):
            found |= self._by_name.get(name, set())
        return [self.by_id[each] for each in sorted(found)]


def _names(stored: AgentPoolStoredWake) -> Iterable[str]:
    criteria = stored.compiled_filter.criteria
    # By one criterion only, the run's first as it is the narrowest; the filter itself decides.
    if isinstance(criteria.run_ids, Include):
        return [f"run {run_id}" for run_id in criteria.run_ids.include]
    if isinstance(criteria.kinds, Include):
        return [f"kind {kind}" for kind in criteria.kinds.include]
    return ["any"]


def _remove(index: defaultdict[str, set[str]], name: str, condition_id: str) -> None:
    index[name].discard(condition_id)
    if not index[name]:
        del index[name]
