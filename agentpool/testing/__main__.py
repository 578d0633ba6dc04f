"""The long proofs: ``python -m agentpool.testing PROOF [--rounds N] [--seed S] [--url URL]``.

Each prints its seed, what it did and what it found, and exits with 1 when it found something.
"""

import argparse
import sys
from collections.abc import Callable
from random import SystemRandom
from typing import Final

from agentpool.testing.faults import engine_faults, hostile, kills, moves, power_cut
from agentpool.testing.history import command as history
from agentpool.testing.model import command as model

__all__ = ("PROOFS", "main")

PROOFS: Final[dict[str, Callable[[argparse.Namespace], int]]] = {
    "kills": kills.run,
    "moves": moves.run,
    "hostile": hostile.run,
    "powercut": power_cut.run,
    "engine": engine_faults.run,
    "history": history.run,
    "storm": history.storm,
    "model": model.run,
}
"""What can be run. Each gets ``rounds`` (``None``: as many as are fit), ``seed`` and ``url``."""

_ON_SERVERS: Final = ("kills", "history", "storm", "model")


def main(arguments: list[str] | None = None) -> int:
    """Run one proof."""
    parser = argparse.ArgumentParser(prog="python -m agentpool.testing", description=__doc__)
    parser.add_argument("proof", choices=PROOFS)
    parser.add_argument("--rounds", type=int, help="how much to do")
    parser.add_argument("--seed", type=int, default=SystemRandom().getrandbits(32))
    parser.add_argument("--url", help="a server, for what is not about files; else it is a file")
    args = parser.parse_args(arguments)
    if args.url is not None and args.proof not in _ON_SERVERS:
        parser.error(f"{args.proof} is about files; on a server run {', '.join(_ON_SERVERS)}")
    sys.stdout.write(f"{args.proof}: seed {args.seed}\n")
    sys.stdout.flush()
    return PROOFS[args.proof](args)


if __name__ == "__main__":
    sys.exit(main())
