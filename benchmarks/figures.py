"""What a benchmark gives back: figures, each with its baseline, its target and its rounds."""

from collections.abc import Callable, Iterable, Sequence
from math import ceil
from statistics import median
from typing import Any, Literal, Self, TypeAlias

import msgspec

__all__ = (
    "Curve",
    "Figure",
    "Found",
    "Peer",
    "Round",
    "Target",
    "Violation",
    "at_least",
    "at_most",
    "percentile",
)


class Violation(Exception):  # noqa: N818  # not an error of the store's user
    """The store broke a promise while it was measured; no figure is worth anything then."""


class Round(msgspec.Struct, frozen=True):
    """One measurement and the baseline that was taken right beside it."""

    value: float
    baseline: float | None = None

    @property
    def ratio(self) -> float | None:
        """Say how many times the baseline the value is."""
        return self.value / self.baseline if self.baseline else None


class Target(msgspec.Struct, frozen=True):
    """A bound on the value, or on its ratio to the baseline."""

    of: Literal["value", "ratio"]
    relation: Literal["at least", "at most"]
    bound: float

    def met(self, value: float, ratio: float | None) -> bool:
        """Say whether a figure keeps to the bound."""
        found = value if self.of == "value" else ratio
        if found is None:
            return False
        return found >= self.bound if self.relation == "at least" else found <= self.bound


def at_least(bound: float, of: Literal["value", "ratio"] = "ratio") -> Target:
    """Ask for no less."""
    return Target(of, "at least", bound)


def at_most(bound: float, of: Literal["value", "ratio"] = "ratio") -> Target:
    """Ask for no more."""
    return Target(of, "at most", bound)


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the report. ``against`` says in words what the baseline is."""

    name: str
    unit: str
    settings: dict[str, Any]
    value: float
    against: str
    baseline: float | None
    ratio: float | None
    target: Target | None
    met: bool | None
    rounds: tuple[Round, ...]

    @classmethod
    def of(
        cls,
        name: str,
        unit: str,
        rounds: Iterable[Round],
        *,
        against: str = "",
        target: Target | None = None,
        summary: Callable[[Sequence[float]], float] = median,
        **settings: Any,
    ) -> Self:
        """Sum rounds up. The ratio is that of the rounds, because the machine drifts in between.

        :param summary: makes one number of those of all rounds
        """
        rounds = tuple(rounds)
        value = summary([each.value for each in rounds])
        baselines = [each.baseline for each in rounds if each.baseline is not None]
        ratios = [each.ratio for each in rounds if each.ratio is not None]
        ratio = summary(ratios) if ratios else None
        return cls(
            name=name,
            unit=unit,
            settings=settings,
            value=value,
            against=against,
            baseline=summary(baselines) if baselines else None,
            ratio=ratio,
            target=target,
            met=target.met(value, ratio) if target else None,
            rounds=rounds,
        )


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a plot.

    :ivar plot: which plot it belongs to: ``rate``, appends/s over tasks; ``growth``, microseconds
        over records; ``wake``, the share (0 to 1) that came within so many milliseconds
    :ivar label: whose it is, and after a comma at which settings
    """

    plot: Literal["rate", "growth", "wake"]
    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody to be measured against: at which version and settings, or why not."""

    name: str
    version: str = ""
    settings: str = ""
    left_out: str = ""


Found: TypeAlias = Figure | Curve | Peer
"""What a benchmark yields."""


def percentile(values: Sequence[float], percent: float) -> float:
    """Give the value that this share of the values does not exceed (nearest rank)."""
    return sorted(values)[ceil(len(values) * percent / 100) - 1]
