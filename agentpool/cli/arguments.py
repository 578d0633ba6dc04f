"""What verbs have in common: how one is described, and the options that several take."""

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from agentpool.cli.printing import Printer
from agentpool.errors import InvalidValueError

__all__ = (
    "AGENT",
    "BROKEN",
    "EXIT_CODES",
    "Doing",
    "Verb",
    "acting",
    "add_verb",
    "at_least",
    "body_of",
    "chosen_run",
    "decoded",
    "in_pool",
    "in_store",
    "printed",
    "takes_body",
    "text",
)

Doing: TypeAlias = int | Coroutine[Any, Any, int]
"""The exit code of a verb, or what comes to it on an event loop."""

AGENT: Final = "agent.shell"
BROKEN: Final = 5
EXIT_CODES: Final = (
    "exit code: 0 done, 1 nothing there or not in time, 2 wrong arguments, 3 refused,"
    " 4 busy (try again), 5 broken"
)


class Verb(NamedTuple):
    """A verb of the command line.

    :ivar what: what it does, in a line
    :ivar examples: calls of it
    :ivar arguments: adds its arguments to its parser
    :ivar run: carries it out; what may block the loop, or has to wait for a person, is done before
        it gives the coroutine
    :ivar more: what else its help says
    """

    name: str
    what: str
    examples: str
    arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace, Printer], Doing]
    more: str = EXIT_CODES


def add_verb(verb: Verb, parser: ArgumentParser) -> None:
    """Make the parser of a verb from an empty one."""
    parser.description = f"{verb.what[0].upper()}{verb.what[1:]}."
    examples = "\n".join(f"  {line}" for line in verb.examples.splitlines())
    parser.epilog = f"for example:\n{examples}\n\n{verb.more}"
    parser.formatter_class = RawDescriptionHelpFormatter
    verb.arguments(parser)
    parser.set_defaults(verb=verb)


# --- options of several verbs


def in_store(parser: ArgumentParser) -> None:
    """Let a verb say which store it means, and how it prints."""
    parser.add_argument(
        "-s",
        "--store",
        default=os.environ.get("AGENTPOOL_STORE") or None,
        help="path or URL of the store (AGENTPOOL_STORE)",
    )
    parser.add_argument(
        "--schema",
        default=os.environ.get("AGENTPOOL_SCHEMA") or None,
        help="schema of a store on a server (AGENTPOOL_SCHEMA)",
    )
    printed(parser)


def printed(parser: ArgumentParser) -> None:
    """Let a verb say how it prints."""
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="print JSON lines, also on a terminal")
    how.add_argument("--text", action="store_true", help="print for people, also into a pipe")
    how.add_argument("--field", metavar="NAME", help="print only this field, a line for each row")


def in_pool(parser: ArgumentParser) -> None:
    """Let a verb say which pool it means."""
    in_store(parser)
    parser.add_argument(
        "-p",
        "--pool",
        default=os.environ.get("AGENTPOOL_POOL") or None,
        help="id of the pool (AGENTPOOL_POOL); not needed where the store has one",
    )


def chosen_run(parser: ArgumentParser, use: str) -> None:
    """Let a verb say which run it is about."""
    parser.add_argument(
        "--as",
        dest="run",
        metavar="RUN",
        default=os.environ.get("AGENTPOOL_RUN") or None,
        help=f"{use} (AGENTPOOL_RUN)",
    )


def acting(parser: ArgumentParser) -> None:
    """Let a verb say which run acts, which joins where it is no member yet."""
    in_pool(parser)
    chosen_run(parser, "the run that acts; joins, and stays, if it is no member")
    parser.add_argument(
        "--agent",
        default=os.environ.get("AGENTPOOL_AGENT") or AGENT,
        help=f"of which agent it is if it joins (AGENTPOOL_AGENT, or {AGENT})",
    )


def at_least(least: int) -> Callable[[str], int]:
    """Give what reads an argument that is a whole number, and not less than this."""

    def number(given: str) -> int:
        if int(given) < least:
            msg = f"{given} is less than {least}"
            raise ArgumentTypeError(msg)
        return int(given)

    return number


def text(given: str) -> str:
    """Read an argument that is text; what came in bytes that are no UTF-8 is none."""
    try:
        given.encode()
    except UnicodeEncodeError as error:
        msg = "it is not valid UTF-8"
        raise ArgumentTypeError(msg) from error
    return given


def takes_body(parser: ArgumentParser) -> None:
    """Let a verb take a body."""
    parser.add_argument(
        "body",
        nargs="?",
        default="-",
        help="the text; @FILE for what is in a file; - or nothing for the standard input",
    )


def body_of(options: Namespace) -> str | bytes:
    """Read the body that is given, exactly as it is: text where it is UTF-8, else bytes.

    :raises InvalidValueError: there is no such file
    """
    given: str = options.body
    if given == "-":
        return decoded(sys.stdin.buffer.read())
    if not given.startswith("@"):
        return given
    if given.startswith("@@"):
        return given[1:]
    try:
        return decoded(Path(given[1:]).read_bytes())
    except OSError as error:
        msg = f"body: {given[1:]!r} cannot be read: {error.strerror}; write @@ for a text with @"
        raise InvalidValueError(msg) from error


def decoded(data: bytes) -> str | bytes:
    """Give the text where it is UTF-8, else the bytes."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
