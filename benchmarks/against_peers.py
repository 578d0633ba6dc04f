"""What one would use instead, doing the same job: appends, wake-up, replay. See peers/."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.bench import Bench
from benchmarks.children import run_together
from benchmarks.figures import Curve, Figure, Round, Target, at_least, at_most, percentile
from benchmarks.peers import jobs
from benchmarks.peers.by_hand import BATCH, ByHand, ByHandEagerly, batched_rate
from benchmarks.peers.contender import Contender
from benchmarks.peers.dbos import Dbos
from benchmarks.peers.eventsourcing import EventSourcing
from benchmarks.peers.langgraph import LangGraph
from benchmarks.peers.litequeue import LiteQueue
from benchmarks.peers.nats import JetStream
from benchmarks.peers.ours import Ours
from benchmarks.peers.persistqueue import PersistQueue
from benchmarks.peers.redis import RedisStreams

__all__ = ("run",)

OURS: Final = Ours()
REDIS: Final = RedisStreams()
CONTENDERS: Final[tuple[Contender, ...]] = (
    OURS,
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
    "honker": "no wheel to install where this was written, and what never ran is not measured"
}
_TASKS: Final = (64, 1)
_PERCENTS: Final = (*range(1, 100), 99.9)


@dataclass
class _Found:
    """What was measured of one contender: a value, or a list of waits in ms, for each round."""

    overview: list[float]
    many: list[float] = field(default_factory=list)
    one: list[float] = field(default_factory=list)
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


def run(bench: Bench) -> Iterator[Figure | Curve]:
    """Measure all that are here, in turns."""
    race = _Race(bench)
    race.run()
    for question in _questions(race.messages):
        yield from _figures(question, race.found)
    batched = [Round(ours, rows) for ours, rows in zip(race.ours.many, race.batched, strict=True)]
    against = f"sqlite3, {BATCH:,} rows a commit"
    yield Figure.of(_name(_APPENDS, against), "records/s", batched, against=against)
    yield Figure.of("peers left out", "peers", [Round(len(race.left_out))], **race.left_out)
    yield from _curves(race)


class _Race:
    """The measurements, and who could not take part in them."""

    def __init__(self, bench: Bench) -> None:
        self.found: dict[Contender, _Found] = {}
        self.left_out: dict[str, Any] = {}
        self.batched: list[float] = []
        self.messages = bench.size(10_000, 200)
        self.tasks = bench.size((1, 4, 16, 64, 256), (1, 4))
        self._bench = bench
        self._filled: dict[Contender, Path] = {}
        self._seconds = bench.size(1.0, 0.02)

    @property
    def ours(self) -> _Found:
        return self.found[OURS]

    def run(self) -> None:
        for name, reason in NEVER_TRIED.items():
            self._leave_out(name, reason)
        with ExitStack() as folders:
            for contender in CONTENDERS:
                self._filled[contender] = folders.enter_context(_folder(self._bench))
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
        self.left_out[name] = reason

    def _prepare(self, contender: Contender) -> None:
        if contender.wakes_only:
            self.found[contender] = _Found([])
            return
        with _folder(self._bench) as folder:
            load = jobs.Load(self.tasks, self._seconds / 3)
            filled = self._filled[contender]
            (overview,) = run_together(
                partial(jobs.prepare, contender, folder, filled, self.messages, load)
            )
        self.found[contender] = _Found(overview)

    def _round(self, contender: Contender) -> None:
        found = self.found[contender]
        if not contender.wakes_only:
            with _folder(self._bench) as folder:
                load, filled = jobs.Load(_TASKS, self._seconds), self._filled[contender]
                (pace,) = run_together(partial(jobs.run_pace, contender, folder, filled, load))
            many, one = pace.appends
            found.many.append(many)
            found.one.append(one)
            found.replay.append(pace.replay)
        found.waits.append(self._waits(contender))

    def _waits(self, contender: Contender) -> list[float]:
        """Give, in milliseconds, how long after its append began each message was there."""
        count = self._bench.size(150, 10)
        with _folder(self._bench) as folder, contender.running(folder) as place:
            began, arrived = run_together(
                partial(jobs.write, contender, place, count),
                partial(jobs.follow, contender, place, count),
            )
        return [(end - start) / 1e6 for start, end in zip(began, arrived, strict=True)]

    def _batch(self) -> None:
        with _folder(self._bench) as folder:
            self.batched.append(batched_rate(folder, self._bench.size(10, 1)))


@contextmanager
def _folder(bench: Bench) -> Iterator[Path]:
    with bench.fresh_file() as path:
        yield path.parent


# --- what they say

_APPENDS: Final = f"append, {_TASKS[0]} tasks"


def _questions(messages: int) -> Iterator[_Question]:
    rate = "records/s"
    yield _Question(_APPENDS, rate, lambda found: found.many, max, than_best=at_least(10.0))
    yield _Question("append, 1 task", rate, lambda found: found.one, max)
    for percent in (50, 99):
        yield _Question(
            f"wake-up, p{percent}",
            "ms",
            partial(_waits_at, percent),
            min,
            *((at_most(1.0), at_most(2.0)) if percent == 50 else ()),  # noqa: PLR2004
        )
    yield _Question(f"replay of {messages:,}", rate, lambda found: found.replay, max)


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
                version=contender.version(),
                theirs=contender.settings,
                ours=OURS.settings,
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
        )


def _name(question: str, against: str) -> str:
    return f"{question}, against {against}"


def _curves(race: _Race) -> Iterator[Curve]:
    tasks = tuple(map(float, race.tasks))
    for contender, found in race.found.items():
        if found.overview:
            yield _curve("rate", contender.name, tasks, found.overview)
        waits = [each for of_round in found.waits for each in of_round]
        percentiles = [percentile(waits, percent) for percent in _PERCENTS]
        yield _curve("wake", contender.name, percentiles, [each / 100 for each in _PERCENTS])
    batched = max(race.batched)
    yield _curve("rate", f"sqlite3, {BATCH:,} rows a commit", tasks, [batched] * len(tasks))


def _curve(plot: Any, label: str, x: Sequence[float], y: Sequence[float]) -> Curve:
    return Curve(plot=plot, label=label, x=tuple(x), y=tuple(y))
