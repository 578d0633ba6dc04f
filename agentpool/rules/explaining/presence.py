"""Whether a run is here, and who holds it."""

from typing import NamedTuple

from agentpool.rules.command import PoolView
from agentpool.rules.explaining.names import PAGE
from agentpool.rules.explaining.parts import Presence
from agentpool.rules.holding import away_since, lease_end, lease_of
from agentpool.rules.rows import AWAY, LEASE, deadline_key
from agentpool.wire.records import MemberLeft

__all__ = ("Held", "held")


class Held(NamedTuple):
    """Whether a run is here, since when, and who holds it, until when."""

    presence: Presence
    since: int | None = None
    process: str | None = None
    until: int | None = None

    def is_lost(self, now: int) -> bool:
        """Say whether its lease has ended, and nobody was there to say so."""
        return self.until is not None and self.until < now

    def is_here(self, now: int) -> bool:
        """Say whether a process holds it."""
        return self.presence is Presence.HERE and not self.is_lost(now)


def held(view: PoolView, run_id: str) -> Held:
    """Say whether a run is here, which is a member, or was one."""
    if run_id in view.state.members:
        since = view.time_of(view.state.joined_at[run_id])
        row = view.row(deadline_key(LEASE, run_id))
        if row is None:
            return Held(Presence.UNHELD, since)
        lease = lease_of(row)
        presence = Presence.UNHELD if lease.epoch is None else Presence.HERE
        return Held(presence, since, lease.process, lease_end(row))
    away = view.row(deadline_key(AWAY, run_id))
    if away is None:
        return Held(Presence.LEFT, _left_at(view, run_id))
    return Held(Presence.AWAY, away_since(away), lease_of(away).process)


def _left_at(view: PoolView, run_id: str) -> int | None:
    """Say when a run left, if that is among the newest records: no index tells."""
    page = view.records(max(view.head - PAGE, 0), PAGE)
    for seq, payload in reversed(page):
        if isinstance(payload, MemberLeft) and payload.member.run_id == run_id:
            return view.time_of(seq)
    return None
