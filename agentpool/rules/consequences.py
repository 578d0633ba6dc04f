"""The driver of a coordinated pool: works every record, whoever wrote it, into the rows.

A store calls `carry_out` for each command, inside its write transaction. Before the command comes
what others have appended since, then what has become due; after it, what its own records mean. So
a record and its consequences (an unread message, a triggered wake) are one transaction, and of
things that compete the first to be recorded decides.
"""

from collections.abc import Iterator
from typing import Any, Final, TypeVar

from agentpool.errors import AgentPoolError
from agentpool.rules.answers import on_asker_left
from agentpool.rules.command import Command, Decision, PoolTransaction, PoolView
from agentpool.rules.deadlines import carry_out_due
from agentpool.rules.record_events import event_of, kind_of, run_of
from agentpool.rules.requirements import require_type
from agentpool.rules.rows import LEASE, deadline_key
from agentpool.rules.sending import on_message
from agentpool.rules.waits import trigger
from agentpool.rules.wakes import end_wake, on_wake
from agentpool.wire.records import (
    AgentPoolStoreRecordPayload,
    MemberLeft,
    RunMessageRecorded,
    WakeRecorded,
    WakeRegistrationStatus,
)

__all__ = ("CatchUp", "ConsequenceError", "carry_out")

R = TypeVar("R")

_PAGE: Final = 500
CATCH_UP_AT_ONCE: Final = 2000


class ConsequenceError(Exception):
    """What follows from a command cannot be carried out, so nothing of it may be kept."""

    def __init__(self, error: AgentPoolError) -> None:
        super().__init__(error)
        self.error = error


class CatchUp(Command[bool]):
    """Coordinate a pool from now on; says whether all that others appended is worked in.

    Does nothing else, so it also serves to carry out what is due.
    """

    def decide(self, view: PoolView) -> Decision[bool]:
        return Decision(view.projected == view.head)


def carry_out(transaction: PoolTransaction, command: Command[R]) -> R:
    """Carry out a command on a pool with all its consequences.

    :raises AgentPoolError: the command is refused, and has changed nothing
    :raises ConsequenceError: it was not refused, but the transaction must not be committed
    """
    require_type(command, Command, "command")
    only_catch_up = isinstance(command, CatchUp)
    try:
        # First what was before: a command that comes after a deadline must not find it still open,
        # though nobody was awake to carry it out in time.
        if only_catch_up:
            _catch_up_some(transaction)
        elif transaction.projected is not None:
            _catch_up(transaction)
            if command.carries_out_due:
                _carry_out_due(transaction)
        decision = command.decide(transaction)
    except AgentPoolError as error:
        error.in_pool(transaction.pool_id)
        raise
    # From here on a refusal is no refusal of the command, which was decided: the whole transaction
    # has to go, or a record would stand without what follows from it.
    try:
        transaction.apply(decision)
        if transaction.projected is not None and not only_catch_up:
            _catch_up(transaction)
    except AgentPoolError as error:
        error.in_pool(transaction.pool_id)
        raise ConsequenceError(error) from error
    return decision.result


def _catch_up_some(transaction: PoolTransaction) -> None:
    """Do what `CatchUp` is there for, in a transaction of bounded length."""
    if transaction.projected is None:
        transaction.set_projected(0)
    _catch_up(transaction, CATCH_UP_AT_ONCE)
    if transaction.projected == transaction.head:
        _carry_out_due(transaction)


def _catch_up(transaction: PoolTransaction, at_most: int | None = None) -> None:
    projected = transaction.projected or 0
    end = transaction.head if at_most is None else projected + at_most
    while projected < min(end, transaction.head):
        for seq, payload in transaction.records(projected, _PAGE):
            # One after another: the next looks at what the one before has changed. The wakes of a
            # run that leaves fail first, and so its leaving triggers none of them.
            for decision in _consequences(transaction, seq, payload):
                transaction.apply(decision)
            projected = seq
            transaction.set_projected(seq)
        # Consequences may be records (a wake that is triggered), and have some of their own.
        if at_most is None:
            end = transaction.head


def _carry_out_due(transaction: PoolTransaction) -> None:
    due = transaction.next_deadline()
    while due is not None and due <= transaction.now:
        # One at a time: what it means may have taken the next one away.
        for row in transaction.deadlines(transaction.now, 1):
            transaction.apply(carry_out_due(transaction, row))
            _catch_up(transaction)
        due = transaction.next_deadline()


def _consequences(
    view: PoolView, seq: int, payload: AgentPoolStoreRecordPayload
) -> Iterator[Decision[Any]]:
    """Decide what follows from a record, one thing after another.

    The state is that of the head of the log, not that of the record: others may have appended more
    before anybody worked this one in.
    """
    match payload:
        case RunMessageRecorded(stored):
            yield from on_message(view, seq, stored)
        case WakeRecorded(stored_wake):
            yield on_wake(view, stored_wake)
        case MemberLeft(member):
            yield from _on_left(view, member.run_id)
    # Where nobody waits, no event is made: whoever wants it later derives it from the record.
    if view.state.open_wakes.by_id:
        yield from _triggered(view, seq, payload)


def _triggered(
    view: PoolView, seq: int, payload: AgentPoolStoreRecordPayload
) -> Iterator[Decision[Any]]:
    kind = kind_of(payload)
    if kind is not None:
        run_id = run_of(view.pool_id, payload)
        yield from trigger(view, run_id, kind, lambda: event_of(view, seq, payload), seq=seq)


def _on_left(view: PoolView, run_id: str) -> Iterator[Decision[Any]]:
    if run_id in view.state.members:
        return  # it joined again since
    yield Decision(None, deletes=(deadline_key(LEASE, run_id),))
    yield from on_asker_left(view, run_id)
    for stored in view.state.open_wakes.of_run(run_id):
        yield end_wake(stored, WakeRegistrationStatus.FAILED)
