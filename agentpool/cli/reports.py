"""What a check found, as monitoring wants to be told it: text, JSON, Prometheus, Nagios."""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from agentpool.cli.printing import Printer, Row
from agentpool.doctor import Finding, Level

__all__ = ("FORMATS", "Checked", "PoolChecked")

_METRICS: Final = {
    "records": "records in the log",
    "members": "runs that are members",
    "here": "runs that a process holds",
    "queues": "queues",
    "unread": "messages in inboxes and queues that are not done",
    "claimed": "messages that somebody has",
    "dead": "messages that were put aside after too many attempts",
    "oldest_seconds": "age of the oldest unread message",
    "waits": "waits that are open",
    "overdue_seconds": "for how long something has been due that nobody carried out",
    "behind": "records that are still to be worked into the inboxes",
}
_WORDS: Final = {0: "OK", 1: "WARNING", 2: "CRITICAL"}
_MEASURED: Final = ("unread", "claimed", "dead", "oldest_seconds", "overdue_seconds")


class PoolChecked(NamedTuple):
    """What was found about a pool; its numbers where they can be read."""

    pool_id: str
    numbers: Row
    findings: tuple[Finding, ...]


class Checked(NamedTuple):
    """What was found about a store."""

    of_file: tuple[Finding, ...]
    pools: tuple[PoolChecked, ...]

    @property
    def findings(self) -> Iterator[tuple[str, Finding]]:
        """Go through all findings, each with its pool, or nothing."""
        yield from (("", each) for each in self.of_file)
        yield from ((pool.pool_id, each) for pool in self.pools for each in pool.findings)

    @property
    def exit_code(self) -> int:
        """0: all is well, 1: there is something to know, 2: something is broken."""
        levels = list(Level)
        return max((levels.index(each.level) for _, each in self.findings), default=0)


def _text(checked: Checked, out: Printer) -> None:
    for pool_id, finding in checked.findings:
        what = f"{pool_id}: {finding.what}" if pool_id else finding.what
        for line in str(finding._replace(what=what)).splitlines():
            out.text(line)


def _json(checked: Checked, out: Printer) -> None:
    findings = [
        {"pool": pool_id or None, **each._asdict(), "level": str(each.level)}
        for pool_id, each in checked.findings
    ]
    out.row(
        {
            "status": _WORDS[checked.exit_code],
            "findings": findings,
            "pools": [each.numbers for each in checked.pools if each.numbers],
        }
    )


def _prometheus(checked: Checked, out: Printer) -> None:
    out.raw("# HELP agentpool_status 0 well, 1 something to know, 2 something is broken")
    out.raw("# TYPE agentpool_status gauge")
    out.raw(f"agentpool_status {checked.exit_code}")
    for name, what in _METRICS.items():
        out.raw(f"# HELP agentpool_{name} {what}")
        out.raw(f"# TYPE agentpool_{name} gauge")
        for pool in checked.pools:
            value = pool.numbers.get(name)
            if value is not None:
                out.raw(f'agentpool_{name}{{pool="{_label(pool.pool_id)}"}} {value}')


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _nagios(checked: Checked, out: Printer) -> None:
    worst = [(pool_id, each) for pool_id, each in checked.findings if each.level is not Level.OK]
    said = "; ".join(f"{f'{pool_id}: ' if pool_id else ''}{each.what}" for pool_id, each in worst)
    measured = " ".join(
        f"'{pool.pool_id.replace(chr(39), '')}.{name}'={pool.numbers[name]}"
        for pool in checked.pools
        for name in _MEASURED
        if pool.numbers.get(name) is not None
    )
    said = (said or f"{len(checked.pools)} pools").replace("|", "/")
    out.text(f"AGENTPOOL {_WORDS[checked.exit_code]} - {said} | {measured}")


FORMATS: Final[dict[str, Callable[[Checked, Printer], None]]] = {
    "text": _text,
    "json": _json,
    "prometheus": _prometheus,
    "nagios": _nagios,
}
