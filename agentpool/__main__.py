"""The command line: ``python -m agentpool doctor FILE|URL``."""

import argparse
import sys
from collections.abc import Sequence

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
        help="examine a store, without changing it",
        description="Examine a store, also one that is in use, without changing it.",
        epilog=_EXIT_CODES,
    )
    place = "the database: a file such as pool.db, or postgresql://user@host/database"
    doctor.add_argument("place", metavar="FILE|URL", help=place)
    doctor.add_argument("--schema", default="agentpool", help="of the store, on a server")
    asked = parser.parse_args(arguments)
    report = examine(asked.place, schema=asked.schema)
    sys.stdout.write(f"{report}\n")
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
