"""Recording wakes: what is the same wake, and how its status goes on."""

from collections.abc import Iterable
from typing import Any, cast

from agentpool.errors import IdempotencyConflictError, InvalidValueError
from agentpool.rules.command import Command, Decision, LookUps, Placed, PoolView, RowKey, cursor_at
from agentpool.rules.requirements import require_open, require_type
from agentpool.rules.rows import WAKE, deadline, deadline_key
from agentpool.rules.transitions import WAKE_STEPS, require_step
from agentpool.wire.filters import CompiledEventFilter
from agentpool.wire.payload import seal
from agentpool.wire.records import (
    AgentPoolStoreCursor,
    AgentPoolStoredWake,
    WakeCondition,
    WakeRecorded,
    WakeRegistration,
    WakeRegistrationStatus,
)
from agentpool.wire.struct import trusted

__all__ = (
    "RecordWake",
    "earlier_wake",
    "end_wake",
    "known_wake",
    "look_ups_of",
    "on_wake",
    "recorded_wake",
)


def earlier_wake(view: PoolView, condition: WakeCondition) -> Placed[AgentPoolStoredWake] | None:
    """Find the wake that this condition's idempotency key already stands for.

    :raises IdempotencyConflictError: its key or id stands for another run or filter
    """
    known = view.wake_by_key(condition.idempotency_key)
    if known is None:
        # A new key, but an id that others may be waiting for by now.
        known = view.wake(condition.condition_id)
        if known is not None:
            msg = f"condition id {condition.condition_id!r} was used with another idempotency key"
            raise IdempotencyConflictError(msg, pool_id=view.pool_id, seq=known.seq)
        return None
    earlier = known.stored.condition
    if (earlier.run_id, earlier.filter) != (condition.run_id, condition.filter):
        msg = (
            f"the idempotency key of wake {condition.condition_id!r} was used by wake"
            f" {earlier.condition_id!r} of another run or filter"
        )
        raise IdempotencyConflictError(msg, pool_id=view.pool_id, seq=known.seq)
    return known


def look_ups_of(condition: WakeCondition) -> LookUps:
    """Say what is looked up to record a wake, and to work that in."""
    due = (deadline_key(WAKE, condition.condition_id),)
    return LookUps(
        wake_keys=(condition.idempotency_key,),
        condition_ids=(condition.condition_id,),
        rows=() if condition.timeout_millis is None else due,
        deadlines=due,
    )


def known_wake(view: PoolView, condition_id: str) -> AgentPoolStoredWake:
    """Give a wake by its condition.

    :raises InvalidValueError: there is none
    """
    require_open(view)
    known = view.wake(condition_id)
    if known is None:
        msg = f"there is no wake with condition id {condition_id!r}"
        raise InvalidValueError(msg, pool_id=view.pool_id)
    return known.stored


class RecordWake(Command[AgentPoolStoreCursor]):
    """Record a wake with a status. The first final status stays."""

    def __init__(
        self,
        condition: WakeCondition,
        compiled_filter: CompiledEventFilter,
        registration: WakeRegistration,
    ) -> None:
        require_type(condition, WakeCondition, "condition")
        require_type(compiled_filter, CompiledEventFilter, "compiled_filter")
        require_type(registration, WakeRegistration, "registration")
        stored = trusted(AgentPoolStoredWake, condition, compiled_filter, registration)
        self._record = seal(trusted(WakeRecorded, stored))
        if (registration.condition_id, registration.run_id) != (
            condition.condition_id,
            condition.run_id,
        ):
            msg = f"the registration is for another wake than {condition.condition_id!r}"
            raise InvalidValueError(msg)
        sealed = cast("WakeRecorded", self._record.payload).stored
        self._condition, self._registration = sealed.condition, sealed.registration
        self.looks_up: LookUps = look_ups_of(condition)

    def touches(self, view: PoolView) -> Iterable[RowKey]:  # noqa: ARG002
        return (deadline_key(WAKE, self._condition.condition_id),)

    def decide(self, view: PoolView) -> Decision[AgentPoolStoreCursor]:
        require_open(view)
        known = earlier_wake(view, self._condition)
        if known is not None:
            has, wanted = known.stored.registration, self._registration
            condition_id = self._condition.condition_id
            is_retry = known.stored.condition.condition_id != condition_id
            if is_retry or has == wanted:
                return Decision(cursor_at(known.seq))
            what = f"wake {condition_id!r}"
            require_step(view, what, WAKE_STEPS, has.status, wanted.status, seq=known.seq)
        return Decision(cursor_at(view.head + 1), (self._record,))


def end_wake(
    stored: AgentPoolStoredWake, status: WakeRegistrationStatus
) -> Decision[WakeRegistration]:
    """Give a waiting wake its final status."""
    return recorded_wake(stored.condition, stored.compiled_filter, status)


def recorded_wake(
    condition: WakeCondition, compiled: CompiledEventFilter, status: WakeRegistrationStatus
) -> Decision[WakeRegistration]:
    """Record a wake with a status, and give its registration."""
    registration = trusted(WakeRegistration, condition.condition_id, condition.run_id, status)
    stored = trusted(AgentPoolStoredWake, condition, compiled, registration)
    return Decision(registration, (seal(trusted(WakeRecorded, stored)),))


def on_wake(view: PoolView, stored: AgentPoolStoredWake) -> Decision[Any]:
    """Work a record of a wake into the rows: its deadline comes and goes with it."""
    condition = stored.condition
    # Whether it is open now, whatever this record says: a later one may have ended it.
    if view.state.open_wakes.get(condition.condition_id) is None:
        return Decision(None, deletes=(deadline_key(WAKE, condition.condition_id),))
    key = deadline_key(WAKE, condition.condition_id)
    if condition.timeout_millis is None or view.row(key) is not None:
        return Decision(None)  # it has none, or it was set as it was registered
    # From when it is worked in: when another implementation appended it is not known.
    due_at = view.now + condition.timeout_millis
    return Decision(None, puts=(deadline(WAKE, condition.condition_id, due_at),))
