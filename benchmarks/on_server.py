"""The store on a PostgreSQL server, against what one would write by hand there, and others."""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from benchmarks.bench import Bench
from benchmarks.children import run_together
from benchmarks.figures import Figure, Found, Peer, Round, Target, at_least, at_most, percentile
from benchmarks.peers import jobs
from benchmarks.peers.on_postgres import (
    ByHand,
    ByHandNotifying,
    DbosOnServer,
    OnServer,
    Ours,
    OursByInbox,
    Procrastinate,
    Sixteen,
)
from benchmarks.peers.postgres import missing_server, server

__all__ = ("run",)

_MANY: Final = 64
_TASKS: Final = (1, _MANY)
_NAME: Final = "on a PostgreSQL server"
_Kind: TypeAlias = type[OnServer]
_Rates: TypeAlias = dict[_Kind, dict[int, float]]
"""Records per second of each contender, by the number of tasks."""

_OURS: Final[dict[_Kind, str]] = {Ours: "record", OursByInbox: "send"}
_TARGETS: Final[dict[_Kind, dict[int, float]]] = {
    ByHand: {_MANY: 3.0, 1: 0.4},
    Sixteen: {_MANY: 2.0},
    DbosOnServer: {_MANY: 5.0},
    Procrastinate: {_MANY: 5.0},
}
"""Whom we are measured against, with how many tasks, and how many times as fast we are to be."""

_WAKES: Final[tuple[tuple[str, _Kind, Target], ...]] = (
    ("watch", Ours, at_most(1.5)),
    ("inbox", OursByInbox, at_most(2.0)),
)


def run(bench: Bench) -> Iterator[Found]:
    """Measure on one server, in turns; without one, say so."""
    missing = missing_server()
    if missing is not None:
        yield _left_out(_NAME, missing)
        return
    with server(bench.directory) as url:
        yield from _appends(bench, url)
        yield from _wake_ups(bench, url)


def _left_out(name: str, reason: str) -> Peer:
    print(f"  without {name}: {reason}", file=sys.stderr, flush=True)
    return Peer(name=name, left_out=reason)


def _appends(bench: Bench, url: str) -> Iterator[Found]:
    here: list[_Kind] = []
    for kind in _TARGETS:
        other = kind()
        if (missing := other.missing()) is not None:
            yield _left_out(other.name, missing)
            continue
        here.append(kind)
        yield Peer(name=other.name, version=other.version(), settings=other.settings)
    load = jobs.Load(_TASKS, bench.size(1.0, 0.02))
    rounds: list[_Rates] = [
        {kind: _rates(bench, _at(kind, url), load) for kind in (*_OURS, *here)}
        for _ in bench.rounds(full=3)
    ]
    for kind in here:
        yield from _figures(kind, rounds)


def _figures(kind: _Kind, rounds: list[_Rates]) -> Iterator[Figure]:
    for ours, what in _OURS.items():
        for tasks, bound in _TARGETS[kind].items():
            yield Figure.of(
                f"{what}, {tasks} tasks, {_NAME}, against {kind.name}",
                "records/s",
                [Round(each[ours][tasks], each[kind][tasks]) for each in rounds],
                against=kind.name,
                target=at_least(bound),
            )


def _rates(bench: Bench, contender: OnServer, load: jobs.Load) -> dict[int, float]:
    with bench.fresh_folder() as folder:
        [rates] = run_together(partial(jobs.run_appends, contender, folder, load))
    return dict(rates)


def _wake_ups(bench: Bench, url: str) -> Iterator[Figure]:
    by_hand = _at(ByHandNotifying, url)
    for what, ours, target in _WAKES:
        yield Figure.of(
            f"wake-up, p50, {what}, {_NAME}, against LISTEN by hand",
            "ms",
            [
                Round(_wait(bench, _at(ours, url)), _wait(bench, by_hand))
                for _ in bench.rounds(full=3)
            ],
            against=by_hand.settings,
            target=target,
        )


def _wait(bench: Bench, contender: OnServer) -> float:
    """Give, in milliseconds, how long after its append began a message was there, as a rule."""
    count = bench.size(150, 10)
    with contender.running(Path()) as place:
        began, arrived = run_together(
            partial(jobs.write, contender, place, count),
            partial(jobs.follow, contender, place, count),
        )
    return percentile([(end - start) / 1e6 for start, end in zip(began, arrived, strict=True)], 50)


def _at(kind: _Kind, url: str) -> OnServer:
    contender = kind()
    contender.url = url
    return contender
