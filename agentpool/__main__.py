"""The command line: ``python -m agentpool doctor FILE``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from agentpool.doctor import examine

__all__ = ("main",)

_EXIT_CODES = "exit code: 0 all is well, 1 there is something to know, 2 something is broken"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says, and give the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m agentpool", description="Tools for stores of agentpool."
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    doctor = commands.add_parser(
        "doctor",
        help="examine a store file, without changing it",
        description="Examine a store file, also one that is in use, without changing it.",
        epilog=_EXIT_CODES,
    )
    doctor.add_argument("file", type=Path, metavar="FILE", help="the database, such as pool.db")
    report = examine(parser.parse_args(arguments).file)
    sys.stdout.write(f"{report}\n")
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
