"""The long runs: ``python -m agentpool.testing history``, and ``storm``."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from agentpool.testing.history.stress import Round, Verdict, run_round

__all__ = ("run", "storm")

_ROUNDS: Final = 40
_ROUNDS_OF_STORM: Final = 10
_SHOWN: Final = 20
_PLANS: Final = (
    Round(processes=2, tasks=8),
    Round(processes=4, tasks=2, kills=6),
    Round(processes=3, tasks=4, kills=4, pauses=6, jumps=10),
    Round(processes=1, tasks=16, kills=2),
)
_STORM: Final = (Round(processes=6, tasks=4, calls=60, kills=12, pauses=18, jumps=60),)


def run(args: argparse.Namespace) -> int:
    """Judge many rounds, each on a store of its own, and print what they did."""
    return _run(_PLANS, args.url, args.seed, _ROUNDS if args.rounds is None else args.rounds)


def storm(args: argparse.Namespace) -> int:
    """Judge rounds in which six processes do everything while everything is done to them."""
    return _run(
        _STORM, args.url, args.seed, _ROUNDS_OF_STORM if args.rounds is None else args.rounds
    )


def _run(plans: Sequence[Round], url: str | None, seed: int, rounds: int) -> int:
    began, verdict = time.monotonic(), Verdict()
    for number in range(rounds):
        plan = replace(plans[number % len(plans)], seed=seed + number)
        with tempfile.TemporaryDirectory() as folder:
            found = asyncio.run(run_round(Path(folder), plan, url))
        verdict.add(found)
        for violation in found.violations[:_SHOWN]:
            _say(f"  {plan}: {violation}")
    for name, count in sorted(verdict.counts.items()):
        _say(f"  {count:8} {name}")
    _say(f"  {rounds} rounds in {time.monotonic() - began:.0f} s")
    _say(f"  {len(verdict.violations)} violations")
    return 1 if verdict.violations else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
