"""Run the benchmarks: ``python -m benchmarks [--quick] [--out FOLDER] [--only NAME ...]``.

How fast it is never decides the exit code; a benchmark that crashes, or finds the store broken,
does.
"""

import argparse
import logging
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from benchmarks import (
    against_peers,
    appends,
    beside,
    breakdown,
    growth,
    idling,
    memory,
    on_server,
    opening,
    pool_size,
    pools_asking,
    pools_bodies,
    pools_deadlines,
    pools_idling,
    pools_poison,
    pools_sending,
    pools_size,
    processes,
    snapshots,
    tracing,
    values,
    waking,
    watching,
)
from benchmarks.bench import Bench
from benchmarks.figures import Found
from benchmarks.machine import describe
from benchmarks.peers.optional import load, version_of
from benchmarks.report import Report, as_json, as_markdown, as_table

BENCHMARKS: Final[dict[str, Callable[[Bench], Iterable[Found]]]] = {
    "appends": appends.run,
    "pool-size": pool_size.run,
    "snapshots": snapshots.run,
    "memory": memory.run,
    "watching": watching.run,
    "waking": waking.run,
    "idling": idling.run,
    "processes": processes.run,
    "beside": beside.run,
    "opening": opening.run,
    "pools-sending": pools_sending.run,
    "pools-bodies": pools_bodies.run,
    "pools-poison": pools_poison.run,
    "pools-size": pools_size.run,
    "pools-asking": pools_asking.run,
    "pools-deadlines": pools_deadlines.run,
    "pools-idling": pools_idling.run,
    "tracing": tracing.run,
    "growth": growth.run,
    "breakdown": breakdown.run,
    "values": values.run,
    "peers": against_peers.run,
    "server": on_server.run,
}


def main() -> int:
    """Run what the command line asks for."""
    options = _options()
    logging.getLogger("agentpool").setLevel(logging.ERROR)  # the report says it all
    with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=options.dir) as directory:
        report = _run(Bench(Path(directory), options.quick), options.only or list(BENCHMARKS))
    print(as_json(report) if options.json else as_table(report))
    if options.out is not None:
        _write(report, options.out)
    return 1 if report.failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure the store against baselines."
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that all run")
    parser.add_argument("--json", action="store_true", help="print JSON, with every round")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="write JSON, Markdown and plots there too"
    )
    parser.add_argument(
        "--only", nargs="+", choices=BENCHMARKS, metavar="NAME", help=", ".join(BENCHMARKS)
    )
    parser.add_argument(
        "--dir", type=Path, default=Path.cwd(), help="a directory on the disk under test"
    )
    return parser.parse_args()


def _run(bench: Bench, names: Iterable[str]) -> Report:
    machine = describe(bench.directory)
    found: list[Found] = []
    failed = []
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            found.extend(BENCHMARKS[name](bench))
        except Exception:  # noqa: BLE001  # the others have their say all the same
            traceback.print_exc()
            failed.append(name)
    return Report.now(machine, found, failed, quick=bench.quick)


def _write(report: Report, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {"json": as_json(report), "md": as_markdown(report)}.items():
        (folder / f"figures.{name}").write_text(text + "\n", encoding="utf-8")
    if version_of("matplotlib") is None:
        print("no plots: matplotlib is not installed", file=sys.stderr)
    else:
        load("benchmarks.plots").draw(report, folder)


if __name__ == "__main__":
    sys.exit(main())
