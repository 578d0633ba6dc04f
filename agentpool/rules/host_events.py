"""Host events: things that happened outside the pool, numbered and published into it."""

from itertools import islice
from typing import Final

from msgspec.structs import replace

from agentpool.errors import CorruptRecordError, IdempotencyConflictError
from agentpool.rules.command import Command, Decision, LookUps, PoolView, Row, RowKey
from agentpool.rules.history import is_member
from agentpool.rules.requirements import require_member, require_open, require_type
from agentpool.rules.rows import EVENT, EVENT_ID, PUBLISHED, HostEvent, deadline, put, value_of
from agentpool.rules.waits import TRIGGERED_AT_ONCE, trigger, waits_ended
from agentpool.wire.content import Content
from agentpool.wire.events import EventEnvelope
from agentpool.wire.payload import readable
from agentpool.wire.refs import EventCorrelation
from agentpool.wire.trace import untraced

__all__ = ("NextEventSequence", "Publish")


class NextEventSequence(Command[int]):
    """Take the next number for an event; needs no opened pool."""

    needs_log = False

    def decide(self, view: PoolView) -> Decision[int]:
        number = next_number(view)
        return Decision(number, event_sequence=number)


def next_number(view: PoolView) -> int:
    """Give the number after the last one that any event of this pool got."""
    return view.event_sequence + 1


class Publish(Command[int]):
    """Publish a host event under the next number; the same event again keeps its number.

    :ivar envelope: the event
    :param bodies: what is kept with it, also where the event is known already
    :param key: what its id was made of, where callers know it by that
    """

    def __init__(
        self, envelope: EventEnvelope, bodies: tuple[Content, ...] = (), *, key: str | None = None
    ) -> None:
        require_type(envelope, EventEnvelope, "envelope")
        self._key = key
        self._bodies = bodies
        self.envelope: Final = readable(envelope, EventEnvelope)
        self.looks_up: LookUps = LookUps(rows=(RowKey(EVENT_ID, self.envelope.event_id),))

    def carrying(self, correlation: EventCorrelation) -> "Publish":
        """Give the same with another correlation."""
        envelope = replace(self.envelope, correlation=correlation)
        return Publish(envelope, self._bodies, key=self._key)

    def decide(self, view: PoolView) -> Decision[int]:
        require_open(view)
        known = view.row(RowKey(EVENT_ID, self.envelope.event_id))
        if known is not None:
            return self._again(view, int(known.value))
        require_member(view, self.envelope.run_id)
        # In place of the publisher's: which one is next is known in the transaction only.
        number = next_number(view)
        envelope = replace(self.envelope, event_seq=number)
        visible = is_member(view, envelope)
        # Who may see it is settled here, where the members are known; ``after`` is what orders it
        # among the records, which have no number in common with it.
        puts: list[Row] = [
            put(RowKey(EVENT, "", number), HostEvent(view.head, envelope, visible)),
            Row(RowKey(EVENT_ID, envelope.event_id), str(number)),
        ]
        # Here and not as a consequence: there is no record to work in, and the same transaction has
        # to end what waits.
        found = trigger(
            view,
            envelope.run_id,
            envelope.event_kind,
            lambda: envelope,
            after=view.head,
            at=view.now,
        )
        ended = waits_ended(islice(found, TRIGGERED_AT_ONCE))
        if len(ended.records) == TRIGGERED_AT_ONCE:
            puts.append(deadline(PUBLISHED, str(number), view.now))  # there may be more
        return Decision(
            number,
            ended.records,
            event_sequence=number,
            puts=(*puts, *ended.puts),
            announce=True,
            bodies=self._bodies,
        )

    def _again(self, view: PoolView, number: int) -> Decision[int]:
        row = view.row(RowKey(EVENT, "", number))
        if row is None:
            msg = f"host event {number} is named by its id, but is not there"
            raise CorruptRecordError(msg, pool_id=view.pool_id)
        known = value_of(row, HostEvent).envelope
        # Whoever repeats it after a crash does so later, and in a trace of its own.
        same = replace(
            self.envelope,
            event_seq=number,
            timestamp=known.timestamp,
            recorded_at=known.recorded_at,
            correlation=untraced(self.envelope.correlation),
        )
        if replace(known, correlation=untraced(known.correlation)) != same:
            msg = f"event id {known.event_id!r} was used for another event"
            if self._key is not None:
                msg = (
                    f"idempotency key {self._key!r} was used for another event of run"
                    f" {known.run_id!r}; publish this one under a key of its own"
                )
            raise IdempotencyConflictError(msg, pool_id=view.pool_id)
        return Decision(number, bodies=self._bodies)
