"""Who holds a run holds it alone, for as long as its process runs, and is told when it has lost it.

A process that was stopped for longer than its lease may have lost its run: then it has joined again
by itself, or is told so by whatever it does. It never hears nothing, and is never told in vain.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from agentpool.testing.history.calls import Call
from agentpool.testing.history.checks_of_order import between
from agentpool.testing.history.evidence import Evidence
from agentpool.testing.history.ledger import Ledger
from agentpool.testing.history.matters import LEASE_SECONDS

__all__ = ("presence_violations",)

_LEASE: Final = int(LEASE_SECONDS * 1e9)
_LOST: Final = "MembershipLostError"
_STALE: Final = {"ack": {_LOST, "ClaimLostError"}}
_WRITES: Final = {"send", "append", "publish"}
_ENOUGH: Final = 5
"""Writes, one after another, in which a process had time for a heartbeat too."""


@dataclass
class _Holding:
    """A block that held a run, and what was done in it."""

    hold: Call
    part: Call | None = None
    acts: list[Call] = field(default_factory=list)

    @property
    def agent_id(self) -> str:
        return str(self.hold.arguments["agent_id"])

    @property
    def run_id(self) -> str:
        return str(self.hold.arguments["run_id"])

    @property
    def process(self) -> str:
        return self.hold.id.rpartition(".")[0]

    def is_after(self, other: "_Holding") -> bool:
        """Say whether it surely was the later one."""
        return other.hold.returned is not None and other.hold.returned < self.hold.called


def presence_violations(calls: Sequence[Call], evidence: Evidence) -> Iterator[str]:
    """Compare what those who held runs were told with each other, and with the log."""
    holdings = _holdings(calls)
    ledger = Ledger(evidence)
    rivals: defaultdict[str, list[_Holding]] = defaultdict(list)
    for holding in holdings.values():
        rivals[holding.run_id].append(holding)
    let_go = {member.agent_id for _, member, _ in ledger.left}
    for holding in holdings.values():
        others = [each for each in rivals[holding.run_id] if each is not holding]
        yield from _told(holding, others, was_let_go=holding.agent_id in let_go)
        yield from _went_on(holding, others)
    yield from _healthy_let_go(calls, ledger, holdings)
    for run_id in rivals.keys() & ledger.members.keys():
        yield f"run {run_id}: nobody holds it any more, and it is a member still"


def _holdings(calls: Sequence[Call]) -> dict[str, _Holding]:
    found = {
        str(call.arguments["agent_id"]): _Holding(call)
        for call in calls
        if call.do == "hold" and not call.refused
    }
    for call in calls:
        holding = found.get(call.arguments.get("agent_id", ""))
        if holding is None or call is holding.hold:
            continue
        if call.do == "part":
            holding.part = call
        else:
            holding.acts.append(call)
    return found


def _told(holding: _Holding, others: Sequence[_Holding], *, was_let_go: bool) -> Iterator[str]:
    """Each act came to something, or its run was lost, and that to somebody or for a reason."""
    may_lose = was_let_go and not holding.hold.arguments["rejoins"]
    for act in holding.acts:
        if act.refused and act.error not in _STALE.get(act.do, {_LOST}):
            yield f"{act}: was refused with {act.error}"
        elif act.do == "hear" and act.ok and "message_id" not in act.result:
            yield f"{act}: heard nothing, and was told nothing"
        elif act.error == _LOST and not may_lose:
            ended = act.returned or 0
            if not any(each.hold.called < ended and not holding.is_after(each) for each in others):
                yield f"{act}: was told that its run is lost, but nobody else has taken it"


def _went_on(holding: _Holding, others: Sequence[_Holding]) -> Iterator[str]:
    """Nothing is done for a run after it was lost."""
    later = (each.hold for each in others if each.is_after(holding) and each.hold.ok)
    told = (act for act in holding.acts if act.error == _LOST)
    ends = [*later, *told]
    first = min(ends, key=lambda call: call.returned or 0, default=None)
    for act in holding.acts:
        if first is not None and act.ok and act.called > (first.returned or 0):
            yield f"{act}: was done, but its run had been lost: {first} {first.outcome}"


def _healthy_let_go(
    calls: Sequence[Call], ledger: Ledger, holdings: dict[str, _Holding]
) -> Iterator[str]:
    """Whose process wrote to the file for most of a lease has not lost its run meanwhile."""
    when = between(calls, ledger)
    for seq, member, _ in ledger.left:
        holding = holdings.get(member.agent_id)
        if holding is None or not holding.hold.ok:
            continue
        earliest, latest = when(seq)
        if holding.part is not None and holding.part.called < latest:
            continue  # it let it go itself
        writes = _writes_of(calls, holding.process, latest - _LEASE * 2 // 3, earliest)
        if writes >= _ENOUGH:
            yield (
                f"record {seq}: {member.run_id} of {member.agent_id} was taken for lost, but its"
                f" process had written {writes} times one after another just before"
            )


def _writes_of(calls: Sequence[Call], process: str, begin: int, end: int) -> int:
    """Count the writes of a process between two times, each begun after the one before."""
    count, last = 0, begin
    mine = [
        call
        for call in calls
        if call.ok and call.do in _WRITES and call.id.rpartition(".")[0] == process
    ]
    for call in sorted(mine, key=lambda call: call.returned or 0):
        if call.called > last and call.returned is not None and call.returned < end:
            count, last = count + 1, call.returned
    return count
