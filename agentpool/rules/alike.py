"""Names that people take for one another: those that look the same, and those that are close."""

import unicodedata
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from heapq import nlargest
from typing import Final

__all__ = ("close_to", "look", "looking_like")

_INVISIBLE: Final = {"Cf", "Zl", "Zp"}
"""Categories of what takes no room, such as joiners, and what sets the direction of writing."""

_LIKE: Final = 0.75
_MOST_COMPARED: Final = 16
_END: Final = 40
"""Of long names both ends are compared: what that costs grows with the square of their length."""


def look(name: str) -> str:
    """Say what people see of a name: composed, and without what cannot be seen."""
    if name.isascii():
        return name
    composed = unicodedata.normalize("NFC", name)
    return "".join(each for each in composed if unicodedata.category(each) not in _INVISIBLE)


def looking_like(name: str, names: Iterable[str]) -> Iterator[str]:
    """Go through other names that look the same."""
    seen = look(name)
    return (each for each in names if each != name and look(each) == seen)


def close_to(name: str, names: Iterable[str], most: int = 3) -> list[str]:
    """List the names that are nearest to another, the nearest first."""
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(_ends(name))  # what is known of this one is kept

    def at_most_like(other: str) -> float:
        matcher.set_seq1(_ends(other))
        return matcher.quick_ratio() if matcher.real_quick_ratio() >= _LIKE else 0.0

    def like(other: str) -> float:
        matcher.set_seq1(_ends(other))
        return matcher.ratio()

    others = (each for each in dict.fromkeys(names) if each != name)
    candidates = nlargest(_MOST_COMPARED, others, key=at_most_like)
    found = sorted(((like(each), each) for each in candidates), key=lambda pair: -pair[0])
    return [each for ratio, each in found if ratio >= _LIKE][:most]


def _ends(name: str) -> str:
    return name if len(name) <= 2 * _END else name[:_END] + name[-_END:]
