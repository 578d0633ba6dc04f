"""A call of the command line from beginning to end: arguments, the verb, the exit code."""

import asyncio
import gc
import os
import sys
import traceback
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib import import_module
from io import RawIOBase
from pathlib import Path
from typing import Final, NoReturn, TextIO

from agentpool.cli.arguments import BROKEN, EXIT_CODES, Verb, add_verb
from agentpool.cli.printing import Printer, harmless
from agentpool.errors import (
    AgentPoolError,
    InvalidValueError,
    NoAnswerError,
    NotEnoughMembersError,
    RetryClassification,
)
from agentpool.support.places import said_without_secrets
from agentpool.support.version import __version__
from agentpool.wire.refused import NoRecipientError

__all__ = ("MODULES", "main", "parsed", "verbs_of")

_BROKEN_PIPE: Final = 141
_INTERRUPTED: Final = 130
_NOTHING, _USAGE, _REFUSED, _BUSY = range(1, 5)

_BY_RETRY: Final = {
    RetryClassification.RETRYABLE: _BUSY,
    RetryClassification.REPAIR_NEEDED: BROKEN,
}
MODULES: Final[dict[str, tuple[str, ...]]] = {
    "looking": ("pools", "members", "stats", "top", "explain"),
    "log": ("tail", "show", "thread"),
    "talking": ("inbox", "send", "ask", "reply", "publish"),
    "working": ("take", "ack", "nack", "dead"),
    "waiting": ("wait",),
    "making": ("init", "join", "leave"),
    "health": ("check", "backup", "doctor"),
    "moving": ("copy",),
    "hosting": ("mcp",),
    "setup": ("setup",),
    "page": ("web",),
    "completion": ("completion",),
}
"""Which verbs are where. A call loads its own only: hooks start some of them constantly."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says, and give the exit code."""
    _open_closed()
    given = sys.argv[1:] if arguments is None else list(arguments)
    _be_robust()
    try:
        with _loading() if arguments is None else nullcontext():
            options = parsed(given)
        return _done(options)
    except BrokenPipeError:
        _drop_unwritten()
        return _BROKEN_PIPE
    except KeyboardInterrupt:
        _drop_unwritten()
        return _INTERRUPTED
    except Exception as error:  # noqa: BLE001 # a script is to have a line, and its exit code
        called = " ".join(["agentpool", *given[:1]])
        sys.stderr.write(f"{called}: {harmless(_said(error))}\n")
        _drop_unwritten()
        return exit_code(error)


@contextmanager
def _loading() -> Iterator[None]:
    """Load modules in less time, in a process of one's own: none of that is ever garbage.

    It is not looked through then, nor later, nor at the end of the process.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _done(options: Namespace) -> int:
    verb: Verb = options.verb
    doing = verb.run(options, Printer(options))
    code = doing if isinstance(doing, int) else asyncio.run(doing)
    sys.stdout.flush()
    return code


def exit_code(error: Exception) -> int:
    """Say how a call ends that an error ended."""
    match error:
        case InvalidValueError():
            return _USAGE
        case NoAnswerError() | NotEnoughMembersError() | NoRecipientError():
            return _NOTHING
        case AgentPoolError():
            return _BY_RETRY.get(error.retry, _REFUSED)
        case _:
            return BROKEN


def _said(error: Exception) -> str:
    match error:
        case AgentPoolError():
            return str(error)
        case OSError():  # of what it prints to
            return error.strerror or str(error)
        case _:
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(where.filename).name}:{where.lineno}"
            return f"a bug: {type(error).__name__}: {error} ({place})"


def _open_closed() -> None:
    """Put empty streams where standard ones are closed, before a file is opened in their place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            place = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(place, mode, encoding="utf-8", closefd=False))


def _drop_unwritten() -> None:
    """Let go of what cannot be written: it would be tried again at the end of the process."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _be_robust() -> None:
    """Print UTF-8 for programs; what the encoding of a terminal has no place for is no error."""
    for name in ("stdout", "stderr"):
        stream = _buffered(getattr(sys, name))
        setattr(sys, name, stream)
        reconfigure = getattr(stream, "reconfigure", None)  # what a test puts there has none
        if reconfigure is not None:
            encoding = stream.encoding if stream.isatty() else "utf-8"
            reconfigure(encoding=encoding, errors="backslashreplace")


def _buffered(stream: TextIO) -> TextIO:
    """Give a stream that writes all or fails, where ``PYTHONUNBUFFERED`` has left it no buffer.

    Without one a part may be written, and nobody is told.
    """
    below = getattr(stream, "buffer", None)
    if not isinstance(below, RawIOBase):
        return stream
    return open(stream.fileno(), "w", 1, stream.encoding, closefd=False)


class _Parser(ArgumentParser):
    """A parser that shows no password of a URL that it refuses."""

    def error(self, message: str) -> NoReturn:
        super().error(said_without_secrets(message))


def parsed(arguments: Sequence[str]) -> Namespace:
    """Read a call; the options of a verb may stand between its other arguments."""
    called = next(iter(arguments), None)
    modules = [module for module, names in MODULES.items() if called in names]
    for verb in verbs_of(*modules):
        if verb.name == called:
            parser = _Parser(prog=f"agentpool {called}", allow_abbrev=False)
            add_verb(verb, parser)
            return _unmarked(parser.parse_intermixed_args(_marked(arguments[1:])))
    return _of_all().parse_args(arguments)


_NO_OPTION: Final = "\0"
"""What stands before an argument that is no option; no process can be given it."""


def _marked(arguments: Sequence[str]) -> list[str]:
    """Mark what comes after ``--``, which `parse_intermixed_args` forgets at times."""
    if "--" not in arguments:
        return list(arguments)
    end = arguments.index("--")
    after = (
        f"{_NO_OPTION}{each}" if each.startswith("-") else each for each in arguments[end + 1 :]
    )
    return [*arguments[:end], *after]


def _unmarked(options: Namespace) -> Namespace:
    for name, value in vars(options).items():
        bare = [_bare(each) for each in value] if isinstance(value, list) else _bare(value)
        setattr(options, name, bare)
    return options


def _bare(value: object) -> object:
    return value.removeprefix(_NO_OPTION) if isinstance(value, str) else value


def _of_all() -> ArgumentParser:
    """Make the parser of all verbs, for what is no call of one."""
    top = _Parser(
        prog="agentpool",
        description="See and steer pools of agents.",
        epilog=f"`agentpool VERB --help` has examples.\n{EXIT_CODES}",
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"agentpool {__version__}")
    parsers = top.add_subparsers(title="verbs", required=True, metavar="VERB")
    for verb in verbs_of(*MODULES):
        add_verb(verb, parsers.add_parser(verb.name, help=verb.what, allow_abbrev=False))
    return top


def verbs_of(*names: str) -> list[Verb]:
    """List the verbs of modules."""
    modules = [import_module(f"agentpool.cli.{each}") for each in names]
    return [verb for module in modules for verb in module.VERBS]
