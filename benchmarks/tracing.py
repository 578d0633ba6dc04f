"""What a send costs where it could be traced and told of, and is neither."""

import gc
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final
from unittest.mock import patch

from agentpool import AgentPool, open_pool
from agentpool.rules.command import Command
from agentpool.runtime.opened import OpenedPool
from benchmarks.bench import Bench, run_bounded
from benchmarks.figures import Figure, Round, at_most
from benchmarks.peers.optional import load, version_of
from benchmarks.pools_sending import MEMBERS, send_all
from benchmarks.workloads import POOL, member, messages

__all__ = ("run",)

_TASKS: Final = 8
_SENDS: Final = 100
_Way = Callable[[], AbstractContextManager[object]]


def run(bench: Bench) -> Iterator[Figure]:
    """Measure the time of the processor in short turns; of each way the quickest turn counts.

    In memory, where a send costs least, and what stands before it most.
    """
    turns = bench.size(30, 2)
    for name, way in _ways().items():
        yield Figure.of(
            f"send in memory, {name}",
            "us",
            [run_bounded(_round(turns, way)) for _ in bench.rounds()],
            against="without the places where it could be",
            target=at_most(1.02),
            tasks=_TASKS,
            sends=_SENDS * turns,
        )


def _ways() -> dict[str, _Way]:
    ways: dict[str, _Way] = {"neither traced nor told of": nullcontext}
    if version_of("opentelemetry-api") is not None:
        ways["instrumented, without a provider"] = _instrumented
    return ways


async def _round(turns: int, way: _Way) -> Round:
    value: list[float] = []
    baseline: list[float] = []
    async with open_pool("memory:", POOL) as pool:
        for number in range(MEMBERS):
            await pool.join_run(member(str(number)))
        for turn in range(turns):
            value.append(await _microseconds(pool, f"value.{turn}", way))
            baseline.append(await _microseconds(pool, f"baseline.{turn}", _without_places))
    return Round(min(value), min(baseline))


async def _microseconds(pool: AgentPool, prefix: str, way: _Way) -> float:
    sent = messages(_SENDS, prefix=prefix)
    gc.collect()  # none of it in the middle
    with way():
        began = time.process_time()
        await send_all(pool, _TASKS, sent)
        return (time.process_time() - began) / _SENDS * 1e6


@contextmanager
def _instrumented() -> Iterator[None]:
    otel = load("agentpool.otel")
    otel.instrument()
    try:
        yield
    finally:
        otel.uninstrument()


def _without_places() -> AbstractContextManager[object]:
    def execute(self: OpenedPool, command: Command[Any]) -> Awaitable[Any]:
        self.refuse_closed()
        return self.store.execute(self.pool_id, command)

    return patch.object(OpenedPool, "execute", execute)
