"""Draw the curves of a report: ``python -m benchmarks.plots figures.json FOLDER``.

Needs matplotlib. The same report makes the same files, byte for byte.
"""

import sys
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, Final, TypeAlias

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator

from benchmarks.figures import Curve
from benchmarks.machine import Machine
from benchmarks.report import Report, from_json, number

__all__ = ("draw",)

_Look: TypeAlias = dict[str, Any]
_Lines: TypeAlias = list[tuple[Curve, _Look]]

_OURS: Final = "agentpool"
_FLOOR: Final = "sqlite3"
# Colours that the colour-blind can tell apart, those of Okabe and Ito for what is ours, and for
# others the muted ones of Paul Tol that are not blue; markers tell them once more.
_COLOURS_OF_CALLS: Final = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#000000",
)
_OUR_LOOK: Final = {"color": "#0072b2", "marker": "o", "linewidth": 3.2, "zorder": 5}
_COLOURS: Final = ("#cc6677", "#117733", "#ddaa33", "#882255", "#44aa99", "#999933", "#aa4499")
_MARKERS: Final = "s^DvPX*<"
_FLOOR_COLOUR: Final = "#8c8c8c"
_FLOOR_STYLES: Final = ("--", ":", "-.")
_OUR_STYLES: Final = ("-", "--")
_GREY: Final = "#595959"
_STYLE: Final = {
    "svg.hashsalt": _OURS,
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _GREY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "xtick.color": _GREY,
    "ytick.color": _GREY,
}
_BOX: Final = (0.08, 0.19, 0.575, 0.655)
_HALF: Final = 0.5
_PLAIN: Final = FuncFormatter(lambda value, _: f"{value:,.10g}")
_LEADER: Final = {"arrowstyle": "-", "relpos": (0, 0.5), "shrinkB": 5, "linewidth": 0.6}
_GAP: Final = 0.066
"""How far apart labels have to be, as a share of the height."""


def draw(report: Report, folder: Path) -> None:
    """Draw each plot that the report has curves for, as an SVG file of its name."""
    styles = _styles(report.curves)
    for name, plot in _PLOTS.items():
        lines = [(curve, styles[curve.label]) for curve in report.curves if curve.plot == name]
        if lines:
            with rc_context(_STYLE):
                drawing = Drawing(figsize=(9.4, 4.7), facecolor="white")
                axes = drawing.add_axes(_BOX)
                plot(axes, lines)
                axes.xaxis.set_major_formatter(_PLAIN)
                axes.minorticks_off()
                _footnote(drawing, report)
                drawing.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})


# --- the plots


def _rate(axes: Axes, lines: _Lines) -> None:
    remark = "each is on the disk before it is acknowledged; more is better"
    _titles(axes, "Appends per second", remark, "tasks that append at once")
    axes.set(xscale="log", yscale="log")
    for curve, look in lines:
        axes.plot(curve.x, curve.y, **look)
    numbers = {x for curve, _ in lines for x in curve.x}
    axes.xaxis.set_major_locator(FixedLocator(sorted(numbers)))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.yaxis.set_major_formatter(_PLAIN)
    _label_ends(axes, lines)


def _growth(axes: Axes, lines: _Lines) -> None:
    remark = "microseconds, median of warm calls one after the other; flat is best"
    _titles(axes, "Time of a call while the log grows", remark, "records in the pool")
    axes.set_xscale("log")
    for curve, look in lines:
        axes.plot(curve.x, curve.y, **look)
    axes.set_ylim(0, 1.1 * max(y for curve, _ in lines for y in curve.y))
    axes.yaxis.set_major_formatter(_PLAIN)
    _label_ends(axes, lines)


def _wake(axes: Axes, lines: _Lines) -> None:
    title = "How soon a consumer in another process has the message"
    remark = (
        "share of all messages; further left is better; embedded peers have nothing to wait on:"
        " polled every 10 ms"
    )
    _titles(axes, title, remark, "milliseconds")
    axes.set_xscale("log")
    for curve, look in sorted(lines, key=lambda line: _median(line[0])):
        label = f"{number(_median(curve))} ms  {curve.label}".replace(", ", ",\n")
        axes.plot(curve.x, curve.y, markevery=[bisect_left(curve.y, _HALF)], label=label, **look)
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.0%}"))
    axes.legend(
        title="median",
        alignment="left",
        handlelength=1.6,
        loc="upper left",
        bbox_to_anchor=(1, 1.04),
        frameon=False,
    )


_PLOTS: Final[dict[str, Callable[[Axes, _Lines], None]]] = {
    "rate": _rate,
    "growth": _growth,
    "wake": _wake,
}


def _median(curve: Curve) -> float:
    return curve.x[bisect_left(curve.y, _HALF)]


# --- what they share


def _styles(curves: Iterable[Curve]) -> dict[str, _Look]:
    """Give each label its look; a peer looks the same in all plots, whatever its settings."""
    calls = [curve.label for curve in curves if curve.plot == "growth"]
    labels = sorted({curve.label for curve in curves if curve.plot != "growth"})
    floors = [label for label in labels if label.startswith(_FLOOR)]
    ours = [label for label in labels if label.startswith(_OURS)]
    peers = [label for label in labels if not label.startswith((_OURS, _FLOOR))]
    names = dict.fromkeys(map(_name, peers))
    of_name = _looks(names, _COLOURS, _MARKERS)
    return {
        **_looks(calls, _COLOURS_OF_CALLS, "o" + _MARKERS),
        **{label: of_name[_name(label)] for label in peers},
        **{
            label: {"color": _FLOOR_COLOUR, "linestyle": style, "linewidth": 1.6}
            for label, style in zip(floors, cycle(_FLOOR_STYLES), strict=False)
        },
        **{
            label: {**_OUR_LOOK, "linestyle": style}
            for label, style in zip(ours, cycle(_OUR_STYLES), strict=False)
        },
    }


def _name(label: str) -> str:
    return label.partition(",")[0]


def _looks(names: Iterable[str], colours: Sequence[str], markers: str) -> dict[str, _Look]:
    return {
        name: {"color": colour, "marker": marker, "markersize": 5, "linewidth": 1.6}
        for name, colour, marker in zip(names, cycle(colours), cycle(markers), strict=False)
    }


def _titles(axes: Axes, title: str, remark: str, x: str) -> None:
    axes.text(0, 1.135, title, transform=axes.transAxes, fontsize=12.5, fontweight="bold")
    axes.text(0, 1.055, remark, transform=axes.transAxes, color=_GREY)
    axes.set_xlabel(x, color=_GREY)


def _label_ends(axes: Axes, lines: _Lines) -> None:
    """Write each label beside the end of its line, and none over another."""
    axes.autoscale_view()
    to_share = axes.transScale + axes.transLimits
    ends = [(to_share.transform((curve.x[-1], curve.y[-1])), curve, look) for curve, look in lines]
    ends.sort(key=lambda end: float(end[0][1]))
    for (end, curve, look), place in zip(ends, _spread([end[1] for end, *_ in ends]), strict=True):
        axes.annotate(
            curve.label,
            xy=end,
            xytext=(1.04, place),
            xycoords="axes fraction",
            va="center",
            color=look["color"],
            fontweight="bold" if curve.label.startswith(_OURS) else "normal",
            arrowprops=_LEADER | {"color": look["color"]},
        )


def _spread(places: Sequence[float]) -> list[float]:
    """Move ascending places apart, little by little, each as far as its neighbour."""
    spread = list(places)
    for _ in range(100):
        for i in range(1, len(spread)):
            lacking = max(0.0, _GAP - (spread[i] - spread[i - 1]))
            spread[i - 1] -= lacking / 2
            spread[i] += lacking / 2
    return spread


def _footnote(drawing: Drawing, report: Report) -> None:
    lines = [_setting(report.machine)]
    if report.quick:
        lines.append("A quick run, too small to mean anything.")
    drawing.text(0.012, 0.02, "\n".join(lines), color=_GREY, fontsize=7.5, linespacing=1.4)


def _setting(machine: Machine) -> str:
    version = machine.packages["agentpool-store"]
    return (
        f"synchronous=FULL · {machine.processor}, {machine.cores} cores, {machine.file_system},"
        f" fdatasync {machine.fdatasync_us:.0f} µs · {machine.python},"
        f" SQLite {machine.sqlite}, agentpool {version}"
    )


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    draw(from_json(source.read_bytes()), target)
