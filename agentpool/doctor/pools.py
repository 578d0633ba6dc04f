"""All checks of what a store holds, in order, whatever engine keeps it."""

from collections.abc import Callable, Iterator
from typing import TypeAlias

from agentpool.doctor.checkpoints import Checkpoints
from agentpool.doctor.coordination import Coordination
from agentpool.doctor.derived import check_bodies, check_pieces, check_times
from agentpool.doctor.liveness import check_claims, check_dead, check_overdue
from agentpool.doctor.names import Names
from agentpool.doctor.reader import Reader
from agentpool.doctor.records import Observer, check_records
from agentpool.doctor.report import Finding

__all__ = ("Check", "Told", "check_pools", "guarded")

Check: TypeAlias = Callable[[], Iterator[Finding]]
Told: TypeAlias = Callable[[str, Exception], Finding]
"""Makes a finding of what a check could not read, and sees to it that others can be carried out."""


def guarded(name: str, check: Check, told: Told) -> Iterator[Finding]:
    """Carry out a check; where it cannot read what it looks at, that is the finding."""
    try:
        yield from check()
    # What is damaged can bring out anything, and what else is to be told must be told.
    except Exception as error:  # noqa: BLE001
        yield told(name, error)


def check_pools(
    reader: Reader, now: int, told: Told, others: tuple[Observer, ...] = ()
) -> Iterator[Finding]:
    """Read all that a store holds, and compare it with its records.

    :param now: the time that leases and deadlines are compared with
    :param others: see the records, too
    """
    checkpoints, coordination, names = Checkpoints(reader), Coordination(reader, now), Names(reader)
    observers: tuple[Observer, ...] = (checkpoints, coordination, names, *others)
    checks: tuple[tuple[str, Check], ...] = (
        ("records", lambda: check_records(reader, observers)),
        ("names", names.findings),
        ("checkpoints", checkpoints.findings),
        ("rows", coordination.findings),
        ("times", lambda: check_times(reader)),
        ("bodies", lambda: check_bodies(reader)),
        ("pieces", lambda: check_pieces(reader)),
        ("claims", lambda: check_claims(reader, now)),
        ("dead letters", lambda: check_dead(reader)),
        ("overdue", lambda: check_overdue(reader, now)),
    )
    for name, check in checks:
        yield from guarded(name, check, told)
