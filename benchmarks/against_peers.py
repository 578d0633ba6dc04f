"""What one would use instead, doing the same job: appends, wake-up, replay. See peers/."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from benchmarks.bench import Bench
from benchmarks.children import run_together
from benchmarks.figures import (
    Curve,
    Figure,
    Found,
    Peer,
    Round,
    Target,
    at_least,
    at_most,
    percentile,
)
from benchmarks.peers import jobs
from benchmarks.peers.by_hand import BATCH, ByHand, ByHandEagerly, batched_rate
from benchmarks.peers.contender import POLL, Contender
from benchmarks.peers.dbos import Dbos
from benchmarks.peers.eventsourcing import EventSourcing
from benchmarks.peers.langgraph import LangGraph
from benchmarks.peers.litequeue import LiteQueue
from benchmarks.peers.nats import JetStream
from benchmarks.peers.ours import Ours, OursByInbox
from benchmarks.peers.persistqueue import PersistQueue
from benchmarks.peers.redis import RedisStreams

__all__ = ("run",)

OURS: Final = Ours()
REDIS: Final = RedisStreams()
CONTENDERS: Final[tuple[Contender, ...]] = (
    OURS,
    OursByInbox(),
    ByHand(),
    ByHandEagerly(),
    Dbos(),
    EventSourcing(),
    LangGraph(),
    LiteQueue(),
    PersistQueue(),
    REDIS,
    JetStream(),
)
NEVER_TRIED: Final = {
    "honker": "its package has no wheel, and builds only with the Rust crates that it needs at hand"
}
_MANY: Final = 64
_PERCENTS: Final = (*range(1, 100), 99.9)


@dataclass
class _Found:
    """What was measured of one contender in each round.

    :ivar appends: records per second, by the number of tasks
    :ivar replay: records per second
    :ivar waits: milliseconds until each message was there
    """

    appends: list[dict[int, float]] = field(default_factory=list)
    replay: list[float] = field(default_factory=list)
    waits: list[list[float]] = field(default_factory=list)


class _Question(NamedTuple):
    """What is asked of all, and what is wanted of us beside the best embedded peer, and Redis."""

    name: str
    unit: str
    answers: Callable[[_Found], list[float]]
    best: Callable[[Sequence[float]], float]
    than_best: Target | None = None
    than_redis: Target | None = None


def run(bench: Bench) -> Iterator[Found]:
    """Measure all that are here, in turns."""
    race = _Race(bench)
    race.run()
    for question in _questions(race.messages):
        yield from _figures(question, race.found)
    batched = map(Round, _rates_at(_MANY, race.found[OURS]), race.batched)
    yield Figure.of(_name(_APPENDS, _BATCHED), "records/s", batched, against=_BATCHED)
    yield from _curves(race)
    for each in race.found:
        yield Peer(name=each.name, version=each.version(), settings=each.settings)
    yield from race.left_out


class _Race:
    """The measurements, and who could not take part in them."""

    def __init__(self, bench: Bench) -> None:
        self.found: dict[Contender, _Found] = {}
        self.left_out: list[Peer] = []
        self.batched: list[float] = []
        self.messages = bench.size(10_000, 200)
        self.tasks = bench.size((1, 4, 16, _MANY, 256), (1, _MANY))
        self._bench = bench
        self._filled: dict[Contender, Path] = {}
        self._seconds = bench.size(0.6, 0.02)

    def run(self) -> None:
        for name, reason in NEVER_TRIED.items():
            self._leave_out(name, reason)
        with ExitStack() as folders:
            for contender in CONTENDERS:
                self._filled[contender] = folders.enter_context(self._bench.fresh_folder())
                missing = contender.missing()
                if missing is None:
                    self._attempt(self._prepare, contender)
                else:
                    self._leave_out(contender.name, missing)
            for _ in self._bench.rounds(full=3):
                self._batch()
                for contender in list(self.found):
                    self._attempt(self._round, contender)

    def _attempt(self, step: Callable[[Contender], None], contender: Contender) -> None:
        try:
            step(contender)
        except Exception as error:  # whatever a peer comes up with, the others are measured
            if contender.kind in {"ours", "floor"}:
                raise
            self.found.pop(contender, None)
            self._leave_out(contender.name, f"it failed: {type(error).__name__}: {error}")

    def _leave_out(self, name: str, reason: str) -> None:
        print(f"  without {name}: {reason}", file=sys.stderr, flush=True)
        self.left_out.append(Peer(name=name, left_out=reason))

    def _prepare(self, contender: Contender) -> None:
        if not contender.wakes_only:
            with self._bench.fresh_folder() as folder:
                filled = self._filled[contender]
                run_together(partial(jobs.prepare, contender, folder, filled, self.messages))
        self.found[contender] = _Found()

    def _round(self, contender: Contender) -> None:
        found = self.found[contender]
        if not contender.wakes_only:
            with self._bench.fresh_folder() as folder:
                load, filled = jobs.Load(self.tasks, self._seconds), self._filled[contender]
                (pace,) = run_together(partial(jobs.run_pace, contender, folder, filled, load))
            found.appends.append(pace.appends)
            found.replay.append(pace.replay)
        found.waits.append(self._waits(contender))

    def _waits(self, contender: Contender) -> list[float]:
        """Give, in milliseconds, how long after its append began each message was there."""
        count = self._bench.size(150, 10)
        with self._bench.fresh_folder() as folder, contender.running(folder) as place:
            began, arrived = run_together(
                partial(jobs.write, contender, place, count),
                partial(jobs.follow, contender, place, count),
            )
        return [(end - start) / 1e6 for start, end in zip(began, arrived, strict=True)]

    def _batch(self) -> None:
        with self._bench.fresh_folder() as folder:
            self.batched.append(batched_rate(folder, self._bench.size(10, 1)))


# --- what they say

_APPENDS: Final = f"append, {_MANY} tasks"
_BATCHED: Final = f"sqlite3, {BATCH:,} rows a commit"


def _questions(messages: int) -> Iterator[_Question]:
    rate = "records/s"
    yield _Question(_APPENDS, rate, partial(_rates_at, _MANY), max, than_best=at_least(10.0))
    yield _Question("append, 1 task", rate, partial(_rates_at, 1), max)
    for percent in (50, 99):
        yield _Question(
            f"wake-up, p{percent}",
            "ms",
            partial(_waits_at, percent),
            min,
            *((at_most(1.0), at_most(2.0)) if percent == 50 else ()),  # noqa: PLR2004
        )
    yield _Question(f"replay of {messages:,}", rate, lambda found: found.replay, max)


def _rates_at(tasks: int, found: _Found) -> list[float]:
    return [rates[tasks] for rates in found.appends]


def _waits_at(percent: float, found: _Found) -> list[float]:
    return [percentile(waits, percent) for waits in found.waits]


def _figures(question: _Question, found: dict[Contender, _Found]) -> Iterator[Figure]:
    answers = {contender: question.answers(each) for contender, each in found.items()}
    ours = answers.pop(OURS)
    yield from _beside_the_best(question, ours, answers)
    for contender, theirs in answers.items():
        if theirs:
            yield Figure.of(
                _name(question.name, contender.name),
                question.unit,
                map(Round, ours, theirs),
                against=contender.name,
                target=question.than_redis if contender is REDIS else None,
            )


def _beside_the_best(
    question: _Question, ours: list[float], answers: dict[Contender, list[float]]
) -> Iterator[Figure]:
    peers = {each.name: theirs for each, theirs in answers.items() if each.kind == "embedded"}
    if peers and question.than_best:
        bests = [question.best(of_round) for of_round in zip(*peers.values(), strict=True)]
        against = "the best embedded peer"
        yield Figure.of(
            _name(question.name, against),
            question.unit,
            map(Round, ours, bests),
            against=against,
            target=question.than_best,
            peers=list(peers),
            poll_ms=POLL * 1e3,
        )


def _name(question: str, against: str) -> str:
    return f"{question}, against {against}"


def _curves(race: _Race) -> Iterator[Curve]:
    tasks = tuple(race.tasks)
    for contender, found in race.found.items():
        if found.appends:
            rates = tuple(median(_rates_at(number, found)) for number in tasks)
            yield Curve(plot="rate", label=contender.name, x=tasks, y=rates)
        waits = [each for of_round in found.waits for each in of_round]
        percentiles = tuple(percentile(waits, percent) for percent in _PERCENTS)
        shares = tuple(percent / 100 for percent in _PERCENTS)
        yield Curve(plot="wake", label=contender.name, x=percentiles, y=shares)
    floor = (median(race.batched),) * len(tasks)
    yield Curve(plot="rate", label=_BATCHED, x=tasks, y=floor)
