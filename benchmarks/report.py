"""A run as a table for people, on a screen or in Markdown, and as JSON for programs."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from benchmarks.figures import Curve, Figure, Found, Peer, Target
from benchmarks.machine import Machine, is_memory

__all__ = ("Report", "as_json", "as_markdown", "as_table", "from_json", "number")

_HEADINGS = ("figure", "value", "unit", "baseline", "ratio", "target", "met", "against")
_TENTH, _TEN, _HUNDRED = 0.1, 10, 100
_RATE = "records/s"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that one run has to say. ``failed`` names the benchmarks that crashed."""

    finished_at: datetime
    quick: bool
    machine: Machine
    figures: tuple[Figure, ...]
    curves: tuple[Curve, ...]
    failed: tuple[str, ...]
    peers: tuple[Peer, ...] = ()

    @classmethod
    def now(
        cls,
        machine: Machine,
        found: Iterable[Found],
        failed: Iterable[str],
        *,
        quick: bool,
    ) -> "Report":
        """Close a run."""
        found = tuple(found)
        return cls(
            finished_at=datetime.now(UTC),
            quick=quick,
            machine=machine,
            figures=tuple(each for each in found if isinstance(each, Figure)),
            curves=tuple(each for each in found if isinstance(each, Curve)),
            failed=tuple(failed),
            peers=tuple(each for each in found if isinstance(each, Peer)),
        )


def as_json(report: Report) -> str:
    """Write everything, the rounds too."""
    return msgspec.json.format(msgspec.json.encode(report)).decode()


def from_json(text: str | bytes) -> Report:
    """Read what `as_json` wrote."""
    return msgspec.json.decode(text, type=Report)


def as_table(report: Report) -> str:
    """Write what fits on a screen."""
    rows = [_HEADINGS, *(_row(figure) for figure in report.figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    table = [_line(row, widths) for row in rows]
    return "\n".join([*_about(report), "", *table, "", *map(_peer, report.peers)]).rstrip()


def as_markdown(report: Report) -> str:
    """Write the table that a README shows, and what it means nothing without."""
    table = ["| figure | measured | baseline | ratio | target | |", "|---|---|---|---|---|---|"]
    table += [f"| {' | '.join(_cells(figure))} |" for figure in report.figures]
    about, peers = (
        [f"- {line}" for line in lines] for lines in (_about(report), map(_peer, report.peers))
    )
    return "\n".join([*about, "", *table, "", *peers]).rstrip()


def _about(report: Report) -> Iterable[str]:
    machine = report.machine
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    yield f"{machine.processor}, {machine.cores} cores, {machine.system}"
    yield (
        f"{machine.file_system}, fdatasync of a page {machine.fdatasync_us:.0f} us,"
        f" load at start {machine.load_at_start:.1f}"
    )
    yield f"{machine.python}, SQLite {machine.sqlite}, {packages}"
    if report.quick:
        yield "quick: too small to mean anything; it shows that the benchmarks run"
    if is_memory(machine):
        yield "the files are in memory: nothing here is durable, so nothing here is comparable"
    if report.failed:
        yield f"FAILED: {', '.join(report.failed)}"


def _peer(peer: Peer) -> str:
    if peer.left_out:
        return f"left out: {peer.name}: {peer.left_out}"
    return f"{peer.name} {peer.version}: {peer.settings}"


def _row(figure: Figure) -> tuple[str, ...]:
    return (
        figure.name,
        number(figure.value),
        figure.unit,
        number(figure.baseline),
        number(figure.ratio),
        _target(figure.target),
        {True: "yes", False: "NO", None: ""}[figure.met],
        figure.against,
    )


def _cells(figure: Figure) -> tuple[str, ...]:
    return (
        figure.name,
        _measure(figure.value, figure.unit),
        _measure(figure.baseline, figure.unit),
        number(figure.ratio),
        _bound(figure.target, figure.unit),
        {True: "met", False: "**missed**", None: ""}[figure.met],
    )


def _measure(value: float | None, unit: str) -> str:
    if value is None:
        return "\N{EN DASH}"
    return f"{value:,.0f}/s" if unit == _RATE else f"{number(value)} {unit}"


def _bound(target: Target | None, unit: str) -> str:
    if target is None:
        return ""
    sign = "≥" if target.relation == "at least" else "≤"
    if target.of == "ratio":
        return f"{sign} {target.bound:g}\N{MULTIPLICATION SIGN}"
    return f"{sign} {target.bound:,.0f}/s" if unit == _RATE else f"{sign} {target.bound:g} {unit}"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _target(target: Target | None) -> str:
    if target is None:
        return ""
    sign = ">=" if target.relation == "at least" else "<="
    return f"{target.of} {sign} {target.bound:g}"


def number(value: float | None) -> str:
    """Write a number with two or three digits, or all that are before the point."""
    if value is None:
        return ""
    if value == 0 or abs(value) >= _HUNDRED:
        return f"{value:,.0f}"
    if abs(value) < _TENTH:
        return f"{value:.2g}"
    return f"{value:.1f}" if abs(value) >= _TEN else f"{value:.2f}"
