"""Rows as a table for people, as JSON lines for programs, or one field of them for shells.

Data goes to the standard output, talk to the standard error. What a terminal would obey, in ids
and bodies of others, is shown and not sent to it.
"""

import json
import os
import re
import shutil
import sys
from argparse import Namespace
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from errno import EBADF
from typing import Final, TextIO, TypeAlias

from agentpool.errors import InvalidValueError

__all__ = ("AT_LEAST", "Printer", "Row", "as_json", "for_people", "harmless")

Row: TypeAlias = Mapping[str, object]
"""What is printed: by names, text, numbers, lists of these, and bytes where a body is no text."""

AT_LEAST: Final = "at_least"
"""The field of a row that lists which of its numbers may be more; for people they have a ``+``."""

_NOT_ASCII: Final = re.compile(r"[^ -~]")
_BEYOND: Final = 0x10000


def harmless(text: str) -> str:
    """Show what a terminal would obey, or show in another place than where it stands."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


class Printer:
    """Prints rows in the way that the options, and the stream, ask for.

    :ivar for_people: whether it prints tables and lines, and not JSON
    """

    def __init__(self, options: Namespace, out: TextIO | None = None) -> None:
        self._out: Final = sys.stdout if out is None else out
        self._field: Final[str | None] = getattr(options, "field", None)
        self._to_terminal: Final = self._out.isatty()
        as_text = getattr(options, "text", False) or self._to_terminal
        as_json = getattr(options, "json", False) or self._field is not None
        self.for_people: Final = as_text and not as_json
        may_colour = "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self._bold: Final = self._to_terminal and may_colour

    def rows(self, rows: Iterable[Row]) -> int:
        """Print rows that are all there; say how many they were."""
        if not self.for_people:
            return sum(self.row(each) for each in rows)
        listed = list(rows)
        if listed:
            self._table(listed)
        return len(listed)

    def row(self, row: Row, text: str | None = None) -> bool:
        """Print a row as it comes, for people as a text, or field by field.

        :return: ``True``, to be counted
        """
        if self._field is not None:
            self._value(row, self._field)
        elif not self.for_people:
            self._write(as_json(row))
        elif text is not None:
            self.text(text)
        else:
            wide = max(map(len, row))
            for name, cell in for_people(row).items():
                if not _is_empty(row[name]):
                    self.text(f"{name:<{wide}}  {cell}")
        return True

    def text(self, text: str) -> None:
        """Print a line of text."""
        self._write(harmless(text))

    def raw(self, text: str) -> None:
        """Print text of our own making as it is."""
        self._write(text)

    def clear(self) -> None:
        """Begin at the top of the terminal again, if it is one."""
        if self._to_terminal:
            self._out.write("\x1b[H\x1b[2J")

    def refuse_closed(self) -> None:
        """Refuse to go on where what is printed would come to nobody.

        :raises OSError: the standard output is closed
        """
        if self._out is sys.stdout and sys.__stdout__ is None:  # as Python has it from its start
            raise OSError(EBADF, os.strerror(EBADF))

    def say(self, text: str) -> None:
        """Tell the person something that is no data."""
        sys.stderr.write(f"agentpool: {harmless(text)}\n")

    def _value(self, row: Row, name: str) -> None:
        if name == "body" and row.get("unreadable") is not None:
            self.say(str(row["unreadable"]))
        if name not in row:
            msg = f"--field: there is no {name!r} here; there are {', '.join(row)}"
            raise InvalidValueError(msg)
        value = row[name]
        if isinstance(value, bytes) and not self._to_terminal:
            self._out.flush()
            self._out.buffer.write(value)
            self._out.flush()
        elif isinstance(value, str):
            lines = value.removesuffix("\n").split("\n") if self._to_terminal else [value]
            text = "\n".join(map(harmless, lines)) if self._to_terminal else value
            self._write(text.removesuffix("\n"))
        else:
            self._write(harmless(_plain(value)))

    def _write(self, line: str) -> None:
        # Line by line, so that whoever reads a pipe has what there is.
        self._out.write(f"{line}\n")
        self._out.flush()

    def _table(self, rows: Sequence[Row]) -> None:
        cells = [for_people(each) for each in rows]
        names = [name for name in cells[0] if any(not _is_empty(each[name]) for each in rows)]
        lines = [names, *([harmless(each[name]) for name in names] for each in cells)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for number, line in enumerate(lines):
            padded = zip(line, widths, strict=True)
            text = "  ".join(f"{cell:<{width}}" for cell, width in padded).rstrip()
            text = self._fitting(text)
            self._write(f"\x1b[1m{text}\x1b[0m" if self._bold and not number else text)

    def _fitting(self, text: str) -> str:
        width = shutil.get_terminal_size().columns if self._to_terminal else len(text)
        return text if len(text) <= width else f"{text[: width - 1]}…"


def as_json(row: Row) -> str:
    """Write a row as one line of JSON, without what a terminal would obey."""
    line = json.dumps(row, ensure_ascii=False, separators=(",", ":"), default=_of_bytes)
    return _NOT_ASCII.sub(lambda found: _escaped(found[0]), line)


def _of_bytes(value: object) -> object:
    if isinstance(value, bytes):
        return {"base64": b64encode(value).decode()}
    raise TypeError(value)


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    if code < _BEYOND:
        return f"\\u{code:04x}"
    high, low = divmod(code - _BEYOND, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, str | list) and not value)


def for_people(row: Row) -> dict[str, str]:
    """Write a row for people, name by name."""
    more = row.get(AT_LEAST)
    names = more if isinstance(more, list) else []
    return {
        name: f"{_cell(value)}{'+' if name in names else ''}"
        for name, value in row.items()
        if name != AT_LEAST
    }


def _cell(value: object) -> str:
    if _is_empty(value):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_cell, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {_cell(each)}" for name, each in value.items())
    return f"{len(value)} bytes" if isinstance(value, bytes) else str(value)


def _plain(value: object) -> str:
    if isinstance(value, bool | list | dict):
        return as_json({"": value})[len('{"":') : -1]
    return "" if value is None else _cell(value)
