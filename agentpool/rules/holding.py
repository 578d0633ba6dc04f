"""Who holds a run: one block, in one process, under an epoch of its own.

The row of the lease says who. It is due when a heartbeat is missing, and is given time for one more
then: whoever finds it may just have slept itself, and all others with it. A run whose lease ran out
is *away*: its holder may come back, unless another block has taken the run.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from agentpool.errors import MembershipLostError
from agentpool.rules.command import Command, Decision, LookUps, PoolView, Row, RowKey
from agentpool.rules.rows import (
    AWAY,
    LEASE,
    NEVER,
    OWING,
    Lease,
    deadline,
    deadline_key,
    value_of,
)
from agentpool.wire.codec import encode
from agentpool.wire.payload import SealedPayload, seal
from agentpool.wire.records import AgentPoolMember, MemberJoined, MemberLeft

__all__ = (
    "BEATS_PER_LEASE",
    "AsHolder",
    "EndHolding",
    "Heartbeat",
    "Holding",
    "away_since",
    "beat_of",
    "is_held",
    "judge_lease",
    "lease_end",
    "lease_of",
    "lease_row",
    "look_ups_of",
)

R = TypeVar("R")

BEATS_PER_LEASE: Final = 3
_UNTOLD_LEASE: Final = 30_000  # of a row that does not say it
_MOST_MISSED: Final = 3
_KEPT_AWAY: Final = 30 * 24 * 3_600_000


class Holding(NamedTuple):
    """A run as one block holds it.

    :ivar process: a name for the process, for people who look at it
    :ivar lease: milliseconds; ``None``: it never runs out
    :ivar rejoin: whether the run joins again by itself when its lease ran out
    :ivar stays: whether the run stays a member when its block ends
    """

    member: AgentPoolMember
    epoch: str
    process: str
    lease: int | None
    rejoin: bool = True
    stays: bool = False

    @property
    def run_id(self) -> str:
        return self.member.run_id


def beat_of(lease: int) -> int:
    """Say how many milliseconds lie between two heartbeats."""
    return max(lease // BEATS_PER_LEASE, 1)


def lease_of(row: Row | None) -> Lease:
    """Read who holds a run; nobody says so in the rows of older versions."""
    return value_of(row, Lease) if row is not None and row.value else Lease()


def lease_row(run_id: str, lease: Lease, now: int) -> Row:
    """Make the row of a lease that is renewed now: due when the second heartbeat is missing."""
    due_at = NEVER if lease.millis is None else now + lease.millis - beat_of(lease.millis)
    return _lease_row(run_id, lease, due_at)


def _lease_row(run_id: str, lease: Lease, due_at: int) -> Row:
    return deadline(LEASE, run_id, due_at)._replace(value=encode(lease).decode())


def lease_end(row: Row) -> int | None:
    """Say when a lease runs out unless it is renewed; ``None``: never."""
    if row.due_at == NEVER:
        return None
    lease = lease_of(row)
    return row.due_at if lease.missed else row.due_at + beat_of(lease.millis or _UNTOLD_LEASE)


def away_since(row: Row) -> int:
    """Say when the lease of a run that is away ran out, by its row."""
    return row.due_at - _KEPT_AWAY


def judge_lease(view: PoolView, row: Row) -> Decision[Any]:
    """Decide what a lease that is due means: a heartbeat is late, or the member is gone."""
    run_id = row.key.name.partition(" ")[2]
    member = view.state.members.get(run_id)
    if member is None:
        return Decision(None, deletes=(row.key,))
    lease = lease_of(row)
    beat = beat_of(lease.millis or _UNTOLD_LEASE)
    # Found late, the lease says nothing of its member: nobody was awake to look at it in time, so
    # all may have slept. Not for ever, or those who only look in now and then would keep it alive.
    found_late = view.now - row.due_at > beat and lease.missed < _MOST_MISSED
    if lease.missed == 0 or found_late:
        late = Lease(lease.epoch, lease.process, lease.millis, lease.missed + 1)
        return Decision(None, puts=(_lease_row(run_id, late, view.now + beat),))
    puts: tuple[Row, ...] = ()
    if lease.epoch is not None:
        away = deadline(AWAY, run_id, view.now + _KEPT_AWAY)._replace(value=row.value)
        puts = (away,)
    return Decision(None, (seal(MemberLeft(member)),), puts=puts, deletes=(row.key,))


def _is_away(view: PoolView, holding: Holding) -> bool:
    row = view.row(deadline_key(AWAY, holding.run_id))
    held = view.row(deadline_key(LEASE, holding.run_id)) is not None
    return not held and lease_of(row).epoch == holding.epoch


def is_held(view: PoolView, holding: Holding) -> bool:
    """Say whether a block holds its run."""
    row = view.row(deadline_key(LEASE, holding.run_id))
    return lease_of(row).epoch == holding.epoch and holding.run_id in view.state.members


def _lost(view: PoolView, holding: Holding) -> MembershipLostError:
    now = lease_of(view.row(deadline_key(LEASE, holding.run_id))).process
    if now is not None:
        how = (
            f"process {now!r} has taken it over, for one block at a time holds a run; let this one"
            " end, or give each a run id of its own"
        )
    elif _is_away(view, holding):
        how = "its lease ran out; join it again"
    else:
        how = "it was let go; join it again"
    msg = f"run {holding.run_id!r} is not held by this block any more: {how}"
    return MembershipLostError(msg, pool_id=view.pool_id)


def look_ups_of(*run_ids: str) -> LookUps:
    """Say what is looked up to see who holds runs."""
    return LookUps(rows=tuple(deadline_key(LEASE, each) for each in run_ids))


class Heartbeat(Command[dict[Holding, MembershipLostError]]):
    """Renew leases, and let runs whose lease ran out join again; tells which are lost for good.

    It counts before the leases that it renews are looked at.
    """

    must_survive_power_cut = False

    def __init__(self, holdings: Sequence[Holding]) -> None:
        self._holdings = holdings
        leases = look_ups_of(*(each.run_id for each in holdings))
        self.looks_up: LookUps = leases._replace(deadlines=leases.rows)

    def decide(self, view: PoolView) -> Decision[dict[Holding, MembershipLostError]]:
        lost: dict[Holding, MembershipLostError] = {}
        decision: Decision[dict[Holding, MembershipLostError]] = Decision(lost)
        for holding in self._holdings:
            if is_held(view, holding):
                decision = decision._replace(puts=(*decision.puts, *_renewed(view, holding)))
            elif holding.rejoin and _is_away(view, holding):
                lease = Lease(holding.epoch, holding.process, holding.lease)
                decision = decision._replace(
                    records=(*decision.records, *_joined(view, holding.member)),
                    puts=(*decision.puts, lease_row(holding.run_id, lease, view.now)),
                    deletes=(*decision.deletes, deadline_key(AWAY, holding.run_id)),
                )
            else:
                lost[holding] = _lost(view, holding)
        return decision


def _renewed(view: PoolView, holding: Holding) -> Iterator[Row]:
    # `join_run` may have ended the lease of a run that its block goes on holding.
    held = lease_of(view.row(deadline_key(LEASE, holding.run_id)))
    if held.millis is not None:
        lease = Lease(holding.epoch, holding.process, holding.lease)
        yield lease_row(holding.run_id, lease, view.now)


def _joined(view: PoolView, member: AgentPoolMember) -> Iterator[SealedPayload]:
    if view.state.members.get(member.run_id) != member:
        yield seal(MemberJoined(member))


class AsHolder(Command[R]):
    """Carry out a command for a run, if the block that asks for it holds the run.

    :raises MembershipLostError: another has the run, it was let go, or its lease ran out; then a
        heartbeat may let it join again
    """

    def __init__(self, command: Command[R], holding: Holding) -> None:
        self._command, self._holding = command, holding
        self.must_survive_power_cut: bool = command.must_survive_power_cut
        self.needs_log: bool = command.needs_log
        rows = (*command.looks_up.rows, *look_ups_of(holding.run_id).rows)
        self.looks_up: LookUps = command.looks_up._replace(rows=rows)

    def touches(self, view: PoolView) -> Iterable[RowKey]:
        return self._command.touches(view)

    def decide(self, view: PoolView) -> Decision[R]:
        if not is_held(view, self._holding):
            raise _lost(view, self._holding)
        return self._command.decide(view)


class EndHolding(Command[None]):
    """Let a run leave, or stay unheld, at the end of its block; one that it has lost stays."""

    def __init__(self, holding: Holding) -> None:
        self._holding = holding
        lease = look_ups_of(holding.run_id)
        owing = () if holding.stays else (RowKey(OWING, holding.run_id),)
        self.looks_up: LookUps = lease._replace(listings=owing, deadlines=lease.rows)

    def decide(self, view: PoolView) -> Decision[None]:
        run_id = self._holding.run_id
        if is_held(view, self._holding):
            member = view.state.members[run_id]
            left = () if self._holding.stays else (seal(MemberLeft(member)),)
            return Decision(None, left, deletes=(deadline_key(LEASE, run_id),))
        if not _is_away(view, self._holding):
            return Decision(None)
        stays = self._holding.stays and self._holding.rejoin
        back = tuple(_joined(view, self._holding.member)) if stays else ()
        return Decision(None, back, deletes=(deadline_key(AWAY, run_id),))
