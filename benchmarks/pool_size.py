"""Whether a call costs more in a long log than in a short one: warm, and right after opening."""

import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, Final

from agentpool import AgentPoolStore, SqliteAgentPoolStore
from benchmarks.bench import Bench, run_bounded
from benchmarks.checks import expect
from benchmarks.figures import Figure, Round, at_most
from benchmarks.workloads import POOL, exchange_names, member, message

__all__ = ("CALLS", "Pool", "run")

_SMALL: Final = 100
_TARGET: Final = at_most(1.3)
_WARM_UP: Final = 3

_numbers = count()


def run(bench: Bench) -> Iterator[Figure]:
    """Measure each call in turns in both pools, which lie in files of their own."""
    large = bench.size(100_000, 1_000)
    rounds: dict[str, list[Round]] = {f"{name}, {when}": [] for when in _WHEN for name in CALLS}
    for _ in bench.rounds():
        for when, measure in _WHEN.items():
            with bench.filled_file(_SMALL) as short, bench.filled_file(large) as long:
                # Few calls, so that the short log stays short.
                pools = (Pool(long, large), Pool(short, _SMALL))
                for name, round_ in run_bounded(measure(pools, bench.size(25, 5))).items():
                    rounds[f"{name}, {when}"].append(round_)
    for name, each in rounds.items():
        yield Figure.of(
            name,
            "us",
            each,
            against=f"in a pool of {_SMALL} records",
            target=_TARGET,
            records=large,
            baseline_records=_SMALL,
            synchronous="FULL",
        )


class Pool:
    """A filled pool, what is known to be in it, and one timed call after another on it."""

    def __init__(self, path: Path, records: int) -> None:
        self.path = path
        self._random = Random(records)
        self._names = list(exchange_names(records))

    async def time(self, store: AgentPoolStore, name: str) -> float:
        """Time one call, in microseconds."""
        call = CALLS[name](store, self._random.choice(self._names))
        start = time.perf_counter()
        found = await call
        taken = time.perf_counter() - start
        expect(found is not None, f"{name} did not find what is in the log")
        if name == "join_member":
            await store.leave_member(POOL, _guest(next(_numbers) - 1).run_id)
        return taken * 1e6


def _guest(number: int) -> Any:
    return member(f"guest.{number}")


# Each makes its arguments first; only the awaiting is timed.
CALLS: Final[dict[str, Callable[[AgentPoolStore, str], Awaitable[Any]]]] = {
    "record_message": lambda store, _: store.record_message(
        POOL, *message(f"new.{next(_numbers):06}")
    ),
    "message_receipt": lambda store, name: store.message_receipt(POOL, f"key.{name}.b"),
    "wake": lambda store, name: store.wake(POOL, f"wake.{name}"),
    "join_member": lambda store, _: store.join_member(POOL, _guest(next(_numbers))),
    "next_event_sequence": lambda store, _: store.next_event_sequence(POOL),
}


async def _warm(pools: tuple[Pool, Pool], calls: int) -> dict[str, Round]:
    large, small = pools
    async with (
        SqliteAgentPoolStore.open(large.path) as in_large,
        SqliteAgentPoolStore.open(small.path) as in_small,
    ):
        found = {}
        for name in CALLS:
            pairs = [
                (await large.time(in_large, name), await small.time(in_small, name))
                for _ in range(_WARM_UP + calls)
            ]
            found[name] = _round(pairs[_WARM_UP:])
        return found


async def _after_opening(pools: tuple[Pool, Pool], calls: int) -> dict[str, Round]:
    found = {}
    for name in CALLS:
        pairs = []
        for _ in range(calls):
            times = []
            for pool in pools:
                async with SqliteAgentPoolStore.open(pool.path) as store:
                    times.append(await pool.time(store, name))
            pairs.append((times[0], times[1]))
        found[name] = _round(pairs)
    return found


def _round(pairs: list[tuple[float, float]]) -> Round:
    return Round(median(pair[0] for pair in pairs), median(pair[1] for pair in pairs))


_WHEN: Final = {"warm": _warm, "right after opening": _after_opening}
