"""Calls and what came of them, written down as JSON lines by the process that makes them.

Two lines a call: one before it begins, one when it has ended. A call without the second is one
whose process was killed; nobody knows what came of it. A watcher adds a line for each record.
"""

import os
import time
from collections.abc import Awaitable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

import msgspec

from agentpool.errors import AgentPoolError

__all__ = ("OK", "Call", "Facts", "Journal", "Outcome", "Sight", "read_journals")

Facts: TypeAlias = dict[str, Any]
"""Arguments or results: what JSON can hold."""

Sight: TypeAlias = tuple[int, str]
"""A record that a watcher was shown: its number, and the digest of its payload."""

OK: Final = "ok"
REFUSED: Final = "refused"
UNKNOWN: Final = "unknown"

Outcome: TypeAlias = str


class Call(msgspec.Struct, kw_only=True):
    """One call.

    :ivar id: the name of its process and the number that it has there
    :ivar do: what was called
    :ivar called: when, by the monotonic clock of the machine in nanoseconds
    :ivar returned: when it was over; ``None``: never, as far as anybody knows
    :ivar outcome: ``ok``, ``refused`` with an error of the library, or ``unknown``
    :ivar saw: what a watcher was shown, in the order it was
    """

    id: str
    do: str
    arguments: Facts = {}
    called: int
    returned: int | None = None
    outcome: Outcome = UNKNOWN
    result: Facts = {}
    error: str = ""
    saw: list[Sight] = []

    @property
    def ok(self) -> bool:
        """Whether its caller was told that it is done."""
        return self.outcome == OK

    @property
    def refused(self) -> bool:
        """Whether its caller was told that nothing was done."""
        return self.outcome == REFUSED

    def __str__(self) -> str:
        return f"{self.do} {self.id} {self.arguments}"


class _Began(msgspec.Struct, tag="began", kw_only=True):
    id: str
    do: str
    arguments: Facts
    called: int


class _Ended(msgspec.Struct, tag="ended", kw_only=True):
    id: str
    returned: int
    outcome: Outcome
    result: Facts = {}
    error: str = ""


class _Saw(msgspec.Struct, tag="saw", kw_only=True):
    id: str
    sight: Sight


_LINE: Final = msgspec.json.Decoder(_Began | _Ended | _Saw)


class Journal:
    """Where one process writes down its calls. What was written survives the process.

    :param name: names the process; no two of one history have the same
    """

    def __init__(self, path: Path, name: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._name = name
        self._calls = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._file)

    def next_id(self) -> str:
        """Take the id of the next call, to make names from that nobody else has."""
        self._calls += 1
        return f"{self._name}.{self._calls}"

    def began(self, id_: str, do: str, arguments: Facts) -> None:
        """Write down that a call begins."""
        self._write(_Began(id=id_, do=do, arguments=arguments, called=time.monotonic_ns()))

    def saw(self, id_: str, sight: Sight) -> None:
        """Write down that a watcher was shown a record."""
        self._write(_Saw(id=id_, sight=sight))

    def ended(
        self, id_: str, outcome: Outcome, result: Facts | None = None, error: str = ""
    ) -> None:
        """Write down what came of a call."""
        now = time.monotonic_ns()
        self._write(_Ended(id=id_, returned=now, outcome=outcome, result=result or {}, error=error))

    async def call(self, id_: str, do: str, arguments: Facts, making: Awaitable[Facts]) -> Facts:
        """Make a call between its two lines, and give its result.

        A refusal is written down and not raised; its result is empty. Cancelled, or with an error
        that is not of the library, the outcome is unknown.
        """
        self.began(id_, do, arguments)
        try:
            result = await making
        except AgentPoolError as error:
            self.ended(id_, REFUSED, error=type(error).__name__)
            return {}
        except BaseException:
            self.ended(id_, UNKNOWN)
            raise
        self.ended(id_, OK, result)
        return result

    def _write(self, line: msgspec.Struct) -> None:
        os.write(self._file, msgspec.json.encode(line) + b"\n")


def read_journals(paths: Iterable[Path]) -> list[Call]:
    """Put the calls of several journals together, in the order in which they began.

    The last line of a process that was killed may be cut, and is then left out.
    """
    calls: dict[str, Call] = {}
    for path in paths:
        for line in path.read_bytes().split(b"\n")[:-1]:
            _take_in(calls, _LINE.decode(line))
    return sorted(calls.values(), key=lambda call: call.called)


def _take_in(calls: dict[str, Call], line: _Began | _Ended | _Saw) -> None:
    match line:
        case _Began(id=id_):
            calls[id_] = Call(id=id_, do=line.do, arguments=line.arguments, called=line.called)
        case _Saw(id=id_):
            calls[id_].saw.append(line.sight)
        case _Ended(id=id_):
            call = calls[id_]
            call.returned, call.outcome = line.returned, line.outcome
            call.result, call.error = line.result, line.error
