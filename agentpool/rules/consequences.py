"""The driver of a coordinated pool: works every record, whoever wrote it, into the rows.

A store calls `carry_out` for each command, inside its write transaction. Before the command comes
what others have appended since, then what has become due of what it touches; after it, what its own
records mean. So a record and its consequences (an unread message, a triggered wake) are one
transaction, and of things that compete the first to be recorded decides.

No transaction does more than so much of that. Where there is more, records are worked in later, in
their order, by whoever comes next: those of a command too. What is late is then decided by the time
at which it was recorded.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, NamedTuple, TypeVar, cast

from agentpool.errors import AgentPoolError, StoreError
from agentpool.rules.answers import on_recipient_back, on_recipient_left
from agentpool.rules.command import (
    CarriedOut,
    Command,
    Decision,
    PoolTransaction,
    PoolView,
    Read,
)
from agentpool.rules.deadlines import carry_out_due
from agentpool.rules.inboxes import UNREADABLE
from agentpool.rules.record_events import event_of, kind_of, run_of
from agentpool.rules.requirements import require_type
from agentpool.rules.rows import LEASE, deadline_key
from agentpool.rules.sending import on_message
from agentpool.rules.waits import TRIGGERED_AT_ONCE, trigger
from agentpool.rules.wakes import end_wake, on_wake
from agentpool.wire.records import (
    AgentPoolStoreRecordPayload,
    MemberJoined,
    MemberLeft,
    RunMessageRecorded,
    WakeRecorded,
    WakeRegistrationStatus,
)

__all__ = ("PIECE", "CatchUp", "CaughtUp", "ConsequenceError", "carry_out")

R = TypeVar("R")

PIECE: Final = 200
"""How much of what waits to be done a transaction does, as `Decision.work` counts; a record that is
read counts one."""

_SHORT: Final = 50
_LITTLE: Final = 100
_PAGE: Final = 128


class ConsequenceError(Exception):
    """What follows from a command cannot be carried out, so nothing of it may be kept."""

    def __init__(self, error: AgentPoolError) -> None:
        super().__init__(error)
        self.error = error


class CaughtUp(NamedTuple):
    """How far a piece of upkeep has come.

    :ivar done: nothing of what others appended, and nothing that is due, is left to do
    :ivar passed_by: what could not be carried out, and never will be: told of once
    :ivar appended: whether records came of it
    :ivar next_deadline: when something is due next
    :ivar left: milliseconds until then, by the clock that decided
    """

    done: bool
    passed_by: tuple[AgentPoolError, ...] = ()
    appended: bool = False
    next_deadline: int | None = None
    left: int = 0


class CatchUp(Command[CaughtUp]):
    """Coordinate a pool from now on: do one piece of what waits to be done there.

    Other implementations fail when somebody commits between their reading and their writing. What
    only works in what they have appended is therefore short, and does not wait for the disk: it can
    be done again.

    :param of_others: there is nothing to do but that
    :param seen: the record that the log ended with; where others have gone on, nothing is done
    :param alone: nobody has appended anything for a while, so nobody fails of a longer piece
    """

    def __init__(
        self, *, of_others: bool = False, seen: int | None = None, alone: bool = False
    ) -> None:
        self.must_survive_power_cut: bool = not of_others
        self.room: Final = _SHORT if of_others and not alone else PIECE
        self.seen: Final = seen

    def decide(self, view: PoolView) -> Decision[CaughtUp]:
        due = view.next_deadline()
        left = 0 if due is None else due - view.now
        done = (view.projected or 0) >= view.head and (due is None or left > 0)
        return Decision(CaughtUp(done, next_deadline=due, left=left))


def carry_out(transaction: PoolTransaction, command: Command[R], room: int = PIECE) -> R:
    """Carry out a command on a pool with its consequences, as far as there is room for them.

    :param room: how much of what others have left to do comes before the command
    :raises AgentPoolError: the command is refused, and has changed nothing
    :raises ConsequenceError: it was not refused, but the transaction must not be committed
    """
    require_type(command, Command, "command")
    carried_out: list[CarriedOut] = []
    command.carried_out = carried_out  # anew, where the transaction before came to nothing
    try:
        if isinstance(command, CatchUp):
            return cast("R", _catch_up(transaction, command, room, carried_out))
        if transaction.projected is not None:
            _refuse_lost(transaction, command)
            _Upkeep(transaction, room).catch_up()
            _carry_out_before(transaction, command, room, carried_out)
        decision = command.decide(transaction)
        carried_out.append(CarriedOut(decision))
    except AgentPoolError as error:
        error.in_pool(transaction.pool_id)
        raise
    # From here on a refusal is no refusal of the command, which was decided: the whole transaction
    # has to go, or a record would stand without what follows from it.
    try:
        # Behind what is not worked in yet, its records have to wait their turn.
        in_turn = transaction.projected == transaction.head
        transaction.apply(decision)
        if in_turn:
            # Much that is sent at once may be read at once by who sent it.
            _Upkeep(transaction, max(PIECE, decision.work)).follow()
    except AgentPoolError as error:
        error.in_pool(transaction.pool_id)
        raise ConsequenceError(error) from error
    return decision.result


def _catch_up(
    transaction: PoolTransaction, command: CatchUp, room: int, carried_out: list[CarriedOut]
) -> CaughtUp:
    if transaction.projected is None:
        transaction.set_projected(0)
    _refuse_lost(transaction, command)
    if command.seen not in {None, transaction.head}:
        return CaughtUp(done=False)
    _ = transaction.state  # whoever opens the pool has it read, and not the first who sends
    head = transaction.head
    upkeep = _Upkeep(transaction, min(room, command.room))
    upkeep.pass_by()
    upkeep.carry_out_due(carried_out, everything=True)
    found = command.decide(transaction).result
    return found._replace(passed_by=tuple(upkeep.passed_by), appended=transaction.head > head)


def _refuse_lost(transaction: PoolTransaction, command: Command[Any]) -> None:
    """Refuse to go on where a log has lost its end: what comes there would never be worked in.

    :raises StoreError: saying so
    """
    projected, head = transaction.projected or 0, transaction.head
    if projected > head and command.needs_log:
        msg = (
            f"the log ends at record {head}, but record {projected} was worked in: its newest"
            " records are gone; restore the file from a backup"
        )
        raise StoreError(msg, pool_id=transaction.pool_id, seq=projected)


def _carry_out_before(
    transaction: PoolTransaction, command: Command[Any], room: int, carried_out: list[CarriedOut]
) -> None:
    """Carry out what is due before a command: if that is little all of it, in its order.

    And what the command touches in any case: it must not find that still open.
    """
    due = transaction.next_deadline()
    if due is None or due > transaction.now:
        return
    _Upkeep(transaction, min(room, _LITTLE)).carry_out_due(carried_out, everything=False)
    in_turn = transaction.projected == transaction.head
    for key in command.touches(transaction):
        row = transaction.row(key)
        if row is not None and row.due_at <= transaction.now:
            decision = carry_out_due(transaction, row)
            carried_out.append(CarriedOut(decision, key.name))
            transaction.apply(decision)
            if in_turn:
                _Upkeep(transaction, PIECE).catch_up()


class _Upkeep:
    """What one transaction does of what waits to be done.

    :param room: about how much, as `Decision.work` counts
    """

    def __init__(self, transaction: PoolTransaction, room: int) -> None:
        self._transaction = transaction
        self._room = room
        self.passed_by: list[AgentPoolError] = []

    def follow(self) -> None:
        """Work in the records of a command; what cannot be carried out is an error.

        :raises AgentPoolError: that it is
        """
        for seq, payload in self._unworked():
            if not self._work_in(seq, payload):
                return

    def catch_up(self) -> None:
        """Work in the records of others, up to one that cannot be read."""
        for seq, payload in self._unworked():
            if isinstance(payload, AgentPoolError) or not self._work_in_or_pass_by(seq, payload):
                return

    def pass_by(self) -> None:
        """Work in the records of others, and pass by what cannot be read: once, to tell of it."""
        for seq, payload in self._unworked():
            if isinstance(payload, AgentPoolError):
                self.passed_by.append(payload)
                self._transaction.set_projected(seq)
            elif not self._work_in_or_pass_by(seq, payload):
                return

    def carry_out_due(self, carried_out: list[CarriedOut], *, everything: bool) -> None:
        """Carry out what is due, the earliest first, where all records are worked in.

        :param carried_out: where it is noted
        :param everything: else no further than to a lease: whoever holds it may be about to renew
            it, and what others do is no reason to take it from them; and than to what cannot be
            carried out, which is left to who tells of it
        """
        view = self._transaction
        while self._room > 0 and view.projected == view.head:
            # One at a time: what it means may have taken the next one away.
            for row in view.deadlines(view.now, 1):
                if not everything and row.key.name.startswith(f"{LEASE} "):
                    return
                try:
                    decision = carry_out_due(view, row)
                except UNREADABLE as error:
                    if not everything:
                        return
                    self.passed_by.append(error)
                    decision = Decision(None, deletes=(row.key,))
                carried_out.append(CarriedOut(decision, row.key.name))
                self._apply(decision)
                self.pass_by()
                break
            else:
                return

    def _unworked(self) -> Iterator[tuple[int, Read]]:
        """Go through the records that are to be worked in, as far as there is room."""
        view = self._transaction
        while self._room > 0 and (view.projected or 0) < view.head:
            records = view.records(view.projected or 0, _PAGE)
            if not records:
                view.set_projected(view.head)  # another program took them away
            for seq, payload in records:
                if self._room <= 0:
                    return
                self._room -= 1
                yield seq, payload

    def _work_in_or_pass_by(self, seq: int, payload: AgentPoolStoreRecordPayload) -> bool:
        try:
            return self._work_in(seq, payload)
        except UNREADABLE as error:
            self.passed_by.append(error)
            self._transaction.set_projected(seq)
            return True

    def _work_in(self, seq: int, payload: Read) -> bool:
        """Work a record in; or a part of what can be gone on with, and say that it was only that.

        One after another: the next looks at what the one before has changed.
        """
        if isinstance(payload, AgentPoolError):
            raise payload
        for decision in _in_parts(self._transaction, seq, payload):
            if self._room <= 0:
                return False
            self._apply(decision)
        for decision in _at_once(self._transaction, seq, payload):
            self._apply(decision)
        self._transaction.set_projected(seq)
        return True

    def _apply(self, decision: Decision[Any]) -> None:
        self._room -= decision.work
        self._transaction.apply(decision)


# --- what follows from a record
#
# The state is that of the head of the log, not that of the record: others may have appended more
# before anybody worked this one in.


def _in_parts(
    view: PoolView, seq: int, payload: AgentPoolStoreRecordPayload
) -> Iterator[Decision[Any]]:
    """Decide what changes or ends the waits of others.

    There may be many of them; those that this is done to are found no more.
    """
    # The wakes of a run that leaves fail first, and so its leaving triggers none of them.
    if isinstance(payload, MemberLeft):
        yield from _on_left(view, payload.member.run_id, seq)
    elif isinstance(payload, MemberJoined):
        yield from on_recipient_back(view, payload.member.run_id)
    # Where nobody waits, no event is made: whoever wants it later derives it from the record.
    if len(view.state.open_wakes):
        yield from _triggered(view, seq, payload)


def _at_once(
    view: PoolView, seq: int, payload: AgentPoolStoreRecordPayload
) -> Iterator[Decision[Any]]:
    """Decide what is done once."""
    match payload:
        case RunMessageRecorded(stored):
            yield from on_message(view, seq, stored)
        case WakeRecorded(stored_wake):
            yield on_wake(view, stored_wake)
        case _:
            pass


def _triggered(
    view: PoolView, seq: int, payload: AgentPoolStoreRecordPayload
) -> Iterator[Decision[Any]]:
    kind = kind_of(payload)
    if kind is None:
        return
    run_id, at = run_of(view, seq, payload), view.time_of(seq) or 0
    ended = None
    while ended is None or len(ended) == TRIGGERED_AT_ONCE:
        found = trigger(
            view, run_id, kind, lambda: event_of(view, seq, payload), after=seq, at=at, seq=seq
        )
        ended = list(islice(found, TRIGGERED_AT_ONCE))
        yield from ended


def _on_left(view: PoolView, run_id: str, seq: int) -> Iterator[Decision[Any]]:
    """Let everything end that a run waited for when it left."""
    joined_again = run_id in view.state.members
    if not joined_again:
        yield Decision(None, deletes=(deadline_key(LEASE, run_id),))
    yield from on_recipient_left(view, run_id)
    failed = None
    while failed is None or len(failed) == TRIGGERED_AT_ONCE:
        failed = []
        for stored in islice(view.state.open_wakes.of_run(run_id), TRIGGERED_AT_ONCE):
            registered = view.wake(stored.condition.condition_id) if joined_again else None
            if registered is not None and registered.seq > seq:
                break  # it waits for this one since it joined again
            failed.append(end_wake(stored, WakeRegistrationStatus.FAILED))
        yield from failed
