"""Real processes that begin at one moment, and tell what went wrong in them."""

import faulthandler
import logging
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier
from threading import BrokenBarrierError
from typing import Any, Final

from benchmarks.bench import LONGEST

__all__ = ("pipe", "run_together", "wait_for_all")

_CONTEXT: Final = multiprocessing.get_context("spawn")

_barrier: Barrier | None = None


def pipe() -> tuple[Any, Any]:
    """Make a pipe whose ends may be given to children: one to read from, one to write to."""
    return _CONTEXT.Pipe(duplex=False)


def run_together(*jobs: Callable[[], Any]) -> list[Any]:
    """Run each job in a fresh process and give their results.

    A job is a module's function, or a ``functools.partial`` of one; each of them calls
    `wait_for_all` the same number of times.
    """
    barrier = _CONTEXT.Barrier(len(jobs), timeout=LONGEST)
    with ProcessPoolExecutor(
        len(jobs), mp_context=_CONTEXT, initializer=_begin, initargs=(barrier,)
    ) as pool:
        futures = [pool.submit(_guarded, job) for job in jobs]
    errors = [error for future in futures if (error := future.exception()) is not None]
    # Whoever waited for one that failed has nothing to tell.
    for error in sorted(errors, key=lambda each: isinstance(each, BrokenBarrierError)):
        raise error
    return [future.result() for future in futures]


def wait_for_all() -> None:
    """Wait, in a child, until all its siblings are here too."""
    if _barrier is not None:
        _barrier.wait()


def _begin(barrier: Barrier) -> None:
    global _barrier  # noqa: PLW0603  # a barrier reaches a spawned process in no other way
    _barrier = barrier
    faulthandler.dump_traceback_later(LONGEST, exit=True)
    logging.getLogger("agentpool").setLevel(logging.ERROR)


def _guarded(job: Callable[[], Any]) -> Any:
    try:
        return job()
    except BaseException:
        if _barrier is not None:
            _barrier.abort()
        raise
