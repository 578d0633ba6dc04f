"""The long run: ``python -m agentpool.testing model``."""

import argparse
import sys
import time
import traceback
from importlib import import_module
from typing import Any, Final

__all__ = ("run",)

_EXAMPLES: Final = 300
_STEPS: Final = 40


def run(args: argparse.Namespace) -> int:
    """Compare the stores in many random runs, and print what they did and the least failure."""
    # By name: only this proof needs Hypothesis, and the others run without it.
    model = import_module("agentpool.testing.model.machine").ModelMachine
    machine = type("Machine", (model,), {"url": args.url})
    began, examples = time.monotonic(), _EXAMPLES if args.rounds is None else args.rounds
    failed = _fails(machine, args.seed, examples)
    for name, count in sorted(model.counts.items()):
        sys.stdout.write(f"  {count:8} {name}\n")
    sys.stdout.write(
        f"  {examples} examples of up to {_STEPS} steps in {time.monotonic() - began:.0f} s\n"
        f"  {'a difference was found' if failed else 'no difference'}\n"
    )
    return int(failed)


def _fails(machine: Any, seed: int, examples: int) -> bool:
    hypothesis, stateful = import_module("hypothesis"), import_module("hypothesis.stateful")
    settings = hypothesis.settings(
        max_examples=examples,
        stateful_step_count=_STEPS,
        deadline=None,
        database=None,
        print_blob=False,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    try:
        stateful.run_state_machine_as_test(hypothesis.seed(seed)(machine), settings=settings)
    except Exception:  # noqa: BLE001  # whatever it is, it is what was looked for
        traceback.print_exc()
        return True
    return False
