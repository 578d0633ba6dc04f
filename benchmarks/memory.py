"""What a process comes to hold that works in a long log, but never asks for a snapshot."""

import os
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

from agentpool import AgentPoolStoreCursor, SqliteAgentPoolStore
from benchmarks.bench import Bench, run_bounded
from benchmarks.checks import expect
from benchmarks.children import run_together
from benchmarks.figures import Figure, Round, at_most
from benchmarks.workloads import POOL, exchange_names, messages

__all__ = ("run",)

_SMALL: Final = 100
_PAGE: Final = 500
_MEGABYTE: Final = 2**20


def run(bench: Bench) -> Iterator[Figure]:
    """Measure each pool in a fresh process, from before it opens the file."""
    large = bench.size(100_000, 1_000)
    appends = bench.size(2_000, 50)
    rounds = []
    for _ in bench.rounds(full=3):
        with bench.filled_file(large) as long, bench.filled_file(_SMALL) as short:
            [grown] = run_together(partial(growth, long, large, appends))
            [baseline] = run_together(partial(growth, short, _SMALL, appends))
            rounds.append(Round(grown, baseline))
    yield Figure.of(
        "resident memory without a snapshot",
        "MB",
        rounds,
        against=f"the same in a pool of {_SMALL} records",
        target=at_most(20.0, of="value"),
        records=large,
        appends=appends,
        lookups=appends,
        records_read="all, in pages",
    )


def growth(path: Path, records: int, appends: int) -> float:
    """Work in a filled pool, and say by how many megabytes this process grew."""
    sent = messages(appends, prefix="memory")
    before = _resident()

    async def work() -> int:
        async with SqliteAgentPoolStore.open(path) as store:
            for message, receipt in sent:
                await store.record_message(POOL, message, receipt)
            for name in islice(exchange_names(records), appends):
                await store.message_receipt(POOL, f"key.{name}")
                await store.wake(POOL, f"wake.{name}")
            expect(await _read_all(store) == records + appends, "a page lacks records")
            return _resident()

    return (run_bounded(work()) - before) / _MEGABYTE


async def _read_all(store: SqliteAgentPoolStore) -> int:
    seen, cursor = 0, AgentPoolStoreCursor(0)
    while page := await store.read(POOL, cursor, limit=_PAGE):
        seen, cursor = seen + len(page), page[-1].cursor
    return seen


def _resident() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
