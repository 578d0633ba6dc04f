"""What becomes of rate and latency with more pools, tasks, processes and watchers."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from statistics import median
from typing import Any, Final, TypeVar

from benchmarks import appends, pools_sending, processes, watching
from benchmarks.bench import Bench, run_bounded
from benchmarks.checks import check_log
from benchmarks.figures import Figure, Round, percentile
from benchmarks.workloads import Sent, messages

__all__ = ("run",)

T = TypeVar("T")

_TASKS: Final = 64
_MOST_OF_ONE_TASK: Final = 2_000
_PER_SECOND: Final = 100.0
"""Slow enough for the last of 200 watchers to be done before the next record comes."""


def run(bench: Bench) -> Iterator[Figure]:
    """Measure each at all of its sizes in turns."""
    yield from _pools(bench)
    yield from _tasks(bench)
    yield from _processes(bench)
    yield from _watchers(bench)


def _sweep(bench: Bench, sizes: tuple[int, ...], measure: Callable[[int], T]) -> list[dict[int, T]]:
    return [{size: measure(size) for size in sizes} for _ in bench.rounds(full=3)]


def _figure(
    name: str,
    unit: str,
    found: list[dict[int, float]],
    size: int,
    base: int,
    **settings: Any,
) -> Figure:
    """Compare two sizes; the settings tell of all."""
    return Figure.of(
        name,
        unit,
        [Round(values[size], values[base]) for values in found],
        by_size={str(each): median(values[each] for values in found) for each in found[0]},
        synchronous="FULL",
        **settings,
    )


# --- pools


def _pools(bench: Bench) -> Iterator[Figure]:
    sizes = bench.size((1, 10, 100, 1_000), (1, 10))
    sent = messages(bench.size(16_000, 200))
    found = _sweep(bench, sizes, partial(_append_to_pools, bench, sent))
    yield _figure(
        f"append, {_TASKS} tasks, {sizes[-1]:,} pools",
        "records/s",
        found,
        sizes[-1],
        1,
        against="one pool",
        appends=len(sent),
    )


def _append_to_pools(bench: Bench, sent: list[Sent], pools: int) -> float:
    pool_ids = [f"pool.{number}" for number in range(pools)]
    with bench.fresh_file() as path:
        rate = run_bounded(appends.rate(path, _TASKS, sent, pool_ids))
        for number, pool_id in enumerate(pool_ids):
            check_log(path, (each.message.message_id for each in sent[number::pools]), pool_id)
    return rate


# --- tasks


def _tasks(bench: Bench) -> Iterator[Figure]:
    sizes = bench.size((1, 4, 16, 64, 256, 1_000), (64, 100))
    for name, measure, most in (
        ("append", _append_by_tasks, bench.size(16_000, 200)),
        ("send", _send_by_tasks, bench.size(8_000, 100)),
    ):
        found = _sweep(bench, sizes, partial(measure, bench, messages(most)))
        yield _figure(
            f"{name}, {sizes[-1]:,} tasks",
            "records/s",
            found,
            sizes[-1],
            _TASKS,
            against=f"{_TASKS} tasks",
            messages_at_most=most,
        )


def _share(sent: list[Sent], tasks: int) -> list[Sent]:
    """Take fewer messages for few tasks, which need longer for each."""
    return sent[: tasks * _MOST_OF_ONE_TASK]


def _append_by_tasks(bench: Bench, sent: list[Sent], tasks: int) -> float:
    share = _share(sent, tasks)
    with bench.fresh_file() as path:
        rate = run_bounded(appends.rate(path, tasks, share))
        check_log(path, (each.message.message_id for each in share))
    return rate


def _send_by_tasks(bench: Bench, sent: list[Sent], tasks: int) -> float:
    with bench.fresh_file() as path:
        return run_bounded(pools_sending.rate(path, tasks, _share(sent, tasks)))


# --- processes


def _processes(bench: Bench) -> Iterator[Figure]:
    sizes, most = bench.size((1, 2, 4, 8), (1, 2)), bench.size(16_000, 256)
    found = _sweep(
        bench, sizes, lambda size: processes.measure(bench, size * _TASKS, size, most)[0]
    )
    for size in sizes[1:]:
        yield _figure(
            f"append, {size} processes of {_TASKS} tasks each",
            "records/s",
            found,
            size,
            1,
            against="one process",
            appends=most,
        )


# --- watchers


def _watchers(bench: Bench) -> Iterator[Figure]:
    sizes, records = bench.size((1, 10, 100, 200), (1, 10)), bench.size(200, 20)
    found = _sweep(
        bench,
        sizes,
        lambda size: watching.latencies(bench, watching.write, records, _PER_SECOND, size),
    )
    for size, percent in product(sizes[1:], (50, 99)):
        yield _figure(
            f"watch, the last of {size} at {_PER_SECOND:g} records/s, p{percent}",
            "ms",
            [{each: percentile(times[each], percent) for each in sizes} for times in found],
            size,
            1,
            against="one watcher",
            records=records,
        )
