"""Makes up what happens to wakes, at random from a seed, and judges what a log says of it."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Final, NamedTuple

from samples import envelope

from agentpool import (
    AgentPool,
    AgentPoolStoreRecordPayload,
    CorrelationEntry,
    EventCorrelation,
    EventFamily,
    EventFilter,
    EventKind,
    FilterSet,
    MessageStatus,
    RunAddress,
    RunMessageRecorded,
    WakeRecorded,
    WakeRegistrationStatus,
    encode,
    include,
)
from agentpool.rules.rows import EVENT, HostEvent, value_of
from agentpool.testing import a_condition, a_message

__all__ = ("HOST", "SINK", "Action", "Ledger", "Scenario", "actions_of", "read_ledger")

HOST: Final = "run.host"
SINK: Final = "run.sink"

_KINDS: Final = include(EventKind.TOOL_COMPLETED, EventKind.RUN_MESSAGE_DELIVERED)
_TIMEOUTS: Final = (0, 5, 30, 60, 120, 250)
_PATIENT: Final = 30_000
"""A time that is not over before what is to end the wake comes, however busy the machine is."""
_LATEST: Final = {"register": 20.0, "publish": 60.0, "send": 60.0}
_LATEST_OTHERWISE: Final = 120.0
REGISTERED: Final = WakeRegistrationStatus.REGISTERED

Action = dict[str, Any]


@dataclass(frozen=True)
class Scenario:
    """One wake: which run waits, and after which record its events come."""

    number: int
    run_id: str
    since: int

    @property
    def key(self) -> str:
        """The correlation key that its events have and no others."""
        return f"scenario.{self.number}"

    @property
    def has_own_run(self) -> bool:
        return self.run_id.endswith(f".wait.{self.number}")

    @property
    def condition_id(self) -> str:
        return f"wake.{self.number}"


def actions_of(random: Random, scenario: Scenario, *, is_patient: bool) -> Iterator[Action]:
    """Make up what happens to one wake; in which process each happens is the caller's choice.

    The first registers it.
    """
    timeout = _PATIENT if is_patient else random.choice(_TIMEOUTS)
    condition = _condition(random, scenario, timeout)
    yield _action(random, "register", condition, _since(random, scenario))
    if random.random() < 0.3:  # the same again, in the other process perhaps
        yield _action(random, "register", condition, scenario.since)
    for each in range(random.choice((0, 0, 1, 2))):
        make = random.choice((_published, _sent))
        yield make(random, scenario, each)
    if random.random() < 0.4:
        yield _action(random, "cancel", scenario.condition_id)
    if scenario.has_own_run and random.random() < 0.5:
        yield _action(random, "leave", scenario.run_id)
    if timeout != _PATIENT and random.random() < 0.5:
        yield _action(random, "wait", scenario.condition_id)


def _action(random: Random, what: str, value: str, since: int | None = None) -> Action:
    latest = _LATEST.get(what, _LATEST_OTHERWISE)
    delay = random.uniform(0, latest) if random.random() < 0.8 else 0.0
    return {"do": what, "value": value, "since": since, "delay": delay}


def _since(random: Random, scenario: Scenario) -> int | None:
    """Look at the whole history now and then; it takes the longer, the longer that is."""
    return None if random.random() < 0.05 else scenario.since


def _condition(random: Random, scenario: Scenario, timeout_millis: int) -> str:
    runs: FilterSet[str] = include(HOST) if random.random() < 0.5 else "any"
    wanted = EventFilter(run_ids=runs, kinds=_KINDS, correlation_keys=include(scenario.key))
    return encode(
        a_condition(
            scenario.condition_id,
            run_id=scenario.run_id,
            filter=wanted,
            timeout_millis=timeout_millis,
        )
    ).decode()


def _correlation(scenario: Scenario) -> EventCorrelation:
    return EventCorrelation((CorrelationEntry(scenario.key, "x"),))


def _published(random: Random, scenario: Scenario, each: int) -> Action:
    event = envelope(
        event_id=f"event.{scenario.number}.{each}",
        event_family=EventFamily.TOOL,
        event_kind=EventKind.TOOL_COMPLETED,
        run_id=HOST,
        correlation=_correlation(scenario),
    )
    return _action(random, "publish", encode(event).decode())


def _sent(random: Random, scenario: Scenario, each: int) -> Action:
    message = a_message(
        f"message.{scenario.number}.{each}",
        sender=HOST,
        to=RunAddress.run(SINK),
        correlation=_correlation(scenario),
    )
    return _action(random, "send", encode(message).decode())


class Happened(NamedTuple):
    """An event, which was there once the log had come to a record.

    :ivar by: when it was there at the latest, in milliseconds
    """

    seq: int
    by: int


class Ledger:
    """What a log says of the wakes, in terms of the places of its records and of their times."""

    def __init__(self) -> None:
        self.statuses: defaultdict[str, list[tuple[int, WakeRegistrationStatus]]]
        self.statuses = defaultdict(list)
        self.events: defaultdict[str, list[Happened]] = defaultdict(list)
        self._due: dict[str, int] = {}

    def add(self, seq: int, at: int, payload: AgentPoolStoreRecordPayload) -> None:
        """Take in a record, and when it was appended."""
        if isinstance(payload, WakeRecorded):
            condition, status = payload.stored.condition, payload.stored.registration.status
            self.statuses[condition.condition_id].append((seq, status))
            if status is REGISTERED and condition.timeout_millis is not None:
                self._due[condition.condition_id] = at + condition.timeout_millis
        elif isinstance(payload, RunMessageRecorded):
            stored_message = payload.stored
            if stored_message.receipt.status is MessageStatus.DELIVERED:
                self.add_event(Happened(seq, at), stored_message.message.correlation)

    def add_event(self, event: Happened, correlation: EventCorrelation) -> None:
        """Take in an event."""
        for entry in correlation.entries:
            self.events[entry.key].append(event)

    def final(self, scenario: Scenario) -> WakeRegistrationStatus | None:
        """Give the status that a wake ended with; ``None``: it was never registered."""
        statuses = self.statuses.get(scenario.condition_id)
        return statuses[-1][1] if statuses else None

    def faults(self, scenario: Scenario) -> Iterator[str]:
        """Say what of a wake's history ought not to be."""
        statuses = self.statuses.get(scenario.condition_id, [])
        if not statuses:
            return
        ends = [placed for placed in statuses if placed[1] is not REGISTERED]
        if len(ends) != 1 or len(statuses) > 2 or statuses[-1] != ends[0]:
            yield f"{scenario}: {statuses}"
            return
        end, status = ends[0]
        before = [event for event in self.events[scenario.key] if event.seq < end]
        # What comes when its time is over finds it waiting until somebody has looked; it is too
        # late all the same, and makes it time out.
        due = self._due.get(scenario.condition_id, math.inf)
        triggered = status is WakeRegistrationStatus.TRIGGERED
        if not before if triggered else any(event.by < due for event in before):
            yield f"{scenario}: {statuses}, due at {due}, but its events came at {before}"

    def counts(self) -> Counter[str]:
        """Count how the wakes ended."""
        return Counter(str(statuses[-1][1]) for statuses in self.statuses.values())


async def read_ledger(pool: AgentPool) -> Ledger:
    """Read all records of a pool, and where between them its host events came."""
    ledger = Ledger()
    records = await pool.store.read(pool.pool_id)
    times = await pool.store.query(
        pool.pool_id, lambda view: [view.time_of(seq) or 0 for seq in range(view.head + 1)]
    )
    for record, at in zip(records, times[1:], strict=True):
        ledger.add(record.cursor.sequence, at, record.payload)  # type: ignore[arg-type]
    rows = await pool.store.query(pool.pool_id, lambda view: view.rows(EVENT, "", limit=2**31))
    for row in rows:
        event = value_of(row, HostEvent)
        by = max(times[event.after : event.after + 2])  # no later than what follows it
        ledger.add_event(Happened(event.after, by), event.envelope.correlation)
    return ledger
