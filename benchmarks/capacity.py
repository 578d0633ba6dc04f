"""A model: what carries a million agents on servers, from what an operation was measured to cost.

Run it: ``python -m benchmarks.capacity``. Its assumptions, each of which makes the answer worse
where it is wrong:

- Each agent sends a message a minute to one run, which takes and acknowledges it. Each has a lease;
  its process renews all of its leases together.
- A process holds some hundred agents, and what they do at one time shares a commit. No pool is on
  two servers, and pools share nothing: on twice as many servers there is half of all on each.
- Half of a server is left for what is not counted: questions, vacuum, checkpoints, standbys, the
  backup at night.
- A NOTIFY follows each commit, and costs the server more the more processes listen there, to
  whatever pool. So on twice as many servers a quarter of that is on each.
- Commits that wait for the disk share a flush.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final, Literal

__all__ = ("Costs", "Limit", "Load", "limits", "servers", "table")

_MICRO: Final = 1e-6


@dataclass(frozen=True)
class Costs:
    """What one operation costs a server, in microseconds of one core, as it was measured.

    :ivar send: of many in a commit, as the next two
    :ivar commit: what a command alone costs
    :ivar notify: of one, for each process that listens; with 50, and twice that with 200
    """

    send: float = 90.0
    take_and_ack: float = 140.0
    heartbeat: float = 60.0
    commit: float = 1000.0
    notify: float = 14.0


@dataclass(frozen=True)
class Load:
    """What there is to carry, and with what.

    :ivar batch: how many commands share a commit
    :ivar busy: how much of a server may be used for this
    :ivar flushes: of the disk, in a second
    """

    agents: int = 1_000_000
    messages_a_minute: float = 1.0
    agents_a_process: int = 500
    beat_seconds: float = 10.0
    batch: float = 8.0
    cores: int = 16
    busy: float = 0.5
    most_connections: int = 5_000
    connections_a_process: int = 3
    flushes: float = 5_000.0
    commits_a_flush: float = 8.0
    record_bytes: int = 600
    wal_factor: float = 4.0
    disk_bytes: float = 500e6


@dataclass(frozen=True)
class Limit:
    """Something of which a server has only so much.

    :ivar of: what it is, which several may share
    :ivar used: how much all agents would use of one server; 1 is all that it has
    :ivar power: with which power of the number of servers that falls
    """

    what: str
    of: Literal["CPU", "connections", "disk"]
    used: float
    remedy: str
    power: int = 1

    def on_each_of(self, number: int) -> float:
        """Say how much is used of each of so many servers."""
        return float(self.used / number**self.power)

    def agents(self, load: Load) -> int:
        """Say how many agents one server carries until this is used up."""
        return int(load.agents / self.used ** (1 / self.power))


def limits(load: Load, costs: Costs) -> list[Limit]:
    """List what ends on one server, the first first."""
    return sorted(_limits(load, costs), key=lambda each: each.agents(load))


def _limits(load: Load, costs: Costs) -> Iterator[Limit]:
    processes = load.agents / load.agents_a_process
    messages = load.agents * load.messages_a_minute / 60
    commits = 3 * messages / load.batch + processes / load.beat_seconds
    work = messages * (costs.send + costs.take_and_ack) + commits * costs.commit
    work += load.agents / load.beat_seconds * costs.heartbeat
    seconds = load.cores * load.busy
    yield Limit("CPU of commands", "CPU", work * _MICRO / seconds, "larger batches, more cores")
    told = commits * processes * costs.notify * _MICRO / seconds
    yield Limit("CPU of NOTIFY", "CPU", told, "fewer, larger processes; listen=False", power=2)
    opened = processes * load.connections_a_process / load.most_connections
    yield Limit("connections", "connections", opened, "pgbouncer; larger processes")
    flushed = commits / (load.flushes * load.commits_a_flush)
    yield Limit("flushes of the log", "disk", flushed, "larger batches, a faster disk")
    written = 2 * messages * load.record_bytes * load.wal_factor / load.disk_bytes
    yield Limit("bytes of the log", "disk", written, "a faster disk")


def servers(load: Load, costs: Costs) -> int:
    """Say how many servers it takes, so that nothing of any of them ends."""
    found = limits(load, costs)
    return next(number for number in count(1) if _is_enough(found, number))


def _is_enough(found: list[Limit], number: int) -> bool:
    used: dict[str, float] = {}
    for each in found:
        used[each.of] = used.get(each.of, 0.0) + each.on_each_of(number)
    return max(used.values()) <= 1


def table(load: Load, costs: Costs) -> str:
    """Write down what ends first, and what helps."""
    needed = servers(load, costs)
    heads = ("ends on one server", "at agents", f"used of each of {needed}", "what helps")
    rows = [
        (each.what, f"{each.agents(load):,}", f"{each.on_each_of(needed):.2f}", each.remedy)
        for each in limits(load, costs)
    ]
    lines = [f"{a:20} {b:>12} {c:>18}  {d}" for a, b, c, d in (heads, *rows)]
    what = f"{load.agents:,} agents at {load.messages_a_minute:g} messages a minute each"
    return "\n".join((f"{what} take {needed} servers of {load.cores} cores", *lines))


if __name__ == "__main__":
    print(table(Load(), Costs()))
