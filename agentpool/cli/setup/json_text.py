"""Values put into a JSON text, and taken out again: all else in it stays, to the byte."""

import json
import re
from collections.abc import Sequence
from json.decoder import JSONDecoder
from typing import Final, NamedTuple, TypeAlias

__all__ = ("END", "Path", "parsed", "put", "taken_out", "value_at")

Path: TypeAlias = Sequence[str | int]
"""Names of members, and places in lists, from the outermost inwards."""

END: Final = -1
"""The place behind the last of a list."""

_BLANK: Final = re.compile(r"[ \t\r\n]*")
_INDENT: Final = re.compile(r"\{\r?\n([ \t]+)\S")


def parsed(text: str) -> object:
    """Read a text.

    :raises ValueError: it is no JSON, or names a member twice, one of which would be lost
    """
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        msg = "a member is there twice"
        raise ValueError(msg)
    return found


def value_at(value: object, path: Path) -> object:
    """Give what is at a path of a value; ``None``: nothing is."""
    for name in path:
        if isinstance(value, dict) and isinstance(name, str):
            value = value.get(name)
        elif isinstance(value, list) and isinstance(name, int) and 0 <= name < len(value):
            value = value[name]
        else:
            return None
    return value


# --- where things are in a text


class _Part(NamedTuple):
    """A member of an object, or what is at a place of a list, and from where to where."""

    name: str | int
    begins: int
    value_begins: int
    ends: int


class _Container(NamedTuple):
    """An object or a list, and from where to where it is, with its brackets."""

    parts: tuple[_Part, ...]
    begins: int
    ends: int
    depth: int

    def part(self, name: str | int) -> _Part | None:
        """Find a part by its name."""
        return next((each for each in self.parts if each.name == name), None)


def _after_blank(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return at if found is None else found.end()


def _container(text: str, begins: int, depth: int) -> _Container:
    decoder, is_object = JSONDecoder(), text[begins] == "{"
    parts: list[_Part] = []
    at = _after_blank(text, begins + 1)
    while text[at] not in "}]":
        began, key = at, None
        if is_object:
            key, at = decoder.raw_decode(text, at)
            at = _after_blank(text, _after_blank(text, at) + 1)
        _, ends = decoder.raw_decode(text, at)
        parts.append(_Part(len(parts) if key is None else str(key), began, at, ends))
        at = _after_blank(text, ends)
        if text[at] == ",":
            at = _after_blank(text, at + 1)
    return _Container(tuple(parts), begins, at + 1, depth)


def _reached(text: str, path: Path) -> list[tuple[_Container, _Part | None]]:
    """Go along a path as far as it goes, and list what it goes through."""
    found: list[tuple[_Container, _Part | None]] = []
    at = _after_blank(text, 0)
    for depth, name in enumerate(path):
        if text[at] not in "{[":
            break
        here = _container(text, at, depth)
        part = here.part(name)
        found.append((here, part))
        if part is None:
            break
        at = part.value_begins
    return found


# --- changing a text


def put(text: str, path: Path, value: object) -> str:
    """Put a value at a path: in place of what is there, else behind what is beside it.

    :param text: a JSON object; what the path goes through is an object or a list, or not there
    """
    steps = _reached(text, path)
    here, part = steps[-1]
    for name in reversed(path[len(steps) :]):
        value = [value] if name == END else {name: value}
    if part is not None:
        written = _written(text, value, here.depth + 1)
        return text[: part.value_begins] + written + text[part.ends :]
    name = path[len(steps) - 1]
    member = _written(text, value, here.depth + 1)
    if isinstance(name, str):
        member = f"{json.dumps(name, ensure_ascii=False)}: {member}"
    line, unit = _style(text)
    inner = f"{line}{unit * (here.depth + 1)}"
    if here.parts:
        end = here.parts[-1].ends
        return f"{text[:end]},{inner}{member}{text[end:]}"
    outer = f"{line}{unit * here.depth}"
    return f"{text[: here.begins + 1]}{inner}{member}{outer}{text[here.ends - 1 :]}"


def taken_out(text: str, path: Path) -> str:
    """Take out what is at a path, and what holds nothing else, but for the outermost."""
    steps = _reached(text, path)
    while len(steps) > 1 and len(steps[-1][0].parts) == 1:
        steps.pop()
    here, part = steps[-1]
    if part is None:
        return text
    number = here.parts.index(part)
    if len(here.parts) == 1:
        return text[: here.begins + 1] + text[here.ends - 1 :]
    if number + 1 == len(here.parts):
        return text[: here.parts[number - 1].ends] + text[part.ends :]
    return text[: part.begins] + text[here.parts[number + 1].begins :]


def _written(text: str, value: object, depth: int) -> str:
    line, unit = _style(text)
    written = json.dumps(value, indent=unit, ensure_ascii=False)
    return written.replace("\n", f"{line}{unit * depth}")


def _style(text: str) -> tuple[str, str]:
    found = _INDENT.search(text)
    return "\r\n" if "\r\n" in text else "\n", found[1] if found else "  "
