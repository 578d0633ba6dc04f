"""The wakes of a pool that still wait, found by the events that could end them."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Final, TypeAlias, TypeVar

from agentpool.wire.event_kinds import EventKind
from agentpool.wire.events import EventEnvelope
from agentpool.wire.filters import EventFilter
from agentpool.wire.records import AgentPoolStoredWake
from agentpool.wire.struct import Include

__all__ = ("OpenWakes",)

K = TypeVar("K")
I = TypeVar("I")  # noqa: E741  # of items
V = TypeVar("V")

_Name: TypeAlias = tuple[str, str | None]
_Wakes: TypeAlias = dict[str, AgentPoolStoredWake]

# By one field only, the first of these that a filter names: those whose values are anybody's to
# make up are the narrowest. The filter itself decides.
_NARROWEST_FIRST: Final[dict[str, Callable[[EventEnvelope], Iterable[str | None]]]] = {
    "turn_ids": lambda event: (event.turn_id,),
    "run_ids": lambda event: (event.run_id,),
    "session_ids": lambda event: (event.session_id,),
    "tags": lambda event: event.tags,
    "correlation_keys": lambda event: (entry.key for entry in event.correlation.entries),
    "agent_ids": lambda event: (event.agent_id,),
    "kinds": lambda event: (event.event_kind,),
    "subject_kinds": lambda event: (event.subject_ref.kind,),
    "related_entity_kinds": lambda event: (ref.kind for ref in event.related_refs),
    "destination_kinds": lambda event: (event.destination.kind if event.destination else None,),
    "source_kinds": lambda event: (event.source.kind,),
    "families": lambda event: (event.event_family,),
    "privacy_classes": lambda event: (event.privacy,),
    "delivery_semantics": lambda event: (event.delivery_semantics,),
}
_NOTHING: Final = "nothing"
_KNOWN_BEFORE: Final = {"run_ids", "kinds"}


class OpenWakes:
    """Wakes by id, by run, and by what their filters name.

    An event is compared with the filters that name something of it, or nothing at all, each once
    for all the wakes that have it; a hundred thousand wakes for other things cost it nothing.
    Listings are in the order of registration.
    """

    def __init__(self) -> None:
        self._by_id: Final[_Wakes] = {}
        self._by_run: Final[dict[str, _Wakes]] = {}
        self._by_filter: Final[dict[Hashable, _Wakes]] = {}
        self._by_name: Final[dict[_Name, dict[Hashable, EventFilter]]] = {}
        # How many different values of each field are named: what no filter names is not looked up.
        self._fields: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[AgentPoolStoredWake]:
        return iter(self._by_id.values())

    def get(self, condition_id: str) -> AgentPoolStoredWake | None:
        """Give a wake that still waits."""
        return self._by_id.get(condition_id)

    def add(self, stored: AgentPoolStoredWake) -> None:
        """Take in a wake that was registered."""
        condition_id = stored.condition.condition_id
        self.discard(condition_id)  # registered again, its filter may name something else
        self._by_id[condition_id] = stored
        self._by_run.setdefault(stored.condition.run_id, {})[condition_id] = stored
        wanted = _what_matters(stored.condition.filter)
        if wanted not in self._by_filter:
            self._by_filter[wanted] = {}
            for name in _names(stored.condition.filter):
                if name not in self._by_name:
                    self._by_name[name] = {}
                    self._fields[name[0]] += 1
                self._by_name[name][wanted] = stored.condition.filter
        self._by_filter[wanted][condition_id] = stored

    def discard(self, condition_id: str) -> None:
        """Drop a wake that has its final status, if it is here."""
        stored = self._by_id.pop(condition_id, None)
        if stored is None:
            return
        _drop(self._by_run, stored.condition.run_id, condition_id)
        wanted = _what_matters(stored.condition.filter)
        if _drop(self._by_filter, wanted, condition_id):
            for name in _names(stored.condition.filter):
                if _drop(self._by_name, name, wanted):
                    self._fields -= Counter({name[0]: 1})

    def of_run(self, run_id: str) -> Iterator[AgentPoolStoredWake]:
        """Go through the wakes that a run waits for. None may change meanwhile."""
        return iter(self._by_run.get(run_id, {}).values())

    def may_end(self, run_id: str, kind: EventKind) -> bool:
        """Say whether an event of this run and kind may end any, whatever else it is."""
        return (
            ("run_ids", run_id) in self._by_name
            or ("kinds", kind) in self._by_name
            or not self._fields.keys() <= _KNOWN_BEFORE
        )

    def ended_by(self, event: EventEnvelope) -> Iterator[AgentPoolStoredWake]:
        """Go through the wakes whose filters an event matches. None may change meanwhile.

        By the filters as they were given: whoever joins later is seen too. To which runs each was
        narrowed when it was registered is for the caller to look at.
        """
        seen: set[Hashable] = set()
        for name in self._named_by(event):
            for wanted, criteria in self._by_name.get(name, {}).items():
                # One that names several things of the event is met under each of them.
                if criteria.matches(event) and wanted not in seen:
                    seen.add(wanted)
                    yield from self._by_filter[wanted].values()

    def _named_by(self, event: EventEnvelope) -> Iterator[_Name]:
        yield _NOTHING, None
        for field, values in _NARROWEST_FIRST.items():
            if field in self._fields:
                yield from ((field, value) for value in dict.fromkeys(values(event)))


def _what_matters(criteria: EventFilter) -> Hashable:
    """Give what decides whether a filter matches: two with the same are one filter here."""
    return (criteria.terminal_only, *(getattr(criteria, field) for field in _NARROWEST_FIRST))


def _names(criteria: EventFilter) -> list[_Name]:
    for field in _NARROWEST_FIRST:
        wanted = getattr(criteria, field)
        if isinstance(wanted, Include):
            return [(field, value) for value in dict.fromkeys(wanted.include)]
    return [(_NOTHING, None)]


def _drop(index: dict[K, dict[I, V]], key: K, item: I) -> bool:
    """Take an item out of one list of an index, and say whether it was the last one there."""
    items = index[key]
    del items[item]
    if not items:
        del index[key]
    return not items
